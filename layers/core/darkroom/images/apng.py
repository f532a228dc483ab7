"""Animated PNG, which libvips neither reads nor writes: libvips handles each frame as a PNG, this module the chunks.

Of each frame after the first, only the area that changes is stored.
Format: https://www.w3.org/TR/png-3/#apng-frame-based-animation
"""

import struct
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pyvips

from darkroom.errors import CorruptMediaError
from darkroom.images import vips
from darkroom.images.limits import check_decoded_whole
from darkroom.images.png import PngChunk, read_png_chunks, write_png
from darkroom.images.vips import animation_strip, map_vips_errors, split_frames
from darkroom.media.geometry import Box, Size
from darkroom.media.task import Limits, Task

#: The most chunks of a file that are searched for the delays of its frames.
_MAX_CHUNKS = 100_000

#: Delay of frames that have none, in milliseconds.
_DEFAULT_DELAY_MS = 100

#: The largest numerator of a delay, which is a 16-bit fraction of seconds.
_MAX_DELAY_UNITS = 65_535

#: What happens to a frame's area before the next frame, and how the frame is drawn onto the canvas.
_DISPOSE_NONE, _DISPOSE_BACKGROUND, _DISPOSE_PREVIOUS = 0, 1, 2
_BLEND_SOURCE, _BLEND_OVER = 0, 1

#: Chunks that every frame needs to be decoded: its palette, and which colors are transparent.
_COLOR_CHUNKS = (b"PLTE", b"tRNS")

#: Metadata fields of libvips that belong to the whole file; the single tags of EXIF are further fields.
_FILE_FIELDS = ("icc-profile-data", "exif-data", "xmp-data", "orientation")


# The header ----------------------------------------------------------------------------------------------------------


def count_apng_frames(content: bytes) -> int:
    """The number of frames a PNG declares: 1 unless it is an animation."""
    for kind, body in read_png_chunks(content):
        if kind == b"acTL" and len(body) == 8:
            return max(1, int.from_bytes(body[:4]))
        if kind == b"IDAT":
            break
    return 1


def read_apng_timing(content: bytes) -> tuple[list[float], int]:
    """The delay of each frame in seconds, and how often the animation plays; 0 means forever."""
    delays_s, plays = list[float](), 0
    for kind, body in islice(read_png_chunks(content), _MAX_CHUNKS):
        if kind == b"acTL" and len(body) == 8:
            plays = int.from_bytes(body[4:])
        elif kind == b"fcTL" and len(body) == 26:
            delays_s.append(int.from_bytes(body[20:22]) / (int.from_bytes(body[22:24]) or 100))
    return delays_s, plays


# Reading -------------------------------------------------------------------------------------------------------------


class _StoredFrame(NamedTuple):
    """A frame as it is stored: a PNG of the area that changes, its place, its disposal and how it is blended."""

    png: bytes
    box: Box
    disposal: int
    blend: int


def open_apng(content: bytes, header: pyvips.Image, count: int, limits: Limits) -> pyvips.Image:
    """The first `count` frames in RGBA as an animation strip; `header` is what libvips reads of the file.

    Pillow reads such files too, but blends translucent areas so that what was opaque below them no longer is.
    Raises TooManyPixelsError and CorruptMediaError.
    """
    size = Size(header.width, header.height)
    check_decoded_whole(size, count, limits)
    frames: list[pyvips.Image] = []
    with map_vips_errors():
        canvas = pyvips.Image.black(*size, bands=4).copy(interpretation="srgb")
        for frame in islice(_stored_frames(content), count):
            left, top, width, height = frame.box
            if 0 in (width, height) or left + width > size.width or top + height > size.height:
                raise CorruptMediaError("The image is damaged or truncated (a frame lies outside of it).")
            below = canvas.crop(*frame.box)
            frames.append(canvas.insert(_blend(frame, below), left, top).copy_memory())
            # There is nothing previous to the first frame, so its area is cleared.
            if frame.disposal == _DISPOSE_BACKGROUND or (frame.disposal == _DISPOSE_PREVIOUS and len(frames) == 1):
                canvas = frames[-1].insert(pyvips.Image.black(width, height, bands=4), left, top)
            elif frame.disposal != _DISPOSE_PREVIOUS:
                canvas = frames[-1]
        if len(frames) < count:
            raise CorruptMediaError("The image is damaged or truncated (its last frames are missing).")
        delays_s, plays = read_apng_timing(content)
        delays_ms = [round(delay_s * 1000) for delay_s in delays_s[:count]]
        return _with_file_fields(animation_strip(frames, delays_ms, plays), header)


def _with_file_fields(strip: pyvips.Image, header: pyvips.Image) -> pyvips.Image:
    """With the profile and the metadata of the file."""
    strip = strip.copy()
    for name in header.get_fields():
        if name in _FILE_FIELDS or name.startswith("exif-ifd"):
            strip.set_type(header.get_typeof(name), name, header.get(name))
    return strip


