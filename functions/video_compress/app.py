"""Encodes a video anew, smaller, as an MP4 that starts to play before it is all there."""

from pathlib import Path

from darkroom import ffmpeg, filters, tags
from darkroom.boxes import check_uncut
from darkroom.contracts import Operation, VideoCompressParams
from darkroom.errors import InternalError
from darkroom.geometry import Size
from darkroom.probe import Probe, Stream, check_duration, check_pixels, check_whole, probe
from darkroom.task import Rendition, Task
from darkroom.worker import bind

#: Part of the work that the encoding is; the rest is looking at what it made.
_ENCODING = (0.0, 0.98)

#: Codec of the result as ffprobe names it, and what makes FFmpeg write it. Apple's players want the tag `hvc1`; x265
#: writes its statistics among the errors unless told not to.
_CODECS: dict[str, tuple[str, list[str]]] = {
    "h264": ("h264", ["-c:v", "libx264"]),
    "h265": ("hevc", ["-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error"]),
}

#: What every player takes. Surround sound is mixed down to two channels.
_AAC_MAX_SAMPLE_RATE_HZ = 48_000
_AAC_MAX_CHANNELS = 2


def video_compress(task: Task, params: VideoCompressParams) -> list[Rendition]:
    """One MP4: upright, square pixels, never larger than the source, with AAC sound where there is any.

    Subtitles, data, cover pictures and tags that do not describe it are left out; title and chapters stay.
    """
    demuxer = ffmpeg.demuxer_of(task.source)
    source = task.source.path()
    if demuxer == "mov":
        check_uncut(source)
    found = probe(str(source), demuxer, task)
    film, sound = found.video(), found.sound()
    size = fit(check_pixels(film, task.limits), params.max_height)
    check_duration(found, task.limits)

    target = task.directory / "video_compress.mp4"
    reading = ffmpeg.input_arguments(str(source), demuxer, max_pixels=task.limits.pixels)
    writing = arguments(found, params, size, target, max_duration_s=task.limits.duration_s)
    ffmpeg.run("ffmpeg", [*reading, *writing], task, duration_s=found.duration_s, span=_ENCODING)

    made = probe(str(target), "mov", task, span=(_ENCODING[1], 1.0))
    check_duration(made, task.limits)
    _check_streams(made, _CODECS[params.codec][0], size, has_sound=sound is not None)
    check_whole(film, made.video().duration_s, source=found, demuxer=demuxer)
    if sound is not None:
        check_whole(sound, made.audio().duration_s, source=found, demuxer=demuxer)
    return [Rendition(target, "mp4", "video/mp4", size.width, size.height, duration_s=made.duration_s)]


def fit(shown: Size, max_height: int | None) -> Size:
    """The size of the result for a displayed size: never larger, and even on both sides, as 4:2:0 wants it."""
    height = _even(shown.height, min(shown.height, max_height or shown.height))
    return Size(_even(shown.width * height / shown.height, shown.width), height)


def _even(length: float, limit: int) -> int:
    return max(2, min(round(length / 2) * 2, limit // 2 * 2))


def arguments(
    found: Probe, params: VideoCompressParams, size: Size, target: Path, *, max_duration_s: float
) -> list[str]:
    """What FFmpeg is to make of its one input."""
    film, sound = found.video(), found.sound()
    return [
        *("-map", f"0:{film.index}"),
        *("-vf", filters.encoded(film, size)),
        *_CODECS[params.codec][1],
        *("-preset", params.preset, "-crf", str(params.crf)),
        *timing_arguments(film),
        *(sound_arguments(sound, params.audio_bitrate_kbps) if sound else []),
        *tags.arguments(found, sound),
        *("-t", f"{max_duration_s + 1:g}", "-movflags", "+faststart", "-f", "mp4", ffmpeg.file_url(target)),
    ]


def timing_arguments(film: Stream) -> list[str]:
    """Every picture keeps its time. Where they come at irregular times, no grid of even steps would fit them."""
    return ["-fps_mode", "vfr", *(["-enc_time_base", "demux"] if film.variable_frame_rate else [])]


def sound_arguments(sound: Stream, bit_rate_kbps: int) -> list[str]:
    """AAC, copied where it is at most as large as asked; gaps in it are filled, so that it stays in step."""
    selected = ["-map", f"0:{sound.index}"]
    if _is_small_aac(sound, bit_rate_kbps):
        return [*selected, "-c:a", "copy"]
    encoding = ["-af", "aresample=async=1:first_pts=0", "-c:a", "aac", "-b:a", f"{bit_rate_kbps}k"]
    if (sound.channels or 0) > _AAC_MAX_CHANNELS:
        encoding += ["-ac", str(_AAC_MAX_CHANNELS)]
    if (sound.sample_rate_hz or 0) > _AAC_MAX_SAMPLE_RATE_HZ:
        encoding += ["-ar", str(_AAC_MAX_SAMPLE_RATE_HZ)]
    return [*selected, *encoding]


def _is_small_aac(sound: Stream, bit_rate_kbps: int) -> bool:
    plain = sound.codec == "aac" and sound.profile == "LC" and (sound.channels or 9) <= _AAC_MAX_CHANNELS
    small = sound.bit_rate_bps is not None and sound.bit_rate_bps <= bit_rate_kbps * 1000
    return plain and small and (sound.sample_rate_hz or 0) <= _AAC_MAX_SAMPLE_RATE_HZ


def _check_streams(made: Probe, codec: str, size: Size, *, has_sound: bool) -> None:
    """Raises InternalError unless the result is what was to be made."""
    film = made.video()
    seen = (film.codec, film.width_px, film.height_px, made.sound() is not None)
    if seen != (codec, size.width, size.height, has_sound):
        raise InternalError(f"The encoder made {seen} instead of {(codec, *size, has_sound)}.")


handler = bind(Operation.VIDEO_COMPRESS, video_compress)
