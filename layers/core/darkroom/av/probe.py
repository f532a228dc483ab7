"""What a video or sound file holds, as ffprobe reads it: typed, bounded, and with sizes as a viewer sees them."""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from darkroom.av import ffmpeg
from darkroom.errors import CorruptMediaError, NoAudioStreamError, NoVideoStreamError, TooLongError, TooManyPixelsError
from darkroom.media.geometry import Size
from darkroom.media.task import Limits, Task

#: Bounds on what a file can make us keep and repeat: chapters, tags of one thing, characters of one tag.
MAX_CHAPTERS = 500
MAX_TAGS = 100
MAX_TAG_LENGTH = 1000

Tags = dict[str, str]


@dataclass(frozen=True)
class Stream:
    """One stream. `kind` is video, audio, subtitle, data or attachment; what does not apply or is not known is None.

    `width_px` and `height_px` are as displayed: rotated, and with square pixels. `rotation_degrees` is how far the
    coded picture is turned clockwise for that; `pixel_aspect` is the coded pixels' width divided by their height.
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
    """A named part of the recording."""

    start_s: float
    end_s: float
    title: str | None


@dataclass(frozen=True)
class Probe:
    """A whole file. `format_name` is FFmpeg's long name of the container; players count from `start_s` on."""

    format_name: str
    duration_s: float | None
    bit_rate_bps: int | None
    size_bytes: int | None
    streams: tuple[Stream, ...]
    chapters: tuple[Chapter, ...]
    tags: Tags
    start_s: float | None = None

    def video(self) -> Stream:
        """The film: the default video stream, else the largest; never a cover picture. Raises NoVideoStreamError."""
        films = [stream for stream in self.streams if stream.kind == "video" and not stream.attached_picture]
        if not films:
            raise NoVideoStreamError("The file has no video stream.")
        return max(films, key=lambda film: (film.default, (film.width_px or 0) * (film.height_px or 0)))

    def sound(self) -> Stream | None:
        """The default audio stream, else the one with the most channels; none that is announced and not there.

        A broadcast lists the sounds it might have. Where nothing of one was found, not even its form is known.
        """
        audio = (stream for stream in self.streams if stream.kind == "audio")
        sounds = [stream for stream in audio if stream.channels or stream.sample_rate_hz]
        return max(sounds, key=lambda sound: (sound.default, sound.channels or 0), default=None)

    def audio(self, track: int | str | None = None) -> Stream:
        """The sound of that number, counted from 1, or language; else that of `sound`. Raises NoAudioStreamError."""
        sounds = [stream for stream in self.streams if stream.kind == "audio"]
        default = self.sound()
        if default is None:
            raise NoAudioStreamError("The file has no audio stream.")
        if track is None:
            return default
        for number, sound in enumerate(sounds, 1):
            if track == number or (isinstance(track, str) and track.lower() == (sound.language or "").lower()):
                return sound
        there = ", ".join(f"{number} ({sound.language or 'no language'})" for number, sound in enumerate(sounds, 1))
        raise NoAudioStreamError(f"There is no audio stream {track}; the file has {there}.")


def probe(location: str, demuxer: str, task: Task, *, span: tuple[float, float] = (0.0, 0.0)) -> Probe:
    """What the file at `location` (a presigned link or a local path) holds. Raises as `ffmpeg.read` does."""
    finished = ffmpeg.read("ffprobe", location, demuxer, task, before=_WANTED, span=span)
    found = parse(finished.stdout)
    if not found.streams:
        raise CorruptMediaError("The file is damaged or cut short: what it holds cannot be told.")
    return found


_WANTED = ("-of", "json", "-show_format", "-show_streams", "-show_chapters")


def check_duration(found: Probe, limits: Limits) -> None:
    """Raises TooLongError when the recording is longer than allowed. An unknown duration passes."""
    if found.duration_s is not None and found.duration_s > limits.duration_s:
        raise TooLongError(
            f"The recording is {found.duration_s:.0f} seconds long; at most {limits.duration_s:.0f} are processed."
        )


def check_pixels(film: Stream, limits: Limits) -> Size:
    """The displayed size of a film. Raises TooManyPixelsError, or CorruptMediaError without a size."""
    sizes = (film.width_px, film.height_px, film.coded_width_px, film.coded_height_px)
    width, height, coded_width, coded_height = (size or 0 for size in sizes)
    if not (width and height and coded_width and coded_height):
        raise CorruptMediaError("The file is damaged or cut short: its picture has no size.")
    if max(width * height, coded_width * coded_height) > limits.pixels:
        raise TooManyPixelsError(
            f"The picture has {coded_width} x {coded_height} pixels; at most {limits.pixels} in all are processed."
        )
    return Size(width, height)


