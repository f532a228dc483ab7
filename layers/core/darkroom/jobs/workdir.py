"""The temporary directory of a run, removed when the run is over.

When a function's process dies, Lambda starts it again with the same /tmp and clears nothing, so the files of a crashed
run could fill the disk. Each run therefore removes what crashed runs left. Locks tell those from runs in flight,
because emulated functions may share a temporary directory.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

RUN_PREFIX = "darkroom-run-"


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A new empty directory for one run."""
    root = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        with _locked(root):  # else another process could take a new directory for a crashed run's before it is locked
            _remove_leftovers(root)
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=RUN_PREFIX, dir=root)))
            stack.enter_context(_locked(directory))
        yield directory


def _remove_leftovers(root: Path) -> None:
    for directory in root.glob(f"{RUN_PREFIX}*"):
        with contextlib.suppress(OSError), _locked(directory, fcntl.LOCK_NB):  # OSError: its run is in flight or done
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path, options: int = 0) -> Iterator[None]:
    """Holds a lock that the kernel releases when this process ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | options)
        yield
    finally:
        os.close(descriptor)
