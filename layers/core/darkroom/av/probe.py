"""What a video or audio file holds, as ffprobe reads it: typed, bounded, and with sizes as displayed."""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from darkroom.av import ffmpeg
from darkroom.errors import CorruptMediaError, NoAudioStreamError, NoVideoStreamError, TooLongError, TooManyPixelsError
from darkroom.media.geometry import Size
from darkroom.media.task import Limits, Task

#: Bounds on what is kept of a file: chapters, tags of one stream or chapter, characters of one name or value.
MAX_CHAPTERS = 500
MAX_TAGS = 100
MAX_TAG_LENGTH = 1000

Tags = dict[str, str]


@dataclass(frozen=True)
class Stream:
    """One stream. An unknown or inapplicable value is None.

    `kind` is video, audio, subtitle, data or attachment, or image for the only stream of an image.

    `width_px` and `height_px` are as displayed: rotated, and with square pixels. `rotation_degrees` is the clockwise
    rotation from the coded to the displayed frame; `pixel_aspect` is the width of a coded pixel divided by its height.
    """

    index: int
    kind: str
    codec: str | None
    profile: str | None
    bit_rate_bps: int | None
    duration_s: float | None
    start_s: float | None
    language: str | None
    default: bool
    forced: bool
    attached_picture: bool
    tags: Tags
    coded_width_px: int | None = None
    coded_height_px: int | None = None
    width_px: int | None = None
    height_px: int | None = None
    rotation_degrees: int = 0
    pixel_aspect: Fraction = Fraction(1)
    frame_rate: float | None = None
    variable_frame_rate: bool = False
    frame_count: int | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    color_space: str | None = None
    color_transfer: str | None = None
    color_primaries: str | None = None
    color_range: str | None = None
    interlaced: bool | None = None
    channels: int | None = None
    channel_layout: str | None = None
    sample_rate_hz: int | None = None


@dataclass(frozen=True)
class Chapter:
    """A titled part of the file."""

    start_s: float
    end_s: float
    title: str | None


@dataclass(frozen=True)
class Probe:
    """A whole file. `format_name` is FFmpeg's long name of the container; a player's clock starts at `start_s`."""

    format_name: str
    duration_s: float | None
    bit_rate_bps: int | None
    size_bytes: int | None
    streams: tuple[Stream, ...]
    chapters: tuple[Chapter, ...]
    tags: Tags
    start_s: float | None = None

    def video_stream(self) -> Stream:
        """The default video stream, else the largest; never a cover image. Raises NoVideoStreamError."""
        videos = [stream for stream in self.streams if stream.kind == "video" and not stream.attached_picture]
        if not videos:
            raise NoVideoStreamError("The file has no video track.")
        return max(videos, key=lambda video: (video.default, (video.width_px or 0) * (video.height_px or 0)))

    def default_audio_stream(self) -> Stream | None:
        """The default audio stream, else the one with the most channels.

        Skips streams without channels and sample rate: a broadcast announces audio streams that it does not send.
        """
        audio = (stream for stream in self.streams if stream.kind == "audio")
        present = [stream for stream in audio if stream.channels or stream.sample_rate_hz]
        return max(present, key=lambda stream: (stream.default, stream.channels or 0), default=None)

    def audio_stream(self, track: int | str | None = None) -> Stream:
        """The audio stream with this number, counted from 1, or language; None for the default one.

        Raises NoAudioStreamError.
        """
        streams = [stream for stream in self.streams if stream.kind == "audio"]
        default = self.default_audio_stream()
        if default is None:
            raise NoAudioStreamError("The file has no audio track.")
        if track is None:
            return default
        for number, stream in enumerate(streams, 1):
            if track == number or (isinstance(track, str) and track.lower() == (stream.language or "").lower()):
                return stream
        known = ", ".join(f"{number} ({stream.language or 'no language'})" for number, stream in enumerate(streams, 1))
        raise NoAudioStreamError(f"There is no audio track {track}; the file has {known}.")


def probe(location: str, demuxer: str, task: Task, *, span: tuple[float, float] = (0.0, 0.0)) -> Probe:
    """Describes the file at `location`, a presigned URL or a local path. Raises the same errors as `ffmpeg.read`."""
    output = ffmpeg.read("ffprobe", location, demuxer, task, before=_SECTIONS, span=span)
    found = parse_probe(output.stdout)
    if not found.streams:
        raise CorruptMediaError("The file is damaged or cut short: it has no readable streams.")
    return found


