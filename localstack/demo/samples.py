"""The work that is shown: which files, which jobs. Paths count from the repository's root."""

from typing import Any

PHOTO = "tests/media/rocket.jpg"
VIDEO = "tests/media/bigbuckbunny.mp4"

#: What is asked of the photo, by operation.
PHOTO_JOBS: dict[str, dict[str, Any]] = {
    "resize": {"width": 480, "format": "webp", "quality": 80},
    "thumbnail": {"width": 200, "height": 200},
    "watermark": {"text": "Darkroom", "position": "bottom_right", "opacity": 0.7},
}

#: What is asked of the video, by operation.
VIDEO_JOBS: dict[str, dict[str, Any]] = {
    "video_thumbnail": {"time_percent": 50, "width": 640},
    "video_metadata": {},
    "video_compress": {"crf": 28, "preset": "veryfast", "max_height": 360},
    "audio_extract": {"format": "mp3", "bitrate_kbps": 128},
}


def source_of(function: str) -> str:
    """A file that the function can work on."""
    return VIDEO if function in VIDEO_JOBS else PHOTO


def params_of(function: str) -> dict[str, Any]:
    """Parameters that suit that file; empty for what is no operation."""
    return (PHOTO_JOBS | VIDEO_JOBS).get(function, {})
