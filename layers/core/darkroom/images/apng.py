"""Animated PNG, which libvips neither reads nor writes: each frame is a PNG to it, the chunks are sorted out here.

Of a frame only the part is stored that differs from the one before. Format: https://www.w3.org/TR/png-3/#apng-frame-based-animation
"""

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pyvips

from darkroom.errors import CorruptMediaError
from darkroom.images import pillow
from darkroom.images.vips import LOOK_EVERY_S, film, frames_of, translated
from darkroom.media.geometry import Box, Size
from darkroom.media.task import Limits, Task

SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Chunks of a file that are looked at for the times of its frames.
_MOST_CHUNKS = 100_000

#: What a GIF without times is shown at, in milliseconds.
_DEFAULT_DELAY_MS = 100

#: The longest time of a frame, in units of which the file says how many make a second.
_MOST_UNITS = 65_535

#: What becomes of a frame's part before the next frame, and how the part is laid on what is there.
_KEEP_WHAT_IS_THERE, _CLEAR, _AS_BEFORE = 0, 1, 2
_REPLACE, _OVER = 0, 1

#: Chunks that a frame cannot be decoded without: its palette, and which colours are transparent.
_COLOURS = (b"PLTE", b"tRNS")

#: What libvips calls the rest that a file tells, beside the single tags of its EXIF.
_TOLD = ("icc-profile-data", "exif-data", "xmp-data", "orientation")


# What a file says ---------------------------------------------------------------------------------------------------


def frame_count(content: bytes) -> int:
    """How many frames a PNG says it has: 1 unless it is an animation."""
    for kind, body in chunks(content):
        if kind == b"acTL" and len(body) == 8:
            return max(1, int.from_bytes(body[:4]))
        if kind == b"IDAT":
            break
    return 1


def times(content: bytes) -> tuple[list[float], int]:
    """How long each frame of an animated PNG is shown, in seconds, and how often it plays; 0 is for ever."""
    delays, plays = list[float](), 0
    for kind, body in islice(chunks(content), _MOST_CHUNKS):
        if kind == b"acTL" and len(body) == 8:
            plays = int.from_bytes(body[4:])
        elif kind == b"fcTL" and len(body) == 26:
            delays.append(int.from_bytes(body[20:22]) / (int.from_bytes(body[22:24]) or 100))
    return delays, plays


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of the chunks of a PNG, as far as they are there."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


# Reading -----------------------------------------------------------------------------------------------------------


class _Frame(NamedTuple):
    """A frame as it is stored: a PNG of the part that changes, where that lies, and how it is laid there."""

    png: bytes
    box: Box
    disposal: int
    blend: int


def opened(content: bytes, header: pyvips.Image, count: int, limits: Limits) -> pyvips.Image:
    """The first frames of a file below each other in RGBA, with times and loops; `header` is what libvips reads of it.

    Pillow reads such files too, but lays half transparent parts so that what was opaque below them no longer is.
    Raises TooManyPixelsError and CorruptMediaError.
    """
    size = Size(header.width, header.height)
    pillow.check_pixels(size, count, min(limits.pixels, pillow.MAX_PIXELS), "The picture")
    images: list[pyvips.Image] = []
    with translated():
        canvas = pyvips.Image.black(*size, bands=4).copy(interpretation="srgb")
        for frame in islice(_stored(content), count):
            left, top, width, height = frame.box
            if 0 in (width, height) or left + width > size.width or top + height > size.height:
                raise CorruptMediaError("The picture is damaged or cut short (a frame lies outside of it).")
            under = canvas.crop(*frame.box)
            images.append(canvas.insert(_laid(frame, under), left, top).copy_memory())
            # Nothing is before the first frame, which is therefore cleared.
            if frame.disposal == _CLEAR or (frame.disposal == _AS_BEFORE and len(images) == 1):
                canvas = images[-1].insert(pyvips.Image.black(width, height, bands=4), left, top)
            elif frame.disposal != _AS_BEFORE:
                canvas = images[-1]
        if len(images) < count:
            raise CorruptMediaError("The picture is damaged or cut short (its last frames are missing).")
        delays_s, plays = times(content)
        return _telling(film(images, [round(delay_s * 1000) for delay_s in delays_s[:count]], plays), header)


