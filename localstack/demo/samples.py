"""The sample jobs of the demo and of `localstack.invoke`. Paths are relative to the repository's root."""

from typing import Any

PHOTO = "tests/media/rocket.jpg"
VIDEO = "tests/media/bigbuckbunny.mp4"

#: Parameters of the jobs on the photo, by operation.
PHOTO_JOBS: dict[str, dict[str, Any]] = {
    "resize": {"width": 480, "format": "webp", "quality": 80},
    "thumbnail": {"width": 200, "height": 200},
    "watermark": {"text": "Darkroom", "position": "bottom_right", "opacity": 0.7},
}

#: Parameters of the jobs on the video, by operation.
VIDEO_JOBS: dict[str, dict[str, Any]] = {
    "video_thumbnail": {"time_percent": 50, "width": 640},
    "video_compress": {"crf": 28, "preset": "veryfast", "max_height": 360},
    "audio_extract": {"format": "mp3", "bitrate_kbps": 128, "loudness": -16, "waveform": ["png"]},
    "video_metadata": {},
}


def source_of(operation: str) -> str:
    """A file that the operation accepts."""
    return VIDEO if operation in VIDEO_JOBS else PHOTO


def params_of(operation: str) -> dict[str, Any]:
    """Parameters for that file; empty for a function that is not an operation."""
    return (PHOTO_JOBS | VIDEO_JOBS).get(operation, {})
