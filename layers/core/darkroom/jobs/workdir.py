"""Where a run works: a directory of its own, gone when the run is over.

Lambda starts a function whose process has died anew in the same /tmp and clears nothing, so that gigabytes of a dead
run would be missing to those that follow: each run removes what dead ones have left. Locks tell them from runs under
way, since emulated functions may share a temporary directory.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "darkroom-run-"


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A new empty directory."""
    root = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        with _locked(root):  # nobody may take a directory for a dead run's before it is locked
            _remove_left(root)
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=root)))
            stack.enter_context(_locked(directory))
        yield directory


def _remove_left(root: Path) -> None:
    for left in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(left, fcntl.LOCK_NB):  # its run is under way, or it has just gone
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path, options: int = 0) -> Iterator[None]:
    """Holds a lock that ends with this process, however it ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | options)
        yield
    finally:
        os.close(descriptor)
