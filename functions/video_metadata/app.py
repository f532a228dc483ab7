"""Describes a file: container, duration, streams and tags of a video, an audio file or an image."""

import json
from pathlib import Path
from typing import Any

from darkroom.av.filters import is_hdr
from darkroom.av.inputs import choose_demuxer, is_url
from darkroom.av.keyframes import key_frame_intervals
from darkroom.av.probe import Chapter, Probe, Stream, probe
from darkroom.av.tags import remove_location_tags
from darkroom.av.truncation import check_structure
from darkroom.contracts.base import MediaKind
from darkroom.contracts.operations import Operation
from darkroom.contracts.video_params import VideoMetadataParams
from darkroom.jobs.worker import bind
from darkroom.media.task import Rendition, Task


def video_metadata(task: Task, params: VideoMetadataParams) -> list[Rendition]:  # noqa: ARG001 - it takes none
    """A JSON document, as a file and in the job itself. Reads only the needed parts of a large file.

    The location where something was recorded is never included.
    """
    document = _describe_image(task) if task.source.media_type.startswith("image/") else _describe_video_or_audio(task)
    content = json.dumps(document, ensure_ascii=False, indent=2).encode()
    return [Rendition(content, "json", "application/json", document=document)]


def _describe_video_or_audio(task: Task) -> dict[str, Any]:
    demuxer = choose_demuxer(task.source)
    location = task.source.ffmpeg_input()
    if not is_url(location):
        check_structure(Path(location), demuxer)
    found = probe(location, demuxer, task)
    intervals_s = key_frame_intervals(location, demuxer, found, task)
    return build_document(found, task.source.media_type, task.source.size_bytes, intervals_s)


def _describe_image(task: Task) -> dict[str, Any]:
    from functions.video_metadata import image_facts  # loads libvips and Pillow, which a video does not need

    facts = image_facts.read_image_facts(task.source, task.limits)
    document = build_document(facts.found, task.source.media_type, task.source.size_bytes, {})
    (stream,) = document["streams"]
    stream |= {
        "hdr": None,
        "orientation": facts.orientation,
        "alpha": facts.alpha,
        "icc_profile": facts.icc_profile,
        "plays": facts.plays,
    }
    return document


def build_document(found: Probe, media_type: str, size_bytes: int, intervals_s: dict[int, float]) -> dict[str, Any]:
    """The document, in which null means unknown. Its `kind` ignores cover images.

    `intervals_s` are the seconds between key frames by stream index.
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
        "streams": [_stream_entry(stream, intervals_s.get(stream.index)) for stream in found.streams],
        "chapters": [_chapter_entry(chapter) for chapter in found.chapters],
        "tags": remove_location_tags(found.tags),
    }


def _stream_entry(stream: Stream, interval_s: float | None) -> dict[str, Any]:
    details = _audio_details(stream) if stream.kind == "audio" else {}
    if stream.kind in ("video", "image"):
        details = _visual_details(stream, interval_s)
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
        "tags": remove_location_tags(stream.tags),
    }


def _visual_details(stream: Stream, interval_s: float | None) -> dict[str, Any]:
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


def _audio_details(stream: Stream) -> dict[str, Any]:
    return {
        "channels": stream.channels,
        "channel_layout": stream.channel_layout,
        "sample_rate_hz": stream.sample_rate_hz,
        "bit_depth": stream.bit_depth,
    }


def _chapter_entry(chapter: Chapter) -> dict[str, Any]:
    return {"start_s": chapter.start_s, "end_s": chapter.end_s, "title": chapter.title}


handler = bind(Operation.VIDEO_METADATA, video_metadata)
