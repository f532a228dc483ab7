"""The directory of emulated functions, for their code, layers and temporary files: in memory if enough is free.

Each execution environment unpacks its code and layers, some 1,300 files. In memory, unpacking and deleting them takes a
tenth of the time that it takes on disk.
"""

import hashlib
import os
import shutil
from pathlib import Path

from localstack.errors import StackError
from localstack.settings import Settings

#: Linux's file system in memory. In containers it is often small.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - `make` creates a private directory in it

#: Space that environments may need: in total, and for each concurrent run.
_BASE_BYTES = 2 << 30
_PER_RUN_BYTES = 1 << 30


def directory(settings: Settings) -> Path:
    """The directory for this stack's environments. `make` creates it."""
    memory = _in_memory(settings)
    if settings.scratch == "auto" and (_is_ours(memory) or (not memory.exists() and _has_room(settings))):
        return memory
    return settings.directory / "emulator" / "tmp"


def make(path: Path) -> None:
    """Creates the directory for this user only. Raises StackError if it belongs to another user."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(path):
        raise StackError(f"{path} belongs to another user. Set DARKROOM_SCRATCH=disk to use another directory.")


def remove(settings: Settings) -> None:
    """Deletes this stack's environments in memory. Those on disk are deleted with the stack's directory."""
    if _is_ours(_in_memory(settings)):
        shutil.rmtree(_in_memory(settings))


def _in_memory(settings: Settings) -> Path:
    digest = hashlib.sha256(str(settings.directory).encode()).hexdigest()[:12]
    return SHARED_MEMORY / f"darkroom-{os.getuid()}-{digest}"


def _is_ours(path: Path) -> bool:
    """Whether it exists and this user created it: every user can write to shared memory."""
    return path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()


def _has_room(settings: Settings) -> bool:
    if not SHARED_MEMORY.is_dir():
        return False
    needed = _BASE_BYTES + _PER_RUN_BYTES * settings.in_flight
    return shutil.disk_usage(SHARED_MEMORY).free >= needed and _available_bytes() >= 2 * needed


def _available_bytes() -> int:
    """Memory available without swapping; 0 if the system does not report it."""
    source = Path("/proc/meminfo")
    lines = source.read_text().splitlines() if source.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)