_SECTIONS = ("-of", "json", "-show_format", "-show_streams", "-show_chapters")


def check_duration(found: Probe, limits: Limits) -> None:
    """Raises TooLongError when the file plays for longer than allowed. An unknown duration passes."""
    if found.duration_s is not None and found.duration_s > limits.duration_s:
        raise TooLongError(
            f"The file plays for {found.duration_s:.0f} seconds; the limit is {limits.duration_s:.0f} seconds."
        )


def check_frame_size(video: Stream, limits: Limits) -> Size:
    """Returns the displayed size of a video. Raises TooManyPixelsError, or CorruptMediaError when it has no size."""
    sizes = (video.width_px, video.height_px, video.coded_width_px, video.coded_height_px)
    width, height, coded_width, coded_height = (size or 0 for size in sizes)
    if not (width and height and coded_width and coded_height):
        raise CorruptMediaError("The file is damaged or cut short: its video has no frame size.")
    if max(width * height, coded_width * coded_height) > limits.pixels:
        raise TooManyPixelsError(
            f"A frame has {coded_width} x {coded_height} pixels; the limit is {limits.pixels} pixels in all."
        )
    return Size(width, height)


# ffprobe's JSON ----------------------------------------------------------------------------------------------------

#: Relative difference between the average and the base frame rate up to which the rate counts as constant.
_RATE_TOLERANCE = 0.02

_INTERLACED = {"tt", "bb", "tb", "bt"}
_NO_LANGUAGE = {None, "", "und"}


def parse_probe(document: bytes) -> Probe:
    """Parses ffprobe's JSON."""
    raw = json.loads(document)
    container = raw.get("format", {})
    return Probe(
        format_name=container.get("format_long_name") or container.get("format_name", ""),
        duration_s=_parse_positive(container.get("duration")),
        bit_rate_bps=_parse_count(container.get("bit_rate")),
        size_bytes=_parse_count(container.get("size")),
        streams=tuple(_parse_stream(entry) for entry in raw.get("streams", [])),
        chapters=tuple(_parse_chapter(entry) for entry in raw.get("chapters", [])[:MAX_CHAPTERS]),
        tags=_parse_tags(container),
        start_s=_parse_number(container.get("start_time")),
    )


def _parse_stream(raw: dict[str, Any]) -> Stream:
    kind, tags, flags = raw.get("codec_type", "data"), _parse_tags(raw), raw.get("disposition", {})
    language, start_s = tags.get("language"), _parse_number(raw.get("start_time"))
    detail = _parse_video_details(raw) if kind == "video" else _parse_audio_details(raw) if kind == "audio" else {}
    return Stream(
        index=raw["index"],
        kind=kind,
        codec=_parse_text(raw.get("codec_name")),
        profile=_parse_text(raw.get("profile")),
        bit_rate_bps=_parse_count(raw.get("bit_rate")) or _parse_count(tags.get("BPS")),
        duration_s=_parse_positive(raw.get("duration")) or _parse_tagged_duration(tags, start_s),
        start_s=start_s,
        language=None if language in _NO_LANGUAGE else language,
        default=bool(flags.get("default")),
        forced=bool(flags.get("forced")),
        attached_picture=bool(flags.get("attached_pic") or flags.get("timed_thumbnails")),
        tags=tags,
        **detail,
    )


def _parse_video_details(raw: dict[str, Any]) -> dict[str, Any]:
    width, height = _parse_count(raw.get("width")), _parse_count(raw.get("height"))
    rotation, aspect = _parse_rotation(raw), _parse_ratio(raw.get("sample_aspect_ratio"), ":") or Fraction(1)
    shown = display_size(width, height, aspect, rotation) if width and height else (None, None)
    average, base = _parse_ratio(raw.get("avg_frame_rate"), "/"), _parse_ratio(raw.get("r_frame_rate"), "/")
    frame_rate = _choose_frame_rate(average, base)
    pixel_format = _parse_text(raw.get("pix_fmt"))
    return {
        "coded_width_px": width,
        "coded_height_px": height,
        "width_px": shown[0],
        "height_px": shown[1],
        "rotation_degrees": rotation,
        "pixel_aspect": aspect,
        "frame_rate": round(float(frame_rate), 3) if frame_rate else None,
        "variable_frame_rate": bool(average and base and abs(base / average - 1) > _RATE_TOLERANCE),
        "frame_count": _parse_count(raw.get("nb_frames")),
        "pixel_format": pixel_format,
        "bit_depth": _parse_bit_depth(raw, pixel_format),
        "color_space": _parse_text(raw.get("color_space")),
        "color_transfer": _parse_text(raw.get("color_transfer")),
        "color_primaries": _parse_text(raw.get("color_primaries")),
        "color_range": _parse_text(raw.get("color_range")),
        "interlaced": raw["field_order"] in _INTERLACED if "field_order" in raw else None,
    }


