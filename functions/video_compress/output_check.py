"""Checks a result: complete, of the planned size and codec, decodable, and not black or silent unless the source is."""

from dataclasses import dataclass, replace
from pathlib import Path

from darkroom.av import ffmpeg, process
from darkroom.av.inputs import file_url
from darkroom.av.mp4 import track_ends_s
from darkroom.av.probe import Probe, Stream, check_duration, probe
from darkroom.av.truncation import check_output_duration
from darkroom.errors import CorruptMediaError, InternalError
from darkroom.media.task import Task
from functions.video_compress.plan import CompressionPlan
from functions.video_compress.rate_control import ENCODE_END

#: Numbers of key frames that are decoded to find one that is not black: few at first, then more.
_KEY_FRAME_COUNTS = (2, 100)

#: Seconds of which every frame is decoded when all those key frames are black, and the most frames of them.
_ALL_FRAMES_S = 60
_ALL_FRAMES_MAX = 10_000

#: Seconds of audio that are decoded to find some that is not silent: few at first, then more.
_AUDIO_S = (3, 300)

#: A frame is black when its brightest spot, of 255, is at most the first, and surely not black from the second on. The
#: gap allows for rounding. Likewise for silence and the largest sample, of 32,767.
_BLACK_MAX, _VISIBLE_MIN = 24, 48
_SILENT_MAX, _AUDIBLE_MIN = 8, 32

#: The job's progress while the frames and the audio are decoded.
_SPAN = (0.99, 0.99)


@dataclass(frozen=True)
class StreamLocation:
    """A stream and the file that holds it."""

    location: str
    demuxer: str
    stream: Stream


def check_output(plan: CompressionPlan, target: Path, source: StreamLocation, task: Task) -> Probe:
    """Returns what the result holds. `source` is the video stream of the source.

    Raises CorruptMediaError when the source was cut short or does not decode, TooLongError when the result plays for
    too long, and InternalError when the encoder failed.
    """
    demuxer = plan.encoder.container.demuxer
    made = probe(str(target), demuxer, task, span=(ENCODE_END, 1.0))
    if demuxer == "mov":
        made = _with_player_durations(made, target)
    check_duration(made, task.limits)
    _check_streams(plan, made)
    video = made.video_stream()
    check_output_duration(plan.video, video.duration_s, demuxer=source.demuxer, frame_rate=plan.params.max_fps)
    _check_visible(StreamLocation(str(target), demuxer, video), source, task)
    if plan.audio is not None:
        audio = made.audio_stream()
        check_output_duration(plan.audio, audio.duration_s, demuxer=source.demuxer)
        _check_audible(StreamLocation(str(target), demuxer, audio), replace(source, stream=plan.audio), task)
    return made


def _with_player_durations(made: Probe, target: Path) -> Probe:
    """The same with the durations that players show, which an MP4 states for each track."""
    starts_s, ends_s = [stream.start_s or 0.0 for stream in made.streams], track_ends_s(target)
    durations_s = [end_s - start_s for start_s, end_s in zip(starts_s, ends_s, strict=True)]
    streams = (
        replace(stream, duration_s=duration_s) for stream, duration_s in zip(made.streams, durations_s, strict=True)
    )
    return replace(made, streams=tuple(streams), duration_s=max(ends_s) - min(starts_s))


def _check_streams(plan: CompressionPlan, made: Probe) -> None:
    """Raises CorruptMediaError when the source's audio track is empty, InternalError for any other difference."""
    video = made.video_stream()
    produced, planned = (video.codec, video.width_px, video.height_px), (plan.encoder.codec, *plan.size)
    if plan.audio is not None and made.default_audio_stream() is None:
        raise CorruptMediaError("The file is damaged or cut short: its audio track is empty.")
    if produced != planned:
        raise InternalError(f"The encoder produced {produced} instead of {planned}.")
    if sum(stream.kind == "subtitle" for stream in made.streams) != len(plan.subtitles):
        raise InternalError("The encoder dropped subtitles.")


def _check_visible(made: StreamLocation, source: StreamLocation, task: Task) -> None:
    """Raises InternalError when only the result is black, CorruptMediaError when it does not decode."""
    if any(_brightest_key_frame(made, count, task) > _BLACK_MAX for count in _KEY_FRAME_COUNTS):
        return
    # Each has its own key frames, and those of one may be dark: only all frames are comparable.
    if _brightest_frame(made, task) <= _BLACK_MAX and _brightest_frame(source, task) >= _VISIBLE_MIN:
        raise InternalError("The encoder produced a black video from one that is not black.")


def _check_audible(made: StreamLocation, source: StreamLocation, task: Task) -> None:
    """Raises InternalError when only the result is silent, CorruptMediaError when it does not decode."""
    if any(_loudest_sample(made, seconds, task) > _SILENT_MAX for seconds in _AUDIO_S):
        return
    if _loudest_sample(source, _AUDIO_S[-1], task) >= _AUDIBLE_MIN:
        raise InternalError("The encoder produced silent audio from audio that is not silent.")


def _brightest_key_frame(location: StreamLocation, count: int, task: Task) -> int:
    """Brightness, from 0 to 255, of the brightest of the first key frames. They take the least work to decode."""
    if location.stream.codec == "av1":
        return _brightest_of_av1(location, ["-bsf:v", "noise=drop=not(key)"], count, task)
    return _brightest_decoded(location, ["-skip_frame", "nokey"], ["-frames:v", str(count)], task)


def _brightest_frame(location: StreamLocation, task: Task) -> int:
    """Brightness, from 0 to 255, of the brightest frame at the beginning."""
    limit = ["-t", str(_ALL_FRAMES_S), "-frames:v", str(_ALL_FRAMES_MAX)]
    if location.stream.codec == "av1":
        return _brightest_of_av1(location, limit, None, task)
    return _brightest_decoded(location, [], limit, task)


def _brightest_decoded(location: StreamLocation, selection: list[str], limit: list[str], task: Task) -> int:
    shrinking = ["-vf", "scale=32:32,format=gray", "-fps_mode", "passthrough", *limit, "-f", "rawvideo"]
    return max(_decode(location, ["-threads", "1", *selection], shrinking, task), default=0)


def _brightest_of_av1(location: StreamLocation, selection: list[str], count: int | None, task: Task) -> int:
    """The same for AV1, which the layer's FFmpeg encodes and cannot decode."""
    from darkroom.images import pillow  # loads libvips and Pillow, which nothing else here needs

    sequence = task.directory / "video_compress_check.avif"
    copying = ["-map", f"0:{location.stream.index}", "-c", "copy", *selection, "-f", "avif", file_url(sequence)]
    ffmpeg.read("ffmpeg", location.location, location.demuxer, task, after=copying, span=_SPAN)
    brightest = pillow.max_brightness(sequence, count, on_frame=task.heartbeat(_SPAN[0], process.REPORT_PERIOD_S))
    sequence.unlink()
    return brightest


def _loudest_sample(location: StreamLocation, seconds: int, task: Task) -> int:
    resampling = ["-t", str(seconds), "-ac", "1", "-ar", "8000", "-f", "s16le"]
    samples = memoryview(_decode(location, [], resampling, task)).cast("h")
    return max((abs(sample) for sample in samples), default=0)


def _decode(location: StreamLocation, before: list[str], conversion: list[str], task: Task) -> bytes:
    after = ["-map", f"0:{location.stream.index}", *conversion, "pipe:1"]
    return ffmpeg.read(
        "ffmpeg", location.location, location.demuxer, task, before=before, after=after, span=_SPAN
    ).stdout
