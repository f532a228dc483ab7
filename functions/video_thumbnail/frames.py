"""Extracts single frames and short sequences from a video as RGB images, reading only the needed parts of the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyvips

from darkroom.av import ffmpeg, filters, keyframes
from darkroom.av.inputs import file_url
from darkroom.av.probe import Stream
from darkroom.errors import CorruptMediaError
from darkroom.images import vips
from darkroom.media.geometry import Size, plan_contain
from darkroom.media.task import Task
from functions.video_thumbnail.storyboard import FrameTime

#: Demuxers whose header holds everything that decoding needs.
_COMPLETE_HEADER_DEMUXERS = {"mov", "matroska"}

#: Seconds to start decoding before the requested time, for demuxers that may seek to a point after the key frame that
#: the requested frame needs.
_PREROLL_S = {"mpegts": 5.0, "mpeg": 5.0}
_MAX_PREROLL_S = 5.0

_BYTES_PER_PIXEL = 3
_RAW_FILE = "video_thumbnail.rgb"


@dataclass(frozen=True)
class VideoFile:
    """A video to take frames from. `displayed` is its displayed size; `duration_s` is None where it is unknown.

    Times are those of a player, whose clock starts with the file's first stream. The video starts `delay_s` later.
    """

    location: str
    demuxer: str
    video: Stream
    duration_s: float | None
    displayed: Size
    delay_s: float = 0.0

    @property
    def preroll_s(self) -> float:
        """Seconds to start decoding before a requested time.

        FFmpeg seeks in an MP4 by decoding times, which are earlier than display times. A file that does not compensate
        for the difference delays its video by as much.
        """
        return _PREROLL_S.get(self.demuxer, min(self.delay_s, _MAX_PREROLL_S))

    @property
    def known_duration_s(self) -> float:
        """The duration. Raises CorruptMediaError where it is unknown."""
        if self.duration_s is None:
            raise CorruptMediaError("The file does not state its duration, so frames cannot be spread over it.")
        return self.duration_s

    def fit_width(self, width_px: int | None) -> Size:
        """The size of a frame of that width, never larger than the video; None for the displayed size."""
        return plan_contain(self.displayed, width_px, None, upscale=False).scaled_size if width_px else self.displayed


def extract_frame(file: VideoFile, size: Size, time: FrameTime, task: Task) -> pyvips.Image:
    """The frame at a time. Raises CorruptMediaError when there is none."""
    raw = task.directory / _RAW_FILE
    for before, chain in frame_arguments(file, size, time):
        after = raw_frame_arguments(file.video, chain, raw)
        ffmpeg.read("ffmpeg", file.location, file.demuxer, task, before=before, after=after)
        if raw.exists() and raw.stat().st_size == size.pixels * _BYTES_PER_PIXEL:
            (image,) = load_raw_frames(raw, size)
            raw.unlink()
            return image
    raise CorruptMediaError("The file is damaged or cut short: it has no frame at this time.")


def extract_sequence(
    file: VideoFile, size: Size, start_s: float, length_s: float, fps: float, task: Task
) -> list[pyvips.Image]:
    """Frames at even intervals from `start_s` on. Raises CorruptMediaError when there are none."""
    raw = task.directory / _RAW_FILE
    before = ["-threads", "1", *(["-ss", f"{start_s:.3f}"] if start_s > 0 else [])]
    chain = filters.preview_filters(file.video, size, fps)
    selection = ["-map", f"0:{file.video.index}", "-t", f"{length_s:g}", "-vf", chain]
    after = [*selection, "-f", "rawvideo", file_url(raw)]
    ffmpeg.read("ffmpeg", file.location, file.demuxer, task, before=before, after=after)
    images = load_raw_frames(raw, size) if raw.exists() else []
    if not images:
        raise CorruptMediaError("The file is damaged or cut short: it has no frame at this time.")
    return images


def frame_arguments(file: VideoFile, size: Size, time: FrameTime) -> Iterator[tuple[list[str], str]]:
    """FFmpeg arguments before the input and the filter chain, to be tried in order until one yields a frame."""
    if time.tolerance_s >= keyframes.MAX_INTERVAL_S:  # the key frame takes the least reading and decoding
        known = ["-nofind_stream_info"] if file.demuxer in _COMPLETE_HEADER_DEMUXERS else []
        yield [*known, *seek_arguments(time.at_s, exact=False)], filters.first_frame_filters(file.video, size)
    for seek_s in seek_points_s(time.at_s, file.preroll_s):
        exact = time.tolerance_s == 0
        # Where timestamps may jump, FFmpeg counts from the start of what it reads, which is the video stream alone.
        origin_s = max(seek_s, file.delay_s) if file.demuxer in _PREROLL_S else seek_s
        chain = filters.still_filters(file.video, size, at_s=max(time.at_s - origin_s, 0.0))
        yield seek_arguments(seek_s, exact=exact), chain


def seek_points_s(at_s: float, preroll_s: float) -> Iterator[float]:
    """Where to start reading, to be tried in order; the last one is the start of the file."""
    first_s = max(at_s - preroll_s, 0.0)
    yield first_s
    if first_s > 0:
        yield 0.0


def seek_arguments(seek_s: float, *, exact: bool) -> list[str]:
    """FFmpeg arguments before the input: decode from the key frame at or before `seek_s` on.

    One thread does the least work for one frame. Unless the exact frame is requested, frames that no other frame builds
    upon are skipped, which saves a quarter.
    """
    seeking = ["-noaccurate_seek", "-ss", f"{seek_s:.3f}"] if seek_s > 0 else []
    return ["-threads", "1", *([] if exact else ["-skip_frame", "noref"]), *seeking]


def raw_frame_arguments(video: Stream, chain: str, target: Path) -> list[str]:
    """FFmpeg arguments after the input: write the first frame from a filter chain as RGB bytes."""
    return [
        *("-map", f"0:{video.index}", "-vf", chain, "-frames:v", "1"),
        *("-f", "rawvideo", file_url(target)),
    ]


def load_raw_frames(raw: Path, size: Size) -> list[pyvips.Image]:
    """The images in a file of RGB bytes."""
    vips.set_up()
    content, length = memoryview(raw.read_bytes()), size.pixels * _BYTES_PER_PIXEL
    starts = range(0, len(content) // length * length, length)
    frames = [content[start : start + length] for start in starts]
    images = [pyvips.Image.new_from_memory(frame, *size, _BYTES_PER_PIXEL, "uchar") for frame in frames]
    return [image.copy(interpretation="srgb") for image in images]
