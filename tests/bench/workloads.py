"""The measured workloads: each operation with common parameters, on a 12-megapixel photo or 20 seconds of 720p."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.media.make_clips import clip
from tests.media.make_images import camera_jpeg

PHOTO = "photo-12mp.jpg"
VIDEO = "bench_20s_720p.mp4"
MEDIA_TYPES = {PHOTO: "image/jpeg", VIDEO: "video/mp4"}


@dataclass(frozen=True)
class Workload:
    """One operation on one file. `concurrent` is how many jobs are submitted together."""

    operation: str
    source: str
    params: Mapping[str, Any] = field(default_factory=dict)
    concurrent: int = 100


WORKLOADS = (
    Workload("thumbnail", PHOTO),
    Workload("resize", PHOTO, {"width": 1600, "height": 1600}),
    Workload("watermark", PHOTO, {"text": "Darkroom"}),
    Workload("video_thumbnail", VIDEO, {"time_s": 10, "width": 640}),
    Workload("video_metadata", VIDEO),
    Workload("audio_extract", VIDEO),
    # 100 jobs would spend minutes on encoding alone and give the same result.
    Workload("video_compress", VIDEO, {"preset": "ultrafast", "max_height": 360}, concurrent=20),
)


def inputs(folder: Path) -> dict[str, Path]:
    """The two files by name. The first call makes them, which takes some seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = folder / PHOTO
    if not photo.exists():
        photo.write_bytes(camera_jpeg())
    return {PHOTO: photo, VIDEO: clip(VIDEO, folder)}
