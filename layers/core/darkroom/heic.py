"""HEIC, decoded in a process of its own: libheif and what it decodes with have crashed on damaged files.

The process tells a picture's header and, when asked, its pixels. It is asked only after the header was looked at.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from darkroom.errors import CorruptMediaError, WorkerDiedError
from darkroom.geometry import Size
from darkroom.spawn import spawned

#: Seconds of processor time that a picture may take. The largest that is decoded takes a tenth of it.
_MOST_CPU_S = 60

#: What kinds of pixels are handed on as, by Pillow's names; others become RGB or RGBA. Grey ones may have 16 bits.
_GREY_16 = "I;16"
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", _GREY_16: "L"}

#: What goes along: libheif's names, which are those of Pillow.
_METADATA = ("icc_profile", "exif", "xmp")

_GO = b"\n"
_LENGTH_BYTES = 8


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
        _write(self._child, _GO)
        size = Size(*_told(self._child))
        return size, _read(self._child, size.pixels * len(self.mode))


@contextmanager
def opened(content: bytes) -> Iterator[Opened]:
    """The picture in a HEIC file, for as long as the block lasts. Raises CorruptMediaError and WorkerDiedError."""
    with spawned("heic") as child:
        _write(child, len(content).to_bytes(_LENGTH_BYTES), content)
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


def _failed(child: subprocess.Popen[bytes]) -> Any:
    """Raises what the end of the process means."""
    if child.wait() == -9:
        raise WorkerDiedError("The decoder was killed, most likely because the function ran out of memory.")
    raise CorruptMediaError("The picture is damaged or cut short (HEIC).")


# The process -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Reads a file, tells its header, and when told to go on, its pixels. Just ends where it cannot."""
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError, SyntaxError, EOFError, RuntimeError):  # what libheif's complaints become
        _tell(sys.stdin.buffer, sys.stdout.buffer)


def _tell(source: BinaryIO, target: BinaryIO) -> None:
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1
    picture = pi_heif.open_heif(source.read(int.from_bytes(source.read(_LENGTH_BYTES))))
    pi_heif.set_orientation(picture.info)  # it is applied
    mode = _MODES.get(picture.mode, "RGBA" if picture.has_alpha else "RGB")
    metadata = {name: bytes(picture.info[name]) for name in _METADATA if picture.info.get(name)}
    told = {
        "size": picture.size,
        "mode": mode,
        "bit_depth": int(picture.info.get("bit_depth") or 8),
        "metadata": {name: len(content) for name, content in metadata.items()},
    }
    target.write(json.dumps(told).encode() + b"\n" + b"".join(metadata.values()))
    target.flush()
    if source.read(len(_GO)):
        pixels = _eight_bits(picture, mode)
        target.write(json.dumps(picture.size).encode() + b"\n")
        target.write(pixels)
        target.flush()


def _eight_bits(picture: Any, mode: str) -> bytes:
    if picture.mode == _GREY_16:
        return bytes(picture.data[1::2])  # the upper byte of each, which comes last
    return bytes(picture.data if picture.mode == mode else picture.to_pillow().convert(mode).tobytes())
