"""Child processes and open files that a test may leave behind."""

import os
from pathlib import Path

from localstack.services.processes import table


def children(parent: int | None = None) -> list[int]:
    """The child processes of a process, of this one by default, including those that exited and were not awaited."""
    wanted = os.getpid() if parent is None else parent
    return [row.pid for row in table().values() if row.parent == wanted]


def count_open_files() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
