"""The boxes of an MP4 or QuickTime file, and the times at which its tracks end (ISO/IEC 14496-12)."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

#: A box starts with 4 bytes of length and 4 of type; a length of 1 means that 8 bytes with the real length follow.
_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 16
_LONG_LENGTH = 1

#: Offsets of the time scale (ticks per second) in `mvhd` and of the track's duration (ticks) in `tkhd`, 4 bytes each in
#: version 0 of these boxes. FFmpeg writes version 1, with other offsets, only beyond 49 days.
_TIMESCALE_OFFSET, _DURATION_OFFSET = 12, 20


class Mp4Box(NamedTuple):
    """One box of a file: its type, the offset at which it starts, and its stated length in bytes, header included."""

    kind: bytes
    offset: int
    length: int


def read_boxes(file: BinaryIO, size_bytes: int) -> Iterator[Mp4Box]:
    """The outermost boxes of a file of `size_bytes`. The last one may state a length beyond the end of the file."""
    offset = 0
    while offset < size_bytes:
        file.seek(offset)
        header = file.read(_LONG_HEADER_BYTES)
        length, kind = int.from_bytes(header[:4]), header[4:8]
        if length == _LONG_LENGTH:
            length = int.from_bytes(header[8:16])
        yield Mp4Box(kind, offset, length)
        if length < _HEADER_BYTES:  # 0: the box reaches to the end of the file; anything else is invalid
            return
        offset += length


def track_ends_s(path: Path) -> list[float]:
    """The seconds at which the tracks end, in their order, of an MP4 that FFmpeg has written.

    Players use these. FFmpeg's own reader reports less where frames are reordered and unevenly spaced, because it
    sums the frame durations in decoding order.
    """
    with path.open("rb") as file:
        boxes = read_boxes(file, path.stat().st_size)
        index = next((_read_content(file, box) for box in boxes if box.kind == b"moov"), b"")
    children = list(_child_boxes(index))
    ticks_per_s = next((_number(header, _TIMESCALE_OFFSET) for kind, header in children if kind == b"mvhd"), 1)
    tracks = [dict(_child_boxes(content)) for kind, content in children if kind == b"trak"]
    return [_number(track[b"tkhd"], _DURATION_OFFSET) / ticks_per_s for track in tracks]


def _read_content(file: BinaryIO, box: Mp4Box) -> bytes:
    file.seek(box.offset + _HEADER_BYTES)
    return file.read(box.length - _HEADER_BYTES)


def _child_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The type and content of each box within a box."""
    offset = 0
    while (length := int.from_bytes(content[offset : offset + 4])) >= _HEADER_BYTES:
        yield content[offset + 4 : offset + 8], content[offset + 8 : offset + length]
        offset += length


def _number(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 4])
