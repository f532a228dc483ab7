"""A last look at a result: it decodes, and it is not black or silent where its source is not."""

from dataclasses import dataclass

from darkroom import ffmpeg
from darkroom.errors import InternalError
from darkroom.probe import Stream
from darkroom.task import Task

#: Key frames that are looked at, small, and seconds of sound that are listened to: few, and more where those are blank.
_PICTURES = (2, 100)
_LISTENED_S = (3, 300)

#: Brightness up to which a picture counts as black, of 255, and height of a wave that counts as silence, of 32,767.
_BLACK = 24
_SILENT = 8

#: How far the whole work is by now.
_SPAN = (0.99, 0.99)


@dataclass(frozen=True)
class Place:
    """Where a stream can be read."""

    location: str
    demuxer: str
    stream: Stream


def check_visible(made: Place, source: Place, task: Task) -> None:
    """Raises InternalError when a film came out black, CorruptMediaError when it does not decode."""
    if any(_brightest(made, count, task) > _BLACK for count in _PICTURES):
        return
    if _brightest(source, _PICTURES[-1], task) > _BLACK:
        raise InternalError("The encoder made a black film of one that is not.")


def check_audible(made: Place, source: Place, task: Task) -> None:
    """Raises InternalError when a sound came out silent, CorruptMediaError when it does not decode."""
    if any(_loudest(made, seconds, task) > _SILENT for seconds in _LISTENED_S):
        return
    if _loudest(source, _LISTENED_S[-1], task) > _SILENT:
        raise InternalError("The encoder made silence of a sound.")


def _brightest(place: Place, count: int, task: Task) -> int:
    """Of the first key frames, from 0 to 255; they are what is decoded with the least work."""
    before = ["-threads", "1", "-skip_frame", "nokey"]
    looking = ["-vf", "scale=32:32,format=gray", "-frames:v", str(count), "-fps_mode", "passthrough"]
    pixels = _decoded(place, before, [*looking, "-f", "rawvideo"], task)
    return max(pixels, default=0)


def _loudest(place: Place, seconds: int, task: Task) -> int:
    listening = ["-t", str(seconds), "-ac", "1", "-ar", "8000", "-f", "s16le"]
    samples = memoryview(_decoded(place, [], listening, task)).cast("h")
    return max((abs(sample) for sample in samples), default=0)


def _decoded(place: Place, before: list[str], writing: list[str], task: Task) -> bytes:
    after = ["-map", f"0:{place.stream.index}", *writing, "pipe:1"]
    return ffmpeg.read("ffmpeg", place.location, place.demuxer, task, before=before, after=after, span=_SPAN).stdout
