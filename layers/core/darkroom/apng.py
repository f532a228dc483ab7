"""Animated PNG, which libvips does not write: each frame is encoded by it, and the chunks are put together here.

Of a frame only the part is stored that differs from the one before. Format: https://www.w3.org/TR/png-3/#apng-frame-based-animation
"""

import struct
import time
import zlib
from collections.abc import Callable, Iterator

import pyvips

from darkroom.decoded import PNG_SIGNATURE, chunks
from darkroom.geometry import Box
from darkroom.task import Task
from darkroom.vips import LOOK_EVERY_S

#: What a GIF without times is shown at, in milliseconds.
_DEFAULT_DELAY_MS = 100

_KEEP_WHAT_IS_THERE = 0
_REPLACE = 0


def encoded(strip: pyvips.Image, encode: Callable[[pyvips.Image], bytes], task: Task) -> bytes:
    """The frames of a strip in memory as one file; `encode` makes a PNG of an image, always of the same pixel type.

    Raises ProcessingTimedOutError and Superseded.
    """
    height = strip.get_page_height()
    frames = [strip.crop(0, top, strip.width, height) for top in range(0, strip.height, height)]
    plays = int(strip.get("loop")) if strip.get_typeof("loop") else 0
    written = list(_parts(frames, _delays(strip, len(frames))))

    file = [PNG_SIGNATURE]
    sequence = 0
    next_look = time.monotonic() + LOOK_EVERY_S
    for number, (image, box, delay_ms) in enumerate(written):
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_EVERY_S
            task.progress(number / len(written))
        found = list(chunks(encode(image)))
        if number == 0:
            head = [(kind, body) for kind, body in found if kind not in (b"IDAT", b"IEND")]
            file += [_chunk(*head[0]), _chunk(b"acTL", struct.pack(">II", len(written), plays))]
            file += [_chunk(kind, body) for kind, body in head[1:]]
        file.append(_chunk(b"fcTL", _control(sequence, box, delay_ms)))
        sequence += 1
        for kind, body in found:
            if kind == b"IDAT" and number == 0:
                file.append(_chunk(b"IDAT", body))
            elif kind == b"IDAT":
                file.append(_chunk(b"fdAT", struct.pack(">I", sequence) + body))
                sequence += 1
    return b"".join([*file, _chunk(b"IEND", b"")])


def _delays(strip: pyvips.Image, count: int) -> list[int]:
    known = list(strip.get("delay")) if strip.get_typeof("delay") else []
    return [*known, *[_DEFAULT_DELAY_MS] * count][:count]


def _parts(frames: list[pyvips.Image], delays: list[int]) -> Iterator[tuple[pyvips.Image, Box, int]]:
    """Of each frame what changed, where it lies, and how long it is shown; at least one pixel."""
    for number, (frame, delay_ms) in enumerate(zip(frames, delays, strict=True)):
        box = Box(0, 0, frame.width, frame.height) if number == 0 else _changed(frames[number - 1], frame)
        yield frame.crop(*box), box, delay_ms


def _changed(before: pyvips.Image, after: pyvips.Image) -> Box:
    columns, rows = (before != after).bandor().project()
    left, width = _span(bytes(columns.write_to_memory()))
    top, height = _span(bytes(rows.write_to_memory()))
    return Box(left, top, width, height)


def _span(counts: bytes) -> tuple[int, int]:
    """Where the first 32-bit number above zero stands, and how far it is to behind the last one; 0 and 1 for none."""
    behind = -(-len(counts.rstrip(b"\0")) // 4)
    first = (len(counts) - len(counts.lstrip(b"\0"))) // 4
    return (first, behind - first) if behind else (0, 1)


def _control(sequence: int, box: Box, delay_ms: int) -> bytes:
    shown = struct.pack(">HH", min(max(delay_ms, 0), 65_535), 1000)
    place = struct.pack(">IIII", box.width, box.height, box.left, box.top)
    return struct.pack(">I", sequence) + place + shown + bytes([_KEEP_WHAT_IS_THERE, _REPLACE])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
