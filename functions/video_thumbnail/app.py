"""Takes one frame of a video as a picture: its poster frame."""

from collections.abc import Iterator
from pathlib import Path

import pyvips

from darkroom import ffmpeg, filters, vips
from darkroom.contracts import Operation, VideoThumbnailParams
from darkroom.errors import CorruptMediaError
from darkroom.geometry import Size, contain
from darkroom.images import save
from darkroom.probe import Stream, check_duration, check_pixels, probe
from darkroom.task import Rendition, Task
from darkroom.worker import bind

_DEFAULT_PERCENT = 10.0

#: Seconds to begin before the moment asked for, where seeking does not find the picture that the moment builds upon.
_RUN_UP_S = {"mpegts": 5.0, "mpeg": 5.0}

_BYTES_PER_PIXEL = 3


def video_thumbnail(task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    """The picture that is on the screen at a moment: upright, with square pixels, in the colours of an ordinary screen.

    A time beyond the end takes the last picture. Where the file does not say how long it is, a percentage takes the
    first one. Only the parts of the file that are needed are read. The picture is never enlarged.
    """
    demuxer, location = ffmpeg.demuxer_of(task.source), task.source.locate()
    found = probe(location, demuxer, task)
    film = found.video()
    shown = check_pixels(film, task.limits)
    check_duration(found, task.limits)
    size = contain(shown, params.width, None, upscale=False).scaled if params.width else shown

    at_s = moment(params, film.duration_s or found.duration_s)
    picture = task.directory / "video_thumbnail.rgb"
    for seek_s in seeks(at_s, _RUN_UP_S.get(demuxer, 0.0)):
        before = decoding(seek_s, exact=params.time_s is not None)
        after = writing(film, size, picture, at_s=at_s - seek_s)
        ffmpeg.read("ffmpeg", location, demuxer, task, before=before, after=after)
        if picture.exists() and picture.stat().st_size == size.pixels * _BYTES_PER_PIXEL:
            return [save(image_of(picture, size), params.format, quality=params.quality, task=task)]
    raise CorruptMediaError("The file is damaged or cut short: there is no picture at this time.")


def moment(params: VideoThumbnailParams, duration_s: float | None) -> float:
    """The time asked for, in seconds from the film's beginning, and not beyond its end."""
    if params.time_s is not None:
        return params.time_s if duration_s is None else min(params.time_s, duration_s)
    percent = _DEFAULT_PERCENT if params.time_percent is None else params.time_percent
    return (duration_s or 0.0) * percent / 100


def seeks(at_s: float, run_up_s: float) -> Iterator[float]:
    """Where to begin reading, one after the other until a picture comes: at last at the film's beginning."""
    first = max(at_s - run_up_s, 0.0)
    yield first
    if first > 0:
        yield 0.0


def decoding(seek_s: float, *, exact: bool) -> list[str]:
    """FFmpeg's arguments before the input: decode from the key frame at or before `seek_s` on.

    One thread does the least work for one picture. When nobody counts frames, those that no other builds upon are left
    out, which saves a quarter.
    """
    seeking = ["-noaccurate_seek", "-ss", f"{seek_s:.3f}"] if seek_s > 0 else []
    return ["-threads", "1", *([] if exact else ["-skip_frame", "noref"]), *seeking]


def writing(film: Stream, size: Size, picture: Path, *, at_s: float) -> list[str]:
    """FFmpeg's arguments after the input: one picture as RGB bytes, `at_s` after the point that was sought."""
    return [
        *("-map", f"0:{film.index}", "-vf", filters.still(film, size, at_s=at_s), "-frames:v", "1"),
        *("-f", "rawvideo", ffmpeg.file_url(picture)),
    ]


def image_of(picture: Path, size: Size) -> pyvips.Image:
    """RGB bytes in a file as an image."""
    vips.set_up()
    pixels = picture.read_bytes()
    return pyvips.Image.new_from_memory(pixels, *size, _BYTES_PER_PIXEL, "uchar").copy(interpretation="srgb")


handler = bind(Operation.VIDEO_THUMBNAIL, video_thumbnail)
