"""Encoding in a process of its own, which can be ended.

The AVIF and WebP encoders take seconds for a large picture, during which libvips neither tells its progress nor can be
stopped. The pixels, with what is kept of the metadata, travel as an uncompressed PNG through a pipe.
"""

import os
import selectors
import subprocess
from typing import IO, Any, cast

import pyvips

from darkroom.errors import WorkerDiedError
from darkroom.images.vips import LOOK_EVERY_S, set_up, watched
from darkroom.media.subprocesses import spawn_python
from darkroom.media.task import Task

_PIPE_READ_BYTES = 65_536

#: Decoding counts as this part of the progress; encoding, which cannot be measured, is the rest.
_DECODED = 0.3


def encoded(
    image: pyvips.Image, saver: str, options: dict[str, Any], task: Task, *, start: float = 0.0, end: float = 1.0
) -> bytes:
    """`image` as the saver ("heifsave", "webpsave") writes it with these options; tells progress from start to end.

    Raises ProcessingTimedOutError, Superseded, WorkerDiedError and pyvips.Error.
    """
    with spawn_python("darkroom.images.encode_process", saver, options) as child:
        sent = start + (end - start) * _DECODED
        with watched(image, task, start=start, end=sent):
            _send(image, child, options["keep"])
        return _received(child, task, sent)


def _send(image: pyvips.Image, child: subprocess.Popen[bytes], keep: str) -> None:
    pipe = cast(IO[bytes], child.stdin)
    target = pyvips.Target.new_to_descriptor(pipe.fileno())
    try:
        image.pngsave_target(target, compression=0, filter="none", keep=keep)
    except pyvips.Error as error:
        if "Broken pipe" in error.detail:
            raise _died() from error
        raise
    pipe.close()


def _received(child: subprocess.Popen[bytes], task: Task, fraction: float) -> bytes:
    pipe = cast(IO[bytes], child.stdout)
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(min(LOOK_EVERY_S, task.remaining_s())):
                task.report_progress(fraction)
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


def main(saver: str, options: dict[str, Any]) -> None:
    """The encoding process: reads a picture from its standard input and writes the result to its standard output."""
    set_up()
    image = pyvips.Image.new_from_source(pyvips.Source.new_from_descriptor(0), "", access="sequential")
    getattr(image, f"{saver}_target")(pyvips.Target.new_to_descriptor(1), **options)