#: Demuxers whose files say in their header how long they are, so that one that was cut short can be told.
_STATES_ITS_LENGTH = {"mov", "matroska", "avi", "flac", "wav", "aiff"}

#: By how much a sound may be shorter than its source said: the larger of seconds and a part of the whole.
_SHORTFALL_S = 0.25
_SHORTFALL_PART = 0.01

#: What times lose where a container rounds them to milliseconds.
_ROUNDING_S = 0.002


def check_whole(kept: Stream, made_s: float | None, *, demuxer: str, frame_rate: float | None = None) -> None:
    """Compares a stream of the source with the length of what became of it: FFmpeg ends well on a file cut short.

    Raises CorruptMediaError when more than a picture of a film is missing, or a notable part of a sound. `frame_rate`
    is that of the result where it has fewer pictures than the source. What is known of the whole file alone says
    nothing of one stream: another one may be longer.
    """
    stated_s, made_s = kept.duration_s, made_s or 0.0
    if demuxer not in _STATES_ITS_LENGTH or stated_s is None:
        return
    if kept.frame_rate:
        allowed_s = 1 / min(kept.frame_rate, frame_rate or kept.frame_rate) + _ROUNDING_S
    else:
        allowed_s = max(_SHORTFALL_S, _SHORTFALL_PART * stated_s)
    if stated_s - made_s > allowed_s:
        raise CorruptMediaError(
            f"The file is damaged or cut short: it says {stated_s:.2f} seconds of {kept.kind}, {made_s:.2f} were found."
        )


# ffprobe's JSON ----------------------------------------------------------------------------------------------------

#: How far the average frame rate of a steady film may be from the base rate.
_RATE_TOLERANCE = 0.02

_INTERLACED = {"tt", "bb", "tb", "bt"}
_NO_LANGUAGE = {None, "", "und"}


def parse(document: bytes) -> Probe:
    """ffprobe's JSON as a Probe."""
    raw = json.loads(document)
    container = raw.get("format", {})
    return Probe(
        format_name=container.get("format_long_name") or container.get("format_name", ""),
        duration_s=_positive(container.get("duration")),
        bit_rate_bps=_whole(container.get("bit_rate")),
        size_bytes=_whole(container.get("size")),
        streams=tuple(_stream(entry) for entry in raw.get("streams", [])),
        chapters=tuple(_chapter(entry) for entry in raw.get("chapters", [])[:MAX_CHAPTERS]),
        tags=_tags(container),
        start_s=_real(container.get("start_time")),
    )


def _stream(raw: dict[str, Any]) -> Stream:
    kind, tags, flags = raw.get("codec_type", "data"), _tags(raw), raw.get("disposition", {})
    language = tags.get("language")
    detail = _picture(raw) if kind == "video" else _sound(raw) if kind == "audio" else {}
    return Stream(
        index=raw["index"],
        kind=kind,
        codec=_text(raw.get("codec_name")),
        profile=_text(raw.get("profile")),
        bit_rate_bps=_whole(raw.get("bit_rate")) or _whole(tags.get("BPS")),
        duration_s=_positive(raw.get("duration")) or _tagged_duration(tags, _real(raw.get("start_time"))),
        start_s=_real(raw.get("start_time")),
        language=None if language in _NO_LANGUAGE else language,
        default=bool(flags.get("default")),
        forced=bool(flags.get("forced")),
        attached_picture=bool(flags.get("attached_pic") or flags.get("timed_thumbnails")),
        tags=tags,
        **detail,
    )


