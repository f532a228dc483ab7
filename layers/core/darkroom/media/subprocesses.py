"""A Python process beside this one, for native code that may crash or that nothing else can stop.

It runs one function of the package on its standard input and output, and is gone when its block ends or its parent
does.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_PR_SET_PDEATHSIG = 1


@contextmanager
def spawned(module: str, *arguments: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that calls `main(*arguments)` of a module, given by its dotted name; the arguments are literals."""
    argv = [sys.executable, "-I", "-S", "-c", _program(module, arguments)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):  # what it did not read is lost with it
                    pipe.close()


def _program(module: str, arguments: tuple[Any, ...]) -> str:
    found = f"import sys; sys.path = {sys.path!r}; from darkroom.media.subprocesses import end_with_parent; "
    run = f"from {module} import main; main(*{arguments!r})"
    return f"{found}end_with_parent({os.getpid()}); {run}"


def end_with_parent(parent: int) -> None:
    """Has the kernel kill this process when `parent` ends; exits where it has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
