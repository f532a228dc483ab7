"""What is measured: each operation with usual parameters, on a photo of 12 megapixels or on 20 seconds of 720p."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.media.make_clips import clip
from tests.media.make_images import camera_jpeg

PHOTO = "photo-12mp.jpg"
FILM = "bench_20s_720p.mp4"
MEDIA_TYPES = {PHOTO: "image/jpeg", FILM: "video/mp4"}


@dataclass(frozen=True)
class Case:
    """One operation. `at_once` is how many jobs are thrown in together."""

    operation: str
    source: str
    params: Mapping[str, Any] = field(default_factory=dict)
    at_once: int = 100


CASES = (
    Case("thumbnail", PHOTO),
    Case("resize", PHOTO, {"width": 1600, "height": 1600}),
    Case("watermark", PHOTO, {"text": "Darkroom"}),
    Case("video_thumbnail", FILM, {"time_s": 10, "width": 640}),
    Case("video_metadata", FILM),
    Case("audio_extract", FILM),
    # 100 of them would take minutes of pure encoding and tell nothing more.
    Case("video_compress", FILM, {"preset": "ultrafast", "max_height": 360}, at_once=20),
)


def inputs(folder: Path) -> dict[str, Path]:
    """The two files by name, made on first use: it takes some seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = folder / PHOTO
    if not photo.exists():
        photo.write_bytes(camera_jpeg())
    return {PHOTO: photo, FILM: clip(FILM, folder)}