def _choose_frame_rate(average: Fraction | None, base: Fraction | None) -> Fraction | None:
    """The average rate, or the base rate where the average is far above it.

    In AVI the average is copied from the header, which may state only the unit of its timestamps.
    """
    if average and base and average / base - 1 > _RATE_TOLERANCE:
        return base
    return average or base


def _parse_audio_details(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "channels": _parse_count(raw.get("channels")),
        "channel_layout": _parse_text(raw.get("channel_layout")),
        "sample_rate_hz": _parse_count(raw.get("sample_rate")),
        "bit_depth": _parse_count(raw.get("bits_per_raw_sample")) or _parse_count(raw.get("bits_per_sample")),
    }


#: Deviation from square pixels that comes from rounding in an editor. Players show such pixels as square.
_SQUARE_TOLERANCE = Fraction(1, 100)


def display_size(width: int, height: int, pixel_aspect: Fraction, rotation_degrees: int) -> tuple[int, int]:
    """The displayed width and height in pixels of a coded frame of `width` x `height`."""
    if abs(pixel_aspect - 1) > _SQUARE_TOLERANCE:
        width = max(round(width * pixel_aspect), 1)
    return (height, width) if rotation_degrees in (90, 270) else (width, height)


def _parse_rotation(raw: dict[str, Any]) -> int:
    """Degrees clockwise, a multiple of 90, from the display matrix, which counts counterclockwise."""
    for entry in raw.get("side_data_list", []):
        degrees = _parse_number(entry.get("rotation"))
        if degrees is not None:
            return round(-degrees / 90) * 90 % 360
    return 0


def _parse_bit_depth(raw: dict[str, Any], pixel_format: str | None) -> int | None:
    stated = _parse_count(raw.get("bits_per_raw_sample"))
    if stated or pixel_format is None:
        return stated
    suffix = re.search(r"p(9|10|12|14|16)[lb]e$|p0(10|12|16)", pixel_format)
    return int(suffix[1] or suffix[2]) if suffix else 8


def _parse_chapter(raw: dict[str, Any]) -> Chapter:
    start_s, end_s = _parse_number(raw.get("start_time")), _parse_number(raw.get("end_time"))
    return Chapter(start_s=start_s or 0.0, end_s=end_s or 0.0, title=_parse_tags(raw).get("title"))


def _parse_tags(raw: dict[str, Any]) -> Tags:
    tags = list(raw.get("tags", {}).items())[:MAX_TAGS]
    return {str(name)[:MAX_TAG_LENGTH]: str(value)[:MAX_TAG_LENGTH] for name, value in tags}


def _parse_text(value: Any) -> str | None:
    return None if value in (None, "", "unknown") else str(value)


def _parse_count(value: Any) -> int | None:
    """A whole number above 0."""
    text = str(value)
    return int(text) or None if text.isdecimal() else None


def _parse_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _parse_positive(value: Any) -> float | None:
    number = _parse_number(value)
    return number if number is not None and 0 < number < float("inf") else None


def _parse_ratio(value: Any, separator: str) -> Fraction | None:
    """A positive ratio written as `30000/1001` or `4:3`."""
    above, _, below = str(value).partition(separator)
    if not (above.isdecimal() and below.isdecimal()) or 0 in (int(above), int(below)):
        return None
    return Fraction(int(above), int(below))


def _parse_tagged_duration(tags: Tags, start_s: float | None) -> float | None:
    """Seconds that a stream plays, from Matroska's tag DURATION, such as `00:00:05.280000000`: the time it ends."""
    parts = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", tags.get("DURATION", ""))
    if parts is None:
        return None
    end_s = int(parts[1]) * 3600 + int(parts[2]) * 60 + float(parts[3])
    return _parse_positive(end_s - (start_s or 0.0))
