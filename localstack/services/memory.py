"""The memory that is free on this machine, and whether it is enough."""

from pathlib import Path

from localstack.errors import StackError
from localstack.settings import Settings

#: What a stack takes after every function has run, and what `make test` takes at most, each with a reserve.
STACK_BYTES = 2_000_000_000
TESTS_BYTES = 4_000_000_000

_MEMINFO = Path("/proc/meminfo")
#: The files of a container's limit: limit, use, and statistics. Of cgroups in their second and first version.
_CGROUPS = tuple(
    (Path(folder, limit), Path(folder, usage), Path(folder, "memory.stat"))
    for folder, limit, usage in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    )
)
#: Statistics that count cached files, which are dropped when memory is needed.
_CACHED = ("total_inactive_file", "inactive_file")


def available_bytes() -> int | None:
    """Memory that programs can get without swapping, within the container's limit. None if the system does not tell."""
    if not _MEMINFO.exists():
        return None
    fields = _numbers(_MEMINFO.read_text().replace(":", " "))
    return min([fields["MemAvailable"] * 1024, *(left for files in _CGROUPS if (left := _left(*files)) is not None)])


def require(settings: Settings, needed_bytes: int, purpose: str) -> None:
    """Raises StackError if less memory is available than `purpose` needs, unless the settings skip this check."""
    available = available_bytes()
    if settings.memory_check == "off" or available is None or available >= needed_bytes:
        return
    raise StackError(
        f"{purpose} needs {_gigabytes(needed_bytes)} of memory, and {_gigabytes(available)} are available. End other "
        "programs or stacks (make down), or start anyway with DARKROOM_MEMORY_CHECK=off."
    )


def _left(limit: Path, usage: Path, statistics: Path) -> int | None:
    if not limit.exists() or not (text := limit.read_text().strip()).isdecimal():
        return None
    fields = _numbers(statistics.read_text())
    cached = next((fields[name] for name in _CACHED if name in fields), 0)
    return int(text) - int(usage.read_text()) + cached


def _numbers(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
