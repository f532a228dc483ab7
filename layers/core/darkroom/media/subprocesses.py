"""A Python child process, for native code that may crash or that cannot be stopped in another way.

It runs one function of the package on its standard input and output. It ends with its `with` block, and with its
parent.
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
def spawn_python(module: str, *arguments: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a process that calls `main(*arguments)` of a module, given by its dotted name; arguments are literals."""
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
                with suppress(BrokenPipeError):  # closing flushes what the process has not read
                    pipe.close()


def _program(module: str, arguments: tuple[Any, ...]) -> str:
    setup = f"import sys; sys.path = {sys.path!r}; from darkroom.media.subprocesses import exit_with_parent; "
    call = f"from {module} import main; main(*{arguments!r})"
    return f"{setup}exit_with_parent({os.getpid()}); {call}"


def exit_with_parent(parent: int) -> None:
    """Makes the kernel kill this process when `parent` ends. Exits if it has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