def _picture(raw: dict[str, Any]) -> dict[str, Any]:
    width, height = _whole(raw.get("width")), _whole(raw.get("height"))
    rotation, aspect = _rotation(raw), _ratio(raw.get("sample_aspect_ratio"), ":") or Fraction(1)
    shown = displayed(width, height, aspect, rotation) if width and height else (None, None)
    average, base = _ratio(raw.get("avg_frame_rate"), "/"), _ratio(raw.get("r_frame_rate"), "/")
    frame_rate = _frame_rate(average, base)
    pixel_format = _text(raw.get("pix_fmt"))
    return {
        "coded_width_px": width,
        "coded_height_px": height,
        "width_px": shown[0],
        "height_px": shown[1],
        "rotation_degrees": rotation,
        "pixel_aspect": aspect,
        "frame_rate": round(float(frame_rate), 3) if frame_rate else None,
        "variable_frame_rate": bool(average and base and abs(base / average - 1) > _RATE_TOLERANCE),
        "frame_count": _whole(raw.get("nb_frames")),
        "pixel_format": pixel_format,
        "bit_depth": _bit_depth(raw, pixel_format),
        "color_space": _text(raw.get("color_space")),
        "color_transfer": _text(raw.get("color_transfer")),
        "color_primaries": _text(raw.get("color_primaries")),
        "color_range": _text(raw.get("color_range")),
        "interlaced": raw["field_order"] in _INTERLACED if "field_order" in raw else None,
    }


def _frame_rate(average: Fraction | None, base: Fraction | None) -> Fraction | None:
    """The average rate; in AVI that is what the header says, which may be only the unit in which it counts."""
    if average and base and average / base - 1 > _RATE_TOLERANCE:
        return base
    return average or base


def _sound(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "channels": _whole(raw.get("channels")),
        "channel_layout": _text(raw.get("channel_layout")),
        "sample_rate_hz": _whole(raw.get("sample_rate")),
        "bit_depth": _whole(raw.get("bits_per_raw_sample")) or _whole(raw.get("bits_per_sample")),
    }


#: Pixels that are less off square than this come from rounding in an editor, and players show them as square.
_SQUARE_TOLERANCE = Fraction(1, 100)


def displayed(width: int, height: int, pixel_aspect: Fraction, rotation_degrees: int) -> tuple[int, int]:
    """The size at which a viewer sees a coded picture of `width` x `height`."""
    if abs(pixel_aspect - 1) > _SQUARE_TOLERANCE:
        width = max(round(width * pixel_aspect), 1)
    return (height, width) if rotation_degrees in (90, 270) else (width, height)


def _rotation(raw: dict[str, Any]) -> int:
    """Degrees clockwise, a multiple of 90, from the display matrix, which counts the other way round."""
    for entry in raw.get("side_data_list", []):
        turn = _real(entry.get("rotation"))
        if turn is not None:
            return round(-turn / 90) * 90 % 360
    return 0


def _bit_depth(raw: dict[str, Any], pixel_format: str | None) -> int | None:
    stated = _whole(raw.get("bits_per_raw_sample"))
    if stated or pixel_format is None:
        return stated
    suffix = re.search(r"p(9|10|12|14|16)[lb]e$|p0(10|12|16)", pixel_format)
    return int(suffix[1] or suffix[2]) if suffix else 8


def _chapter(raw: dict[str, Any]) -> Chapter:
    start_s, end_s = _real(raw.get("start_time")), _real(raw.get("end_time"))
    return Chapter(start_s=start_s or 0.0, end_s=end_s or 0.0, title=_tags(raw).get("title"))


def _tags(raw: dict[str, Any]) -> Tags:
    tags = list(raw.get("tags", {}).items())[:MAX_TAGS]
    return {str(name)[:MAX_TAG_LENGTH]: str(value)[:MAX_TAG_LENGTH] for name, value in tags}


def _text(value: Any) -> str | None:
    return None if value in (None, "", "unknown") else str(value)


def _whole(value: Any) -> int | None:
    """A count above 0."""
    text = str(value)
    return int(text) or None if text.isdecimal() else None


def _real(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _positive(value: Any) -> float | None:
    number = _real(value)
    return number if number is not None and 0 < number < float("inf") else None


def _ratio(value: Any, separator: str) -> Fraction | None:
    """A positive ratio written as `30000/1001` or `4:3`."""
    above, _, below = str(value).partition(separator)
    if not (above.isdecimal() and below.isdecimal()) or 0 in (int(above), int(below)):
        return None
    return Fraction(int(above), int(below))


def _tagged_duration(tags: Tags, start_s: float | None) -> float | None:
    """Seconds that a stream plays, from Matroska's tag `00:00:05.280000000`, which is the time at which it ends."""
    parts = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", tags.get("DURATION", ""))
    if parts is None:
        return None
    end_s = int(parts[1]) * 3600 + int(parts[2]) * 60 + float(parts[3])
    return _positive(end_s - (start_s or 0.0))
