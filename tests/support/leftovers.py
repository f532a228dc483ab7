"""Child processes and open files that a test may leave behind, read from /proc."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def children() -> list[int]:
    """Processes whose parent is this one, including those that have exited and were not waited for."""
    own = str(os.getpid())
    return [pid for pid, stat in processes() if stat[1] == own]


def processes() -> Iterator[tuple[int, list[str]]]:
    """Every process's id and its state, parent, group, session ..."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue  # it has just exited
            yield int(folder.name), stat.rpartition(")")[2].split()


def count_open_files() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds; fails after two seconds."""
    end = time.monotonic() + 2
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
