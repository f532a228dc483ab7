"""Encoding in a process of its own, which can be stopped.

The AVIF and WebP encoders take seconds for a large image, during which libvips neither reports progress nor can be
stopped. The pixels and the metadata to keep are sent as an uncompressed PNG through a pipe.
"""

import os
import selectors
import subprocess
from typing import IO, Any, cast

import pyvips

from darkroom.errors import WorkerDiedError
from darkroom.images import vips
from darkroom.images.vips import set_up, track_progress
from darkroom.media.subprocesses import spawn_python
from darkroom.media.task import Task

_PIPE_READ_BYTES = 65_536

#: Share of the progress for decoding; the rest is encoding, which reports none.
_DECODE_SHARE = 0.3


def encode_in_process(
    image: pyvips.Image, saver: str, options: dict[str, Any], task: Task, *, start: float = 0.0, end: float = 1.0
) -> bytes:
    """Encodes `image` with a saver ("heifsave", "webpsave") and its options; reports progress from `start` to `end`.

    Raises ProcessingTimedOutError, Superseded, WorkerDiedError and pyvips.Error.
    """
    with spawn_python("darkroom.images.encode_process", saver, options) as child:
        sent = start + (end - start) * _DECODE_SHARE
        with track_progress(image, task, start=start, end=sent):
            _send(image, child, options["keep"])
        return _receive(child, task, sent)


def _send(image: pyvips.Image, child: subprocess.Popen[bytes], keep: str) -> None:
    pipe = cast(IO[bytes], child.stdin)
    target = pyvips.Target.new_to_descriptor(pipe.fileno())
    try:
        image.pngsave_target(target, compression=0, filter="none", keep=keep)
    except pyvips.Error as error:
        if "Broken pipe" in error.detail:
            raise _exit_error() from error
        raise
    pipe.close()


def _receive(child: subprocess.Popen[bytes], task: Task, fraction: float) -> bytes:
    pipe = cast(IO[bytes], child.stdout)
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(min(vips.PROGRESS_PERIOD_S, task.remaining_s())):
                task.report_progress(fraction)
                continue
            part = os.read(pipe.fileno(), _PIPE_READ_BYTES)
            if not part:
                break
            parts.append(part)
    if child.wait() != 0:
        raise _exit_error()
    return b"".join(parts)


def _exit_error() -> WorkerDiedError:
    return WorkerDiedError("The encoder crashed, most likely because the function ran out of memory.")


def main(saver: str, options: dict[str, Any]) -> None:
    """The child process: reads an image from standard input and writes the encoded one to standard output."""
    set_up()
    image = pyvips.Image.new_from_source(pyvips.Source.new_from_descriptor(0), "", access="sequential")
    getattr(image, f"{saver}_target")(pyvips.Target.new_to_descriptor(1), **options)
