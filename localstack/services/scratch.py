"""Where emulated functions unpack themselves and keep their files: in memory where there is plenty, else on disk.

Every environment unpacks its code and layers anew, some 1,300 files. In memory that takes a tenth of the time, at the
start and when it is removed again.
"""

import hashlib
import os
import shutil
from pathlib import Path

from localstack.failure import StackError
from localstack.settings import Settings

#: Linux's file system in memory. In a container it is often there, but tiny.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - made for one user alone, below

#: What environments may come to hold, in total and for each run that may be under way at the same time.
_BASE_BYTES = 2 << 30
_PER_RUN_BYTES = 1 << 30


def directory(settings: Settings) -> Path:
    """The directory for this stack's environments. `make` makes it."""
    memory = _in_memory(settings)
    if settings.scratch == "auto" and (_is_ours(memory) or (not memory.exists() and _has_room(settings))):
        return memory
    return settings.directory / "emulator" / "tmp"


def make(path: Path) -> None:
    """Makes the directory for this user alone. Raises StackError when somebody else was quicker."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(path):
        raise StackError(f"{path} belongs to somebody else. DARKROOM_SCRATCH=disk does without it.")


def remove(settings: Settings) -> None:
    """Removes what is left of this stack's environments in memory. What is on disk goes with the stack's directory."""
    if _is_ours(_in_memory(settings)):
        shutil.rmtree(_in_memory(settings))


def _in_memory(settings: Settings) -> Path:
    digest = hashlib.sha256(str(settings.directory).encode()).hexdigest()[:12]
    return SHARED_MEMORY / f"darkroom-{os.getuid()}-{digest}"


def _is_ours(path: Path) -> bool:
    """Whether it is there and nobody else has made it: everybody may write into shared memory."""
    return path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()


def _has_room(settings: Settings) -> bool:
    if not SHARED_MEMORY.is_dir():
        return False
    needed = _BASE_BYTES + _PER_RUN_BYTES * settings.in_flight
    return shutil.disk_usage(SHARED_MEMORY).free >= needed and _available_bytes() >= 2 * needed


def _available_bytes() -> int:
    """Memory that can be had without swapping; 0 where the system does not say."""
    source = Path("/proc/meminfo")
    lines = source.read_text().splitlines() if source.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)
