"""Unpacked layers, one read-only copy of each version, which all emulated environments and stacks of a checkout share.

A version's directory is named after its contents. Two kinds of files list versions in use: the build's, and one for
each stack that runs. The rest is removed.
"""

import hashlib
import json
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from localstack.aws import emulated_environment
from localstack.settings import Settings

#: The file that lists versions in use, in the build's directory and in that of each stack.
_IN_USE = "layers.json"

#: How the module is named in archives, and its directory there: in it, Lambda and MiniStack read `.pth` files.
_MODULE = "darkroom_emulated_environment"
_SITE = f"python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def directory(settings: Settings) -> Path:
    """The directory of the store."""
    return settings.home / "layers"


def add(store: Path, layer: Path) -> Path:
    """Copies a built layer into the store unless it is there. Returns the directory of the copy."""
    version = store / f"{layer.name}-{_digest(layer)}"
    if not version.exists():
        draft = version.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(layer, draft)
        for path in _files(draft):
            # Directories stay writable, so that anyone can delete a checkout with `rm -r`.
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
        draft.rename(version)
    return version


def reference(version: Path) -> dict[str, str]:
    """The files of a layer archive that makes the emulator use this version: their contents by path."""
    call = f"import {_MODULE}; {_MODULE}.use_layer({str(version)!r})\n"
    module = Path(emulated_environment.__file__).read_text()
    return {f"{_SITE}/{version.name}.pth": call, f"{_SITE}/{_MODULE}.py": module}


def record_build(build: Path, versions: Iterable[Path]) -> None:
    """Records the versions of a build."""
    (build / _IN_USE).write_text(json.dumps([[path.name for path in versions]]))


def has_build(settings: Settings) -> bool:
    """Whether the store has every version of the last build."""
    return all((directory(settings) / name).is_dir() for name in _listed(settings.build / _IN_USE))


def record_deployment(settings: Settings) -> None:
    """Records that this stack uses the versions of the last build, and removes versions that no stack uses.

    The versions of the deployment before it remain, because a run may still use them.
    """
    own = settings.directory / _IN_USE
    build = json.loads((settings.build / _IN_USE).read_text())
    before = json.loads(own.read_text()) if own.exists() else []
    if before[:1] != build:
        own.write_text(json.dumps([*build, *before[:1]]))
    _remove_unused(settings)


def _remove_unused(settings: Settings) -> None:
    used = {name for path in settings.home.glob(f"*/{_IN_USE}") for name in _listed(path)}
    for path in directory(settings).glob("*"):
        if path.name not in used:
            shutil.rmtree(path)


def _listed(path: Path) -> set[str]:
    return {name for names in json.loads(path.read_text()) for name in names} if path.exists() else set()


def _files(layer: Path) -> list[Path]:
    return sorted(path for path in layer.rglob("*") if path.is_file())


def _digest(layer: Path) -> str:
    digest = hashlib.sha256()
    for path in _files(layer):
        digest.update(f"{path.relative_to(layer)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
