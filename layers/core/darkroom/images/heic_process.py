"""The process that decodes HEIC for `heic.py`, which says what travels between them. It imports as little as it can."""

import json
import resource
import sys
from contextlib import suppress
from typing import Any, BinaryIO

LENGTH_BYTES = 8
GO = b"\n"

#: Seconds of processor time that a picture may take. The largest that is decoded takes less than a tenth of it.
_MOST_CPU_S = 60

#: What kinds of pixels are handed on as, by Pillow's names; others become RGB or RGBA. Grey ones may have 16 bits.
_GREY_16 = "I;16"
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", _GREY_16: "L"}

#: What goes along: libheif's names, which are those of Pillow.
_METADATA = ("icc_profile", "exif", "xmp")


def main() -> None:
    """Reads a file, tells its header, and when told to go on, its pixels. Just ends where it cannot."""
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError, SyntaxError, EOFError, RuntimeError):  # what libheif's complaints become
        _tell(sys.stdin.buffer, sys.stdout.buffer)


def _tell(source: BinaryIO, target: BinaryIO) -> None:
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1
    picture = pi_heif.open_heif(source.read(int.from_bytes(source.read(LENGTH_BYTES))))
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
    if source.read(len(GO)):
        pixels = _eight_bits(picture, mode)
        target.write(json.dumps(picture.size).encode() + b"\n")
        target.write(pixels)
        target.flush()


def _eight_bits(picture: Any, mode: str) -> bytes:
    if picture.mode == _GREY_16:
        return bytes(picture.data[1::2])  # the upper byte of each, which comes last
    return bytes(picture.data if picture.mode == mode else picture.to_pillow().convert(mode).tobytes())
