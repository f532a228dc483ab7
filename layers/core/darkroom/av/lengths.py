"""What an MP4 or a Matroska file says of its length, and of when its tracks end: whether it is all there."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from darkroom.errors import CorruptMediaError

_HEADER_BYTES = 16
_TO_THE_END, _LONG = 0, 1

#: Part of the media that may be missing at the end: some recorders state a little too much.
_MISSING_PART = 0.01

#: Where the header of a film says how many ticks a second has, and that of a track for how many of them it plays; each
#: number has 4 bytes in films of up to 49 days.
_TICKS_AT, _PLAYS_AT = 12, 20

#: A Matroska file is a head and one segment with all the rest; each begins with what it is and its length.
_HEAD, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD_MAX_BYTES = 1024


def check_uncut(path: Path, demuxer: str) -> None:
    """Raises CorruptMediaError when an MP4, QuickTime or Matroska file should be longer than it is.

    FFmpeg reads such a file up to where it ends and sees nothing wrong with that.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        for at, length in _media(file, end, demuxer):
            if at + length - end > length * _MISSING_PART:
                raise CorruptMediaError(
                    f"The file is cut short: it holds {end - at:,} of {length:,} bytes of pictures and sound."
                )


def _media(file: BinaryIO, end: int, demuxer: str) -> Iterator[tuple[int, int]]:
    """Where pictures and sound begin in a file, and how many bytes there should be of them."""
    if demuxer == "mov":
        yield from ((at, length) for kind, at, length in _outermost(file, end) if kind == b"mdat")
    if demuxer == "matroska":
        yield from _segment(file.read(_HEAD_MAX_BYTES))


def _segment(beginning: bytes) -> Iterator[tuple[int, int]]:
    """The one of a Matroska file; none where its length is not known, as in a live recording."""
    head = _element(beginning, 0, _HEAD)
    segment = head and _element(beginning, sum(head), _SEGMENT)
    if segment:
        yield segment


def _element(content: bytes, at: int, kind: bytes) -> tuple[int, int] | None:
    """Where the content of a Matroska element begins, and its length, which is written in 1 to 8 bytes."""
    if not content.startswith(kind, at):
        return None
    at += len(kind)
    width = 9 - content[at].bit_length() if at < len(content) else 0
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(content[at : at + width]) & unknown
    return None if length == unknown else (at + width, length)


def track_ends(path: Path) -> list[float]:
    """The seconds at which the tracks of an MP4 that FFmpeg has written end, in their order.

    Players go by them. FFmpeg itself reads less where pictures are reordered and do not come at even steps: it adds up
    the steps in the order of decoding.
    """
    with path.open("rb") as file:
        boxes = _outermost(file, path.stat().st_size)
        index = next((_content(file, at, length) for kind, at, length in boxes if kind == b"moov"), b"")
    film = list(_inside(index))
    ticks_per_s = next((_number(header, _TICKS_AT) for kind, header in film if kind == b"mvhd"), 1)
    tracks = [dict(_inside(track)) for kind, track in film if kind == b"trak"]
    return [_number(track[b"tkhd"], _PLAYS_AT) / ticks_per_s for track in tracks]


def _outermost(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of a file that ends at `end`: what each one is, where it begins, and its length."""
    at = 0
    while at < end:
        file.seek(at)
        header = file.read(_HEADER_BYTES)
        length, kind = int.from_bytes(header[:4]), header[4:8]
        if length == _LONG:
            length = int.from_bytes(header[8:16])
        yield kind, at, length
        if length < 8:  # the last box, or nothing that we understand
            return
        at += length


def _content(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at + 8)
    return file.read(length - 8)


def _inside(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes in a box: what each one is, and its content."""
    at = 0
    while (length := int.from_bytes(content[at : at + 4])) >= 8:
        yield content[at + 4 : at + 8], content[at + 8 : at + length]
        at += length


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4])