def _telling(strip: pyvips.Image, header: pyvips.Image) -> pyvips.Image:
    """With the profile and the metadata of the file."""
    strip = strip.copy()
    for name in header.get_fields():
        if name in _TOLD or name.startswith("exif-ifd"):
            strip.set_type(header.get_typeof(name), name, header.get(name))
    return strip


def _laid(frame: _Frame, under: pyvips.Image) -> pyvips.Image:
    """A frame's part in RGBA, on what is there."""
    part = pyvips.Image.pngload_buffer(frame.png, fail_on="error")
    part = part.colourspace("srgb").cast("uchar")
    part = part if part.hasalpha() else part.addalpha()
    return under.composite2(part, "over").cast("uchar") if frame.blend == _OVER else part


def _stored(content: bytes) -> Iterator[_Frame]:
    """The frames of a file; a picture in front of them, for viewers that know no animations, is none."""
    header, colours, control, pixels = b"", list[bytes](), b"", list[bytes]()
    for kind, body in chunks(content):
        if kind == b"IHDR":
            header = body[8:]
        elif kind in _COLOURS:
            colours.append(_chunk(kind, body))
        elif control and kind in (b"IDAT", b"fdAT"):
            pixels.append(body if kind == b"IDAT" else body[4:])
        elif kind == b"fcTL" and len(body) == 26:
            if control:
                yield _frame(header, colours, control, pixels)
            control, pixels = body, []
    if control:
        yield _frame(header, colours, control, pixels)


def _frame(header: bytes, colours: list[bytes], control: bytes, pixels: list[bytes]) -> _Frame:
    width, height, left, top = struct.unpack(">IIII", control[4:20])
    head = _chunk(b"IHDR", control[4:12] + header)
    png = b"".join([SIGNATURE, head, *colours, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")])
    return _Frame(png, Box(left, top, width, height), *control[24:26])


# Writing -----------------------------------------------------------------------------------------------------------


def encoded(strip: pyvips.Image, encode: Callable[[pyvips.Image], bytes], task: Task) -> bytes:
    """The frames of a strip in memory as one file; `encode` makes a PNG of an image, always of the same pixel type.

    Raises ProcessingTimedOutError and Superseded.
    """
    images = frames_of(strip)
    plays = int(strip.get("loop")) if strip.get_typeof("loop") else 0
    written = list(_parts(images, _delays(strip, len(images))))

    file = [SIGNATURE]
    sequence = 0
    next_look = time.monotonic() + LOOK_EVERY_S
    for number, (image, box, delay_ms) in enumerate(written):
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_EVERY_S
            task.report_progress(number / len(written))
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


def _parts(images: list[pyvips.Image], delays: list[int]) -> Iterator[tuple[pyvips.Image, Box, int]]:
    """Of each frame what changed, where it lies, and how long it is shown; at least one pixel."""
    for number, (frame, delay_ms) in enumerate(zip(images, delays, strict=True)):
        box = Box(0, 0, frame.width, frame.height) if number == 0 else _changed(images[number - 1], frame)
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
    a_second = 1000 if delay_ms <= _MOST_UNITS else 100  # a minute has more milliseconds than there is room for
    shown = struct.pack(">HH", min(max(delay_ms, 0) * a_second // 1000, _MOST_UNITS), a_second)
    place = struct.pack(">IIII", box.width, box.height, box.left, box.top)
    return struct.pack(">I", sequence) + place + shown + bytes([_KEEP_WHAT_IS_THERE, _REPLACE])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
