"""Takes pictures out of a video: its poster frame, several frames, a sprite sheet, or a short moving preview."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath

import pyvips

from darkroom.av import ffmpeg, filters, keyframes
from darkroom.av.probe import Stream, check_duration, check_pixels, probe
from darkroom.contracts.operations import Operation
from darkroom.contracts.video_params import VideoThumbnailParams
from darkroom.errors import CorruptMediaError, TooManyPixelsError
from darkroom.images import vips
from darkroom.images.encode import encode_image
from darkroom.jobs.worker import bind
from darkroom.media.geometry import Size, plan_contain
from darkroom.media.task import Rendition, Task
from functions.video_thumbnail import storyboard
from functions.video_thumbnail.storyboard import Moment

_DEFAULT_PERCENT = 10.0
_DEFAULT_COUNT = 25
_DEFAULT_WIDTH_PX = {"sprite": 160, "preview": 320}

#: Frames that the best one is chosen from, and how wide they are for that.
_CANDIDATES = 9
_CANDIDATE_WIDTH_PX = 64

#: Pixels of all frames that are held at once, and of those that are written one after the other.
_HELD_PIXELS = 64_000_000
_WRITTEN_PIXELS = 250_000_000

#: Part of the film by which a picture at a percentage may be early.
_PERCENTAGE_SLACK = 0.05

#: Demuxers that know all that decoding needs as soon as they have read the header.
_KNOWN_BY_HEADER = {"mov", "matroska"}

#: Seconds to begin before the moment asked for, where seeking does not find the picture that the moment builds upon.
_RUN_UP_S = {"mpegts": 5.0, "mpeg": 5.0}
_LONGEST_RUN_UP_S = 5.0

_BYTES_PER_PIXEL = 3


def video_thumbnail(task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    """Pictures as they are on the screen: upright, with square pixels, in the colours of an ordinary screen.

    A time in seconds takes the very picture that is on the screen then, beyond the end the last one. Of a long film a
    percentage, and frames that are spread over it, take the key frame before. Where the file does not say how long it
    is, a percentage takes the first picture. Only the parts of the file that are needed are read. Pictures are never
    enlarged.
    """
    demuxer, location = ffmpeg.demuxer_of(task.source), task.source.ffmpeg_input()
    found = probe(location, demuxer, task)
    film = found.video()
    shown = check_pixels(film, task.limits)
    check_duration(found, task.limits)
    late_s = max((film.start_s or 0.0) - (found.start_s or 0.0), 0.0)
    duration_s = late_s + film.duration_s if film.duration_s else found.duration_s
    reel = Reel(location, demuxer, film, duration_s, shown, late_s)
    return _LAYOUTS[params.layout](reel, task, params)


@dataclass(frozen=True)
class Reel:
    """A film to take pictures of. `shown` is its size as displayed; `duration_s` is None where the file is silent.

    Times are those of a player, for whom the file begins with its first stream; the film begins `late_s` behind that.
    """

    location: str
    demuxer: str
    film: Stream
    duration_s: float | None
    shown: Size
    late_s: float = 0.0

    @property
    def run_up_s(self) -> float:
        """Seconds to begin before a moment. An MP4 is sought in by the times of decoding, and where it does not take
        back by how much these are earlier, its film begins as late."""
        return _RUN_UP_S.get(self.demuxer, min(self.late_s, _LONGEST_RUN_UP_S))

    def size(self, width: int | None) -> Size:
        """The size of a picture of that width, never larger than the film."""
        return plan_contain(self.shown, width, None, upscale=False).scaled_size if width else self.shown

    @cached_property
    def known_duration_s(self) -> float:
        """Raises CorruptMediaError where it is not known."""
        if self.duration_s is None:
            raise CorruptMediaError("The file does not say how long it is, so that nothing can be spread over it.")
        return self.duration_s


def take(reel: Reel, size: Size, moment: Moment, task: Task) -> pyvips.Image:
    """The picture at a moment. Raises CorruptMediaError when there is none."""
    picture = task.directory / "video_thumbnail.rgb"
    for before, choosing in attempts(reel, size, moment):
        after = writing(reel.film, choosing, picture)
        ffmpeg.read("ffmpeg", reel.location, reel.demuxer, task, before=before, after=after)
        if picture.exists() and picture.stat().st_size == size.pixels * _BYTES_PER_PIXEL:
            (image,) = images_of(picture, size)
            picture.unlink()
            return image
    raise CorruptMediaError("The file is damaged or cut short: there is no picture at this time.")


def attempts(reel: Reel, size: Size, moment: Moment) -> Iterator[tuple[list[str], str]]:
    """FFmpeg's arguments before the input and its filters, one pair after the other until a picture comes."""
    if moment.slack_s >= keyframes.LONGEST_S:  # no other picture needs less reading and decoding
        known = ["-nofind_stream_info"] if reel.demuxer in _KNOWN_BY_HEADER else []
        yield [*known, *decoding(moment.at_s, exact=False)], filters.first(reel.film, size)
    for seek_s in seeks(moment.at_s, reel.run_up_s):
        exact = moment.slack_s == 0
        # Where times may jump, FFmpeg counts from the beginning of what is read, which is the film alone.
        begun_s = max(seek_s, reel.late_s) if reel.demuxer in _RUN_UP_S else seek_s
        yield decoding(seek_s, exact=exact), filters.still(reel.film, size, at_s=max(moment.at_s - begun_s, 0.0))


