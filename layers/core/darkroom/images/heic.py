"""HEIC, decoded in a process of its own: libheif and what it decodes with have crashed on damaged files.

The process gets the file, behind its length. It tells the header, a line of JSON, with the metadata behind it; and when
told to go on the size, another line, with the pixels behind it.
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
class Opened:
    """A picture whose header was read; where it is to be turned, libheif may tell its `size` as it is stored.

    `mode` is L, LA, RGB or RGBA; `metadata` holds what is there of `icc_profile`, `exif` and `xmp`.
    """

    size: Size
    mode: str
    bit_depth: int
    metadata: dict[str, bytes]
    _child: subprocess.Popen[bytes]

    def pixels(self) -> tuple[Size, bytes]:
        """The upright picture: its size, and a byte for each channel. Raises CorruptMediaError and WorkerDiedError."""
        _write(self._child, GO)
        size = Size(*_told(self._child))
        return size, _read(self._child, size.pixels * len(self.mode))


@contextmanager
def opened(content: bytes) -> Iterator[Opened]:
    """The picture in a HEIC file, for as long as the block lasts. Raises CorruptMediaError and WorkerDiedError."""
    with spawn_python("darkroom.images.heic_process") as child:
        _write(child, len(content).to_bytes(LENGTH_BYTES), content)
        told = _told(child)
        metadata = {name: _read(child, length) for name, length in told["metadata"].items()}
        yield Opened(Size(*told["size"]), told["mode"], told["bit_depth"], metadata, child)


def _stdout(child: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast(IO[bytes], child.stdout)


def _write(child: subprocess.Popen[bytes], *parts: bytes) -> None:
    pipe = cast(IO[bytes], child.stdin)
    with suppress(BrokenPipeError):  # how it ended is told where its answer is missing
        for part in parts:
            pipe.write(part)
        pipe.flush()


def _told(child: subprocess.Popen[bytes]) -> Any:
    return json.loads(_stdout(child).readline() or _failed(child))


def _read(child: subprocess.Popen[bytes], length: int) -> bytes:
    content = _stdout(child).read(length)
    return content if len(content) == length else _failed(child)


def _failed(child: subprocess.Popen[bytes]) -> NoReturn:
    """Raises what the end of the process means."""
    if child.wait() == -signal.SIGKILL:
        raise WorkerDiedError("The decoder was killed, most likely because the function ran out of memory.")
    raise CorruptMediaError("The picture is damaged or cut short (HEIC).")
