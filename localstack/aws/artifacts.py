"""Archives the output of `sam build` without compression, so that deployments and cold starts are fast.

SAM would compress 170 MB at every deployment, and every emulated environment would decompress its part. On one machine
compression has no advantage, so files are stored uncompressed, once per build. For MiniStack a layer's archive only
refers to the layer, since every emulated environment would also keep its own copy of the layers.
"""

import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

from localstack.aws import layer_store

_LOCATION = re.compile(r"^(\s+(CodeUri|ContentUri): )([A-Za-z0-9]+)$", re.MULTILINE)

#: The date of every file. With a fixed one, archives of the same contents are identical, so none is deployed twice.
_DATE = (1980, 1, 1, 0, 0, 0)

PACKED = "packed.yaml"

#: The path, mode and contents of a file in an archive.
_Entry = tuple[str, int, bytes]


def pack(build: Path, store: Path | None) -> None:
    """Writes an archive of each artifact of the build, and a template that refers to the archives.

    With a store, layers are put there and their archives refer to it; without one, archives hold the layers.
    """
    template = (build / "template.yaml").read_text()
    versions = []
    for kind, name in sorted({(match[2], match[3]) for match in _LOCATION.finditer(template)}):
        target = build / f"{name}.zip"
        if kind == "ContentUri" and store is not None:
            versions.append(layer_store.add(store, build / name))
            files = layer_store.reference(versions[-1])
            _archive(target, ((path, 0o644, text.encode()) for path, text in sorted(files.items())))
        else:
            _archive(target, _entries(build / name))
    layer_store.record_build(build, versions)
    (build / PACKED).write_text(_LOCATION.sub(r"\1\3.zip", template))


def _entries(directory: Path) -> Iterable[_Entry]:
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        yield str(path.relative_to(directory)), stat.S_IMODE(path.stat().st_mode), path.read_bytes()


def _archive(target: Path, entries: Iterable[_Entry]) -> None:
    draft = target.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for name, mode, content in entries:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, content)
    draft.replace(target)
