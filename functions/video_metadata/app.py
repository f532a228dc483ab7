"""Says what a file is: container, duration, streams and tags of a video or a sound, and the same of a picture."""

import json
from pathlib import Path
from typing import Any

from darkroom.av import ffmpeg, keyframes
from darkroom.av.filters import is_hdr
from darkroom.av.lengths import check_uncut
from darkroom.av.probe import Chapter, Probe, Stream, probe
from darkroom.av.tags import without_place
from darkroom.contracts.base import MediaKind
from darkroom.contracts.operations import Operation
from darkroom.contracts.video_params import VideoMetadataParams
from darkroom.jobs.worker import bind
from darkroom.media.task import Rendition, Task


def video_metadata(task: Task, params: VideoMetadataParams) -> list[Rendition]:  # noqa: ARG001 - it takes none
    """A JSON document, as a file and in the job itself. Of a large film only the parts that are needed are read.

    The position where something was recorded is never told.
    """
    document = _of_picture(task) if task.source.media_type.startswith("image/") else _of_recording(task)
    content = json.dumps(document, ensure_ascii=False, indent=2).encode()
    return [Rendition(content, "json", "application/json", document=document)]


def _of_recording(task: Task) -> dict[str, Any]:
    demuxer = ffmpeg.demuxer_of(task.source)
    location = task.source.ffmpeg_input()
    if not ffmpeg.is_link(location):
        check_uncut(Path(location), demuxer)
    found = probe(location, demuxer, task)
    intervals = keyframes.intervals(location, demuxer, found, task)
    return describe(found, task.source.media_type, task.source.size_bytes, intervals)


def _of_picture(task: Task) -> dict[str, Any]:
    from functions.video_metadata import image_facts  # with libvips and Pillow, which a film does not wait for

    picture = image_facts.picture(task.source, task.limits)
    document = describe(picture.found, task.source.media_type, task.source.size_bytes, {})
    (stream,) = document["streams"]
    stream |= {
        "hdr": None,
        "orientation": picture.orientation,
        "alpha": picture.alpha,
        "icc_profile": picture.icc_profile,
        "plays": picture.plays,
    }
    return document


def describe(found: Probe, media_type: str, size_bytes: int, intervals: dict[int, float]) -> dict[str, Any]:
    """The document. What the file does not say is null. `kind` is what it is, cover pictures aside.

    `intervals` are the seconds between key frames by the index of their stream.
    """
    kinds = {stream.kind for stream in found.streams if not stream.attached_picture}
    kind = next((kind for kind in (MediaKind.IMAGE, MediaKind.VIDEO) if kind in kinds), MediaKind.AUDIO)
    return {
        "kind": kind,
        "media_type": media_type,
        "container": found.format_name,
        "size_bytes": size_bytes,
        "duration_s": found.duration_s,
        "bit_rate_bps": found.bit_rate_bps,
        "streams": [_stream(stream, intervals.get(stream.index)) for stream in found.streams],
        "chapters": [_chapter(chapter) for chapter in found.chapters],
        "tags": without_place(found.tags),
    }


def _stream(stream: Stream, interval_s: float | None) -> dict[str, Any]:
    details = _sound(stream) if stream.kind == "audio" else {}
    if stream.kind in ("video", "image"):
        details = _picture(stream, interval_s)
    return {
        "index": stream.index,
        "type": stream.kind,
        "codec": stream.codec,
        "profile": stream.profile,
        "duration_s": stream.duration_s,
        "bit_rate_bps": stream.bit_rate_bps,
        "language": stream.language,
        "default": stream.default,
        "forced": stream.forced,
        **details,
        "tags": without_place(stream.tags),
    }


def _picture(stream: Stream, interval_s: float | None) -> dict[str, Any]:
    aspect = stream.pixel_aspect
    return {
        "width_px": stream.width_px,
        "height_px": stream.height_px,
        "coded_width_px": stream.coded_width_px,
        "coded_height_px": stream.coded_height_px,
        "pixel_aspect": f"{aspect.numerator}:{aspect.denominator}",
        "rotation_degrees": stream.rotation_degrees,
        "frame_rate": stream.frame_rate,
        "variable_frame_rate": stream.variable_frame_rate,
        "frame_count": stream.frame_count,
        "key_frame_interval_s": interval_s,
        "interlaced": stream.interlaced,
        "pixel_format": stream.pixel_format,
        "bit_depth": stream.bit_depth,
        "color_space": stream.color_space,
        "color_transfer": stream.color_transfer,
        "color_primaries": stream.color_primaries,
        "color_range": stream.color_range,
        "hdr": is_hdr(stream),
        "attached_picture": stream.attached_picture,
    }


def _sound(stream: Stream) -> dict[str, Any]:
    return {
        "channels": stream.channels,
        "channel_layout": stream.channel_layout,
        "sample_rate_hz": stream.sample_rate_hz,
        "bit_depth": stream.bit_depth,
    }


def _chapter(chapter: Chapter) -> dict[str, Any]:
    return {"start_s": chapter.start_s, "end_s": chapter.end_s, "title": chapter.title}


handler = bind(Operation.VIDEO_METADATA, video_metadata)