def _blend(frame: _StoredFrame, below: pyvips.Image) -> pyvips.Image:
    """A frame's area in RGBA, blended with the canvas below it."""
    area = pyvips.Image.pngload_buffer(frame.png, fail_on="error")
    area = area.colourspace("srgb").cast("uchar")
    area = area if area.hasalpha() else area.addalpha()
    return below.composite2(area, "over").cast("uchar") if frame.blend == _BLEND_OVER else area


def _stored_frames(content: bytes) -> Iterator[_StoredFrame]:
    """The frames of a file. A default image, for viewers without support for animations, is not one of them."""
    header, colors, control, pixels = b"", list[PngChunk](), b"", list[bytes]()
    for kind, body in read_png_chunks(content):
        if kind == b"IHDR":
            header = body[8:]
        elif kind in _COLOR_CHUNKS:
            colors.append((kind, body))
        elif control and kind in (b"IDAT", b"fdAT"):
            pixels.append(body if kind == b"IDAT" else body[4:])
        elif kind == b"fcTL" and len(body) == 26:
            if control:
                yield _stored_frame(header, colors, control, pixels)
            control, pixels = body, []
    if control:
        yield _stored_frame(header, colors, control, pixels)


def _stored_frame(header: bytes, colors: list[PngChunk], control: bytes, pixels: list[bytes]) -> _StoredFrame:
    width, height, left, top = struct.unpack(">IIII", control[4:20])
    png = write_png([(b"IHDR", control[4:12] + header), *colors, (b"IDAT", b"".join(pixels))])
    return _StoredFrame(png, Box(left, top, width, height), *control[24:26])


# Writing -------------------------------------------------------------------------------------------------------------


def encode_apng(strip: pyvips.Image, encode_frame: Callable[[pyvips.Image], bytes], task: Task) -> bytes:
    """The animation as one file; `encode_frame` returns a PNG, always of the same bit depth and color type.

    The strip has to be in memory. Raises ProcessingTimedOutError and Superseded.
    """
    frames = split_frames(strip)
    plays = int(strip.get("loop")) if strip.get_typeof("loop") else 0
    areas = list(_changed_areas(frames, _delays_ms(strip, len(frames))))

    chunks = list[PngChunk]()
    sequence = 0
    next_report = time.monotonic() + vips.PROGRESS_PERIOD_S
    for number, (area, box, delay_ms) in enumerate(areas):
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + vips.PROGRESS_PERIOD_S
            task.report_progress(number / len(areas))
        encoded = list(read_png_chunks(encode_frame(area)))
        if number == 0:
            header, *others = [(kind, body) for kind, body in encoded if kind not in (b"IDAT", b"IEND")]
            chunks += [header, (b"acTL", struct.pack(">II", len(areas), plays)), *others]
        chunks.append((b"fcTL", _frame_control(sequence, box, delay_ms)))
        sequence += 1
        for kind, body in encoded:
            if kind == b"IDAT" and number == 0:
                chunks.append((b"IDAT", body))
            elif kind == b"IDAT":
                chunks.append((b"fdAT", struct.pack(">I", sequence) + body))
                sequence += 1
    return write_png(chunks)


def _delays_ms(strip: pyvips.Image, count: int) -> list[int]:
    known = list(strip.get("delay")) if strip.get_typeof("delay") else []
    return [*known, *[_DEFAULT_DELAY_MS] * count][:count]


def _changed_areas(frames: list[pyvips.Image], delays_ms: list[int]) -> Iterator[tuple[pyvips.Image, Box, int]]:
    """The changed area of each frame, its place and its delay; at least one pixel."""
    for number, (frame, delay_ms) in enumerate(zip(frames, delays_ms, strict=True)):
        box = Box(0, 0, frame.width, frame.height) if number == 0 else _difference_box(frames[number - 1], frame)
        yield frame.crop(*box), box, delay_ms


def _difference_box(before: pyvips.Image, after: pyvips.Image) -> Box:
    columns, rows = (before != after).bandor().project()
    left, width = _nonzero_span(bytes(columns.write_to_memory()))
    top, height = _nonzero_span(bytes(rows.write_to_memory()))
    return Box(left, top, width, height)


def _nonzero_span(counts: bytes) -> tuple[int, int]:
    """Start and length of the span from the first to the last 32-bit number above zero; 0 and 1 if there is none."""
    end = -(-len(counts.rstrip(b"\0")) // 4)
    start = (len(counts) - len(counts.lstrip(b"\0"))) // 4
    return (start, end - start) if end else (0, 1)


def _frame_control(sequence: int, box: Box, delay_ms: int) -> bytes:
    units_per_s = 1000 if delay_ms <= _MAX_DELAY_UNITS else 100  # more than 65 s do not fit in milliseconds
    delay = struct.pack(">HH", min(max(delay_ms, 0) * units_per_s // 1000, _MAX_DELAY_UNITS), units_per_s)
    area = struct.pack(">IIII", box.width, box.height, box.left, box.top)
    return struct.pack(">I", sequence) + area + delay + bytes([_DISPOSE_NONE, _BLEND_SOURCE])
