"""The child process that decodes HEIC; `heic.py` documents the protocol. It imports as little as possible."""

import json
import resource
import sys
from contextlib import suppress
from typing import Any, BinaryIO

LENGTH_BYTES = 8
GO = b"\n"

#: Seconds of CPU time that an image may take. The largest that is decoded takes less than a tenth of it.
_MAX_CPU_S = 60

#: The mode in which each of Pillow's modes is returned; any other becomes RGB or RGBA. Gray may have 16 bits.
_GRAY_16 = "I;16"
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", _GRAY_16: "L"}

#: Metadata that is returned, by the names that libheif and Pillow share.
_METADATA = ("icc_profile", "exif", "xmp")


def main() -> None:
    """Reads a file, writes its header, and after `GO` its pixels. Exits without output if it cannot."""
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_S, _MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError, SyntaxError, EOFError, RuntimeError):  # libheif's errors are mapped to these
        _decode(sys.stdin.buffer, sys.stdout.buffer)


def _decode(source: BinaryIO, target: BinaryIO) -> None:
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1
    image = pi_heif.open_heif(source.read(int.from_bytes(source.read(LENGTH_BYTES))))
    pi_heif.set_orientation(image.info)  # libheif has applied it
    mode = _MODES.get(image.mode, "RGBA" if image.has_alpha else "RGB")
    metadata = {name: bytes(image.info[name]) for name in _METADATA if image.info.get(name)}
    header = {
        "size": image.size,
        "mode": mode,
        "bit_depth": int(image.info.get("bit_depth") or 8),
        "metadata": {name: len(content) for name, content in metadata.items()},
    }
    target.write(json.dumps(header).encode() + b"\n" + b"".join(metadata.values()))
    target.flush()
    if source.read(len(GO)):
        pixels = _to_8_bits(image, mode)
        target.write(json.dumps(image.size).encode() + b"\n")
        target.write(pixels)
        target.flush()


def _to_8_bits(image: Any, mode: str) -> bytes:
    if image.mode == _GRAY_16:
        return bytes(image.data[1::2])  # the upper byte of each sample, which is the second
    return bytes(image.data if image.mode == mode else image.to_pillow().convert(mode).tobytes())
