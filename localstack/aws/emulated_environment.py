"""Prepares an execution environment of the emulator: shared layers, and a temporary directory of its own.

The emulator unpacks every layer for every environment. Archives for it therefore hold, instead of the layer's files, a
copy of this module and a `.pth` file that calls `use_layer` (localstack/aws/layer_store.py writes both). Python runs it
when the emulator adds the layer to the path, before the handler is imported. AWS never gets this module.
"""

import fcntl
import os
import sys
from pathlib import Path

#: The file in an environment's directory that its process locks while it lives.
LOCK = "alive"

#: The temporary directory in an environment's directory.
TEMPORARY = "tmp"

#: Packages of the emulator that botocore imports when it finds them. Lambda does not have them, a function may.
_EMULATORS_OWN = ("OpenSSL", "awscrt", "cryptography")

_open: list[int] = []


def use_layer(directory: str) -> None:
    """Puts the layer that is unpacked in this directory on the import path, and its other files where layers are."""
    if not _open:
        _open.append(_begin(Path(os.environ["LAMBDA_TASK_ROOT"])))
    sys.path.insert(0, f"{directory}/python")
    layers = os.environ.get("_LAMBDA_LAYERS_DIRS", "")
    os.environ["_LAMBDA_LAYERS_DIRS"] = f"{layers}{os.pathsep}{directory}" if layers else directory


def _begin(code: Path) -> int:
    """Sets up this process as on Lambda. Returns the descriptor of the lock, which the kernel releases at its end."""
    environment = code.parent
    sys.dont_write_bytecode = True  # layers are read-only
    missing = [name for name in _EMULATORS_OWN if not (code / name).exists()]
    sys.modules |= dict.fromkeys(missing)  # type: ignore[arg-type]  # None: an import of it fails
    temporary = environment / TEMPORARY
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    draft = environment / f"{LOCK}.new"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    draft.rename(environment / LOCK)  # so that the file is never seen unlocked
    return descriptor
