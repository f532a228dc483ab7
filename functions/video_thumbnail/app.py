"""Takes images from a video: a poster frame, several frames, a sprite sheet, or a short animated preview."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePath

import pyvips

from darkroom.av.inputs import choose_demuxer
from darkroom.av.probe import check_duration, check_frame_size, probe
from darkroom.contracts.operations import Operation
from darkroom.contracts.video_params import VideoThumbnailParams
from darkroom.errors import TooManyPixelsError
from darkroom.images import vips
from darkroom.images.encode import encode_image
from darkroom.jobs.worker import bind
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task
from functions.video_thumbnail import storyboard
from functions.video_thumbnail.frames import VideoFile, extract_frame, extract_sequence
from functions.video_thumbnail.storyboard import FrameTime

_DEFAULT_PERCENT = 10.0
_DEFAULT_COUNT = 25
_DEFAULT_WIDTH_PX = {"sprite": 160, "preview": 320}

#: Frames that mode "best" chooses from, and their width, which suffices for a histogram.
_CANDIDATES = 9
_CANDIDATE_WIDTH_PX = 64

#: Pixels of all frames together: of those held in memory at once, and of those written one after the other.
_HELD_PIXELS = 64_000_000
_WRITTEN_PIXELS = 250_000_000

#: Part of the duration by which a frame at a percentage may be early.
_PERCENTAGE_TOLERANCE = 0.05

#: The job's progress, from 0 to 1, at which the frames of a layout are extracted. The rest is for saving.
_SPREAD_FRAMES_END = 0.9
_PREVIEW_FRAMES_END = 0.5


def video_thumbnail(task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    """Frames as displayed: upright, with square pixels, in SDR, never enlarged.

    A time in seconds takes exactly the frame on the screen at that time; beyond the end, the last one. In a long video
    a percentage, and frames spread over it, take the key frame before. Where the file states no duration, a
    percentage takes the first frame. Reads only the needed parts of the file.
    """
    demuxer, location = choose_demuxer(task.source), task.source.ffmpeg_input()
    found = probe(location, demuxer, task)
    video = found.video_stream()
    displayed = check_frame_size(video, task.limits)
    check_duration(found, task.limits)
    delay_s = max((video.start_s or 0.0) - (found.start_s or 0.0), 0.0)
    duration_s = delay_s + video.duration_s if video.duration_s else found.duration_s
    file = VideoFile(location, demuxer, video, duration_s, displayed, delay_s)
    return _LAYOUTS[params.layout](file, task, params)


def requested_time_s(params: VideoThumbnailParams, duration_s: float | None) -> float:
    """The requested time in seconds from the start, and not beyond the end."""
    if params.time_s is not None:
        return params.time_s if duration_s is None else min(params.time_s, duration_s)
    percent = _DEFAULT_PERCENT if params.time_percent is None else params.time_percent
    return (duration_s or 0.0) * percent / 100


def _render_frames(file: VideoFile, task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    size = file.fit_width(params.width)
    if params.mode == "best" and file.duration_s is not None:
        times = [_find_best_time(file, task.map_progress(0, _SPREAD_FRAMES_END))]
        task = task.map_progress(_SPREAD_FRAMES_END, 1)
    else:
        times = _choose_times(file, params)
    _check_total_pixels(size, len(times), _WRITTEN_PIXELS)
    renditions = []
    for number, (step, time) in enumerate(zip(_split_progress(task, len(times)), times, strict=True), 1):
        image = extract_frame(file, size, time, step.map_progress(0, 0.5))
        rendition = encode_image(image, params.format or "jpeg", quality=params.quality, task=step.map_progress(0.5, 1))
        name = f"{number:0{len(str(len(times)))}}" if len(times) > 1 else None
        renditions.append(replace(rendition, name=name))
    return renditions


def _choose_times(file: VideoFile, params: VideoThumbnailParams) -> list[FrameTime]:
    if params.count is not None:
        return storyboard.spread_times(params.count, file.known_duration_s)
    if params.times_s is not None:
        return [FrameTime(at_s if file.duration_s is None else min(at_s, file.duration_s)) for at_s in params.times_s]
    tolerance_s = 0.0 if params.time_s is not None else (file.duration_s or 0.0) * _PERCENTAGE_TOLERANCE
    return [FrameTime(requested_time_s(params, file.duration_s), tolerance_s)]


def _find_best_time(file: VideoFile, task: Task) -> FrameTime:
    times = storyboard.spread_times(_CANDIDATES, file.known_duration_s)
    frames = _extract_frames(file, file.fit_width(_CANDIDATE_WIDTH_PX), times, task)
    with vips.map_vips_errors():
        return times[storyboard.find_most_typical(frames)]


def _render_sprite_sheet(file: VideoFile, task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    """The sheet, and the WebVTT file that refers to it by the name under which it is stored."""
    count, tile = params.count or _DEFAULT_COUNT, file.fit_width(params.width or _DEFAULT_WIDTH_PX["sprite"])
    _check_total_pixels(tile, count, _HELD_PIXELS)
    times = storyboard.spread_times(count, file.known_duration_s)
    frames = _extract_frames(file, tile, times, task.map_progress(0, _SPREAD_FRAMES_END))
    with vips.map_vips_errors():
        sheet = storyboard.build_sprite_sheet(frames)
    saving = task.map_progress(_SPREAD_FRAMES_END, 1)
    rendition = encode_image(sheet, params.format or "jpeg", quality=params.quality, task=saving)
    sheet_name = rendition.file_name(f"{PurePath(task.source.name).stem}-{Operation.VIDEO_THUMBNAIL}")
    cues = storyboard.write_cues(count, tile, file.known_duration_s, sheet_name)
    return [rendition, Rendition(cues.encode(), "vtt", "text/vtt", duration_s=file.known_duration_s)]


def _render_preview(file: VideoFile, task: Task, params: VideoThumbnailParams) -> list[Rendition]:
    size, fps = file.fit_width(params.width or _DEFAULT_WIDTH_PX["preview"]), params.preview_fps
    _check_total_pixels(size, round(params.preview_s * fps), _HELD_PIXELS)
    start_s = requested_time_s(params, file.duration_s)
    if file.duration_s is not None:
        start_s = max(min(start_s, file.duration_s - params.preview_s), 0.0)
    frames = extract_sequence(file, size, start_s, params.preview_s, fps, task.map_progress(0, _PREVIEW_FRAMES_END))
    with vips.map_vips_errors():
        animation = vips.animation_strip(frames, [round(1000 / fps)] * len(frames), plays=0)
    saving = task.map_progress(_PREVIEW_FRAMES_END, 1)
    rendition = encode_image(animation, params.format or "webp", quality=params.quality, task=saving)
    return [replace(rendition, duration_s=round(len(frames) / fps, 3))]


def _extract_frames(file: VideoFile, size: Size, times: list[FrameTime], task: Task) -> list[pyvips.Image]:
    steps = _split_progress(task, len(times))
    return [extract_frame(file, size, time, step) for step, time in zip(steps, times, strict=True)]


def _split_progress(task: Task, count: int) -> Iterator[Task]:
    return (task.map_progress(index / count, (index + 1) / count) for index in range(count))


def _check_total_pixels(size: Size, count: int, max_pixels: int) -> None:
    if count > 1 and size.pixels * count > max_pixels:
        raise TooManyPixelsError(
            f"{count} frames of {size.width:,} x {size.height:,} pixels exceed the limit of {max_pixels:,} pixels in "
            "all. Request a smaller width or fewer frames."
        )


_LAYOUTS: dict[str, Callable[[VideoFile, Task, VideoThumbnailParams], list[Rendition]]] = {
    "frames": _render_frames,
    "sprite": _render_sprite_sheet,
    "preview": _render_preview,
}

handler = bind(Operation.VIDEO_THUMBNAIL, video_thumbnail)
