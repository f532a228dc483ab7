"""A last look at a result: it decodes, and it is not black or silent where its source is not."""

from dataclasses import dataclass

from darkroom.av import ffmpeg
from darkroom.av.probe import Stream
from darkroom.errors import InternalError
from darkroom.media.task import Task

#: Key frames that are looked at, small: few, and more where those are blank; and seconds of film of which every picture
#: is where all of them are.
_KEY_FRAMES = (2, 100)
_WATCHED_S = 60

#: Seconds of sound that are listened to: few, and more where those are silent.
_LISTENED_S = (3, 300)

#: Brightness up to which a picture counts as black, of 255, and from which on it counts as one that is not; the same of
#: the height of a wave, of 32,767, for silence. What lies between may have become less by rounding.
_BLACK, _SEEN = 24, 48
_SILENT, _HEARD = 8, 32

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
    if any(_brightest_key_frame(made, count, task) > _BLACK for count in _KEY_FRAMES):
        return
    # Both have key frames of their own, and one may lie where the film is dark: only all pictures are the same ones.
    if _brightest(made, task) <= _BLACK and _brightest(source, task) >= _SEEN:
        raise InternalError("The encoder made a black film of one that is not.")


def check_audible(made: Place, source: Place, task: Task) -> None:
    """Raises InternalError when a sound came out silent, CorruptMediaError when it does not decode."""
    if any(_loudest(made, seconds, task) > _SILENT for seconds in _LISTENED_S):
        return
    if _loudest(source, _LISTENED_S[-1], task) >= _HEARD:
        raise InternalError("The encoder made silence of a sound.")


def _brightest_key_frame(place: Place, count: int, task: Task) -> int:
    """Of the first key frames, from 0 to 255; they are what is decoded with the least work."""
    if place.stream.codec == "av1":
        return _brightest_of_av1(place, ["-bsf:v", "noise=drop=not(key)"], count, task)
    return _brightest_of(place, ["-skip_frame", "nokey"], ["-frames:v", str(count)], task)


def _brightest(place: Place, task: Task) -> int:
    """Of all pictures of the beginning."""
    beginning = ["-t", str(_WATCHED_S)]
    if place.stream.codec == "av1":
        return _brightest_of_av1(place, beginning, None, task)
    return _brightest_of(place, [], beginning, task)


def _brightest_of(place: Place, choosing: list[str], ending: list[str], task: Task) -> int:
    looking = ["-vf", "scale=32:32,format=gray", "-fps_mode", "passthrough", *ending, "-f", "rawvideo"]
    return max(_decoded(place, ["-threads", "1", *choosing], looking, task), default=0)


def _brightest_of_av1(place: Place, choosing: list[str], count: int | None, task: Task) -> int:
    """The same of AV1, which the layer's FFmpeg writes and cannot decode."""
    from darkroom.images import pillow  # with libvips and Pillow, which nothing else here needs

    sequence = task.directory / "watched.avif"
    copying = ["-map", f"0:{place.stream.index}", "-c", "copy", *choosing, "-f", "avif", ffmpeg.file_url(sequence)]
    ffmpeg.read("ffmpeg", place.location, place.demuxer, task, after=copying, span=_SPAN)
    found = pillow.max_brightness(sequence, count, on_frame=task.heartbeat(_SPAN[0], ffmpeg.REPORT_PERIOD_S))
    sequence.unlink()
    return found


def _loudest(place: Place, seconds: int, task: Task) -> int:
    listening = ["-t", str(seconds), "-ac", "1", "-ar", "8000", "-f", "s16le"]
    samples = memoryview(_decoded(place, [], listening, task)).cast("h")
    return max((abs(sample) for sample in samples), default=0)


def _decoded(place: Place, before: list[str], writing: list[str], task: Task) -> bytes:
    after = ["-map", f"0:{place.stream.index}", *writing, "pipe:1"]
    return ffmpeg.read("ffmpeg", place.location, place.demuxer, task, before=before, after=after, span=_SPAN).stdout
