"""Detects files that were cut short, which FFmpeg reads to their end without an error.

By their structure: an MP4 or Matroska file states how many bytes of media it has. By their duration: the header states
more seconds than were found.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from darkroom.av.mp4 import read_boxes
from darkroom.av.probe import Stream
from darkroom.errors import CorruptMediaError

#: Fraction of the media bytes that may be missing at the end, because some recorders state slightly too much.
_MISSING_FRACTION = 0.01

#: A Matroska file is one EBML header and one segment with everything else (RFC 9559). Each starts with its id and
#: length.
_EBML_HEADER_ID, _SEGMENT_ID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

#: Bytes that surely hold the EBML header and the start of the segment.
_EBML_HEADER_MAX_BYTES = 1024

#: Demuxers of containers whose header states the duration of each stream.
_STATES_DURATION = {"mov", "matroska", "avi", "flac", "wav", "aiff"}

#: How much shorter than stated an audio stream may be: the larger of these seconds and this fraction.
_AUDIO_SHORTFALL_S = 0.25
_AUDIO_SHORTFALL_FRACTION = 0.01

#: Seconds that a time may lose where the container rounds it to milliseconds: one at each end.
_ROUNDING_S = 0.002


def check_structure(path: Path, demuxer: str) -> None:
    """Raises CorruptMediaError when an MP4, QuickTime or Matroska file is shorter than it states."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        for start, length in _media_ranges(file, size_bytes, demuxer):
            if start + length - size_bytes > length * _MISSING_FRACTION:
                raise CorruptMediaError(
                    f"The file is cut short: it holds {size_bytes - start:,} of {length:,} bytes of video and audio."
                )


def check_output_duration(
    source: Stream, output_s: float | None, *, demuxer: str, frame_rate: float | None = None
) -> None:
    """Compares the duration of a source stream with `output_s`, the seconds that were made of it.

    Raises CorruptMediaError when more than one frame of a video or a notable part of an audio stream is missing.
    `frame_rate` is that of the output where it has fewer frames than the source. The duration of the whole file is
    not compared, because another stream may be longer.
    """
    stated_s, output_s = source.duration_s, output_s or 0.0
    if demuxer not in _STATES_DURATION or stated_s is None:
        return
    if source.frame_rate:
        allowed_s = 1 / min(source.frame_rate, frame_rate or source.frame_rate) + _ROUNDING_S
    else:
        allowed_s = max(_AUDIO_SHORTFALL_S, _AUDIO_SHORTFALL_FRACTION * stated_s)
    if stated_s - output_s > allowed_s:
        raise CorruptMediaError(
            f"The file is damaged or cut short: its header states {stated_s:.2f} seconds of {source.kind}, but only "
            f"{output_s:.2f} were found."
        )


def _media_ranges(file: BinaryIO, size_bytes: int, demuxer: str) -> Iterator[tuple[int, int]]:
    """The offset and the stated length in bytes of each part of a file that holds media."""
    if demuxer == "mov":
        yield from ((box.offset, box.length) for box in read_boxes(file, size_bytes) if box.kind == b"mdat")
    if demuxer == "matroska":
        yield from _segment_range(file.read(_EBML_HEADER_MAX_BYTES))


def _segment_range(head: bytes) -> Iterator[tuple[int, int]]:
    """The segment of a Matroska file; nothing where its length is unknown, as in a live recording."""
    header = _ebml_element(head, 0, _EBML_HEADER_ID)
    segment = header and _ebml_element(head, sum(header), _SEGMENT_ID)
    if segment:
        yield segment


def _ebml_element(content: bytes, offset: int, element_id: bytes) -> tuple[int, int] | None:
    """Offset and length of the content of the element at `offset`; None if it is another one or has no known length.

    The length is a variable-size integer of 1 to 8 bytes (RFC 8794).
    """
    if not content.startswith(element_id, offset):
        return None
    offset += len(element_id)
    width = 9 - content[offset].bit_length() if offset < len(content) else 0
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(content[offset : offset + width]) & unknown
    return None if length == unknown else (offset + width, length)
