"""HEIC, decoded in a process of its own, because libheif and its decoders have crashed on damaged files.

The protocol: the child reads the length of the file and the file. It writes its header, a line of JSON, followed by the
metadata. After `GO` it writes the size, another line of JSON, followed by the pixels.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, NoReturn, cast

from darkroom.errors import CorruptMediaError, WorkerDiedError
from darkroom.images.heic_process import GO, LENGTH_BYTES
from darkroom.media.geometry import Size
from darkroom.media.subprocesses import spawn_python


@dataclass(frozen=True)
class HeicImage:
    """An image whose header has been read. If it has to be rotated, libheif may report its `size` as stored.

    `mode` is L, LA, RGB or RGBA; `metadata` holds those of `icc_profile`, `exif` and `xmp` that the file has.
    """

    size: Size
    mode: str
    bit_depth: int
    metadata: dict[str, bytes]
    _child: subprocess.Popen[bytes]

    def decode(self) -> tuple[Size, bytes]:
        """The size of the upright image and one byte per channel. Raises CorruptMediaError and WorkerDiedError."""
        _send(self._child, GO)
        size = Size(*_receive_json(self._child))
        return size, _receive(self._child, size.pixels * len(self.mode))


@contextmanager
def open_heic(content: bytes) -> Iterator[HeicImage]:
    """Opens the image for the duration of the block. Raises CorruptMediaError and WorkerDiedError."""
    with spawn_python("darkroom.images.heic_process") as child:
        _send(child, len(content).to_bytes(LENGTH_BYTES), content)
        header = _receive_json(child)
        metadata = {name: _receive(child, length) for name, length in header["metadata"].items()}
        yield HeicImage(Size(*header["size"]), header["mode"], header["bit_depth"], metadata, child)


def _stdout(child: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast(IO[bytes], child.stdout)


def _send(child: subprocess.Popen[bytes], *parts: bytes) -> None:
    pipe = cast(IO[bytes], child.stdin)
    with suppress(BrokenPipeError):  # the missing answer is reported with the exit status
        for part in parts:
            pipe.write(part)
        pipe.flush()


def _receive_json(child: subprocess.Popen[bytes]) -> Any:
    return json.loads(_stdout(child).readline() or _raise_exit_error(child))


def _receive(child: subprocess.Popen[bytes], length: int) -> bytes:
    content = _stdout(child).read(length)
    return content if len(content) == length else _raise_exit_error(child)


def _raise_exit_error(child: subprocess.Popen[bytes]) -> NoReturn:
    """Raises the error that corresponds to the exit status of the process."""
    if child.wait() == -signal.SIGKILL:
        raise WorkerDiedError("The decoder was killed, most likely because the function ran out of memory.")
    raise CorruptMediaError("The image is damaged or truncated (HEIC).")