def _frames(reel: Reel, task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    size = reel.size(params.width)
    if params.mode == "best" and reel.duration_s is not None:
        moments = [_best(reel, task.map_progress(0, 0.9))]
        task = task.map_progress(0.9, 1)
    else:
        moments = _moments(reel, params)
    _check_total(size, len(moments), _WRITTEN_PIXELS)
    renditions = []
    for number, (step, moment) in enumerate(zip(_steps(task, len(moments)), moments, strict=True), 1):
        image = take(reel, size, moment, step.map_progress(0, 0.5))
        rendition = encode_image(image, params.format or "jpeg", quality=params.quality, task=step.map_progress(0.5, 1))
        name = f"{number:0{len(str(len(moments)))}}" if len(moments) > 1 else None
        renditions.append(replace(rendition, name=name))
    return renditions


def _moments(reel: Reel, params: VideoThumbnailParams) -> list[Moment]:
    if params.count is not None:
        return storyboard.evenly(params.count, reel.known_duration_s)
    if params.times_s is not None:
        return [Moment(at_s if reel.duration_s is None else min(at_s, reel.duration_s)) for at_s in params.times_s]
    slack_s = 0.0 if params.time_s is not None else (reel.duration_s or 0.0) * _PERCENTAGE_SLACK
    return [Moment(time_of(params, reel.duration_s), slack_s)]


def _best(reel: Reel, task: Task) -> Moment:
    moments = storyboard.evenly(_CANDIDATES, reel.known_duration_s)
    frames = _taken(reel, reel.size(_CANDIDATE_WIDTH_PX), moments, task)
    with vips.map_vips_errors():
        return moments[storyboard.most_typical(frames)]


def _taken(reel: Reel, size: Size, moments: list[Moment], task: Task) -> list[pyvips.Image]:
    steps = _steps(task, len(moments))
    return [take(reel, size, moment, step) for step, moment in zip(steps, moments, strict=True)]


def _steps(task: Task, count: int) -> Iterator[Task]:
    return (task.map_progress(index / count, (index + 1) / count) for index in range(count))


def _sprite(reel: Reel, task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    count, tile = params.count or _DEFAULT_COUNT, reel.size(params.width or _DEFAULT_WIDTH_PX["sprite"])
    _check_total(tile, count, _HELD_PIXELS)
    duration_s = reel.known_duration_s
    frames = _taken(reel, tile, storyboard.evenly(count, duration_s), task.map_progress(0, 0.9))
    with vips.map_vips_errors():
        sheet = storyboard.sheet(frames)
    picture = encode_image(sheet, params.format or "jpeg", quality=params.quality, task=task.map_progress(0.9, 1))
    name = picture.file_name(f"{PurePath(task.source.name).stem}-{Operation.VIDEO_THUMBNAIL}")
    cues = storyboard.cues(count, tile, duration_s, name)
    return [picture, Rendition(cues.encode(), "vtt", "text/vtt", duration_s=duration_s)]


def _preview(reel: Reel, task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    size, fps = reel.size(params.width or _DEFAULT_WIDTH_PX["preview"]), params.preview_fps
    _check_total(size, round(params.preview_s * fps), _HELD_PIXELS)
    start_s = time_of(params, reel.duration_s)
    if reel.duration_s is not None:
        start_s = max(min(start_s, reel.duration_s - params.preview_s), 0.0)
    pictures = task.directory / "video_thumbnail.rgb"
    before = ["-threads", "1", *(["-ss", f"{start_s:.3f}"] if start_s > 0 else [])]
    showing = [
        "-map",
        f"0:{reel.film.index}",
        "-t",
        f"{params.preview_s:g}",
        "-vf",
        filters.moving(reel.film, size, fps),
    ]
    after = [*showing, "-f", "rawvideo", ffmpeg.file_url(pictures)]
    ffmpeg.read("ffmpeg", reel.location, reel.demuxer, task.map_progress(0, 0.5), before=before, after=after)
    frames = images_of(pictures, size) if pictures.exists() else []
    if not frames:
        raise CorruptMediaError("The file is damaged or cut short: there is no picture at this time.")
    with vips.map_vips_errors():
        animation = vips.animation_strip(frames, [round(1000 / fps)] * len(frames), plays=0)
    made = encode_image(animation, params.format or "webp", quality=params.quality, task=task.map_progress(0.5, 1))
    return [replace(made, duration_s=round(len(frames) / fps, 3))]


def _check_total(size: Size, count: int, most_pixels: int) -> None:
    if count > 1 and size.pixels * count > most_pixels:
        raise TooManyPixelsError(
            f"{count} frames of {size.width:,} x {size.height:,} pixels are more than the {most_pixels:,} that are "
            "made at once. Ask for a smaller width or fewer frames."
        )


_LAYOUTS: dict[str, Callable[[Reel, Task, VideoThumbnailParams], list[Rendition]]] = {
    "frames": _frames,
    "sprite": _sprite,
    "preview": _preview,
}


def time_of(params: VideoThumbnailParams, duration_s: float | None) -> float:
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


def writing(film: Stream, choosing: str, picture: Path) -> list[str]:
    """FFmpeg's arguments after the input: the picture that the filters `choosing` pass first, as RGB bytes."""
    return [
        *("-map", f"0:{film.index}", "-vf", choosing, "-frames:v", "1"),
        *("-f", "rawvideo", ffmpeg.file_url(picture)),
    ]


def images_of(pictures: Path, size: Size) -> list[pyvips.Image]:
    """RGB bytes in a file as images of one size."""
    vips.set_up()
    content, length = memoryview(pictures.read_bytes()), size.pixels * _BYTES_PER_PIXEL
    starts = range(0, len(content) // length * length, length)
    frames = [content[start : start + length] for start in starts]
    made = [pyvips.Image.new_from_memory(frame, *size, _BYTES_PER_PIXEL, "uchar") for frame in frames]
    return [image.copy(interpretation="srgb") for image in made]


handler = bind(Operation.VIDEO_THUMBNAIL, video_thumbnail)
