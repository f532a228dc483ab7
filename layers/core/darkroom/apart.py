"""Encoding in a process of its own, which can be ended.

The AVIF and WebP encoders take seconds for a large picture, during which libvips neither tells its progress nor can be
stopped. The pixels, with what is kept of the metadata, travel as an uncompressed PNG through a pipe.
"""

import ctypes
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import pyvips

from darkroom.errors import WorkerDiedError
from darkroom.task import Task
from darkroom.vips import LOOK_EVERY_S, set_up, watched

_PIPE_READ_BYTES = 65_536
_PR_SET_PDEATHSIG = 1

#: Decoding is told as the first part of the progress; encoding, which cannot be measured, is the rest.
_DECODED = 0.3


def encoded(image: pyvips.Image, saver: str, task: Task, **options: Any) -> bytes:
    """`image` as the saver ("heifsave", "webpsave") writes it with these options.

    Raises ProcessingTimedOutError, Superseded, WorkerDiedError and pyvips.Error.
    """
    with _encoder(saver, options) as child:
        _send(image, child, task, options["keep"])
        return _received(child, task)


@contextmanager
def _encoder(saver: str, options: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads a picture from its input and writes the result to its output; gone when the block ends."""
    program = f"import sys; sys.path = {sys.path!r}; from darkroom.apart import main; "
    program += f"main({os.getpid()}, {saver!r}, {options!r})"
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _send(image: pyvips.Image, child: subprocess.Popen[bytes], task: Task, keep: str) -> None:
    pipe = cast(IO[bytes], child.stdin)
    target = pyvips.Target.new_to_descriptor(pipe.fileno())
    try:
        with watched(image, task, end=_DECODED):
            image.pngsave_target(target, compression=0, filter="none", keep=keep)
    except pyvips.Error:
        if child.poll() is not None:
            raise _died() from None
        raise
    pipe.close()


def _received(child: subprocess.Popen[bytes], task: Task) -> bytes:
    pipe = cast(IO[bytes], child.stdout)
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(min(LOOK_EVERY_S, task.remaining_s())):
                task.progress(_DECODED)
                continue
            part = os.read(pipe.fileno(), _PIPE_READ_BYTES)
            if not part:
                break
            parts.append(part)
    if child.wait() != 0:
        raise _died()
    return b"".join(parts)


def _died() -> WorkerDiedError:
    return WorkerDiedError("The encoder died, most likely because the function ran out of memory.")


def main(parent: int, saver: str, options: dict[str, Any]) -> None:
    """The encoding process. It ends when its parent does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    set_up()
    image = pyvips.Image.new_from_source(pyvips.Source.new_from_descriptor(0), "", access="sequential")
    getattr(image, f"{saver}_target")(pyvips.Target.new_to_descriptor(1), **options)
