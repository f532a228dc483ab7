"""Runs video_compress and checks what it returns against the bytes of the result."""

from pathlib import Path

import pytest

from darkroom.contracts.video_params import VideoCompressParams
from darkroom.media.task import Rendition
from functions.video_compress.app import video_compress
from tests.support.sources import make_task
from tests.support.videos import box_names, decode_errors, duration_s, only_stream


def compress(video: Path, folder: Path, **params: object) -> Path:
    """Compresses a video with the fastest preset; returns the result, which is checked."""
    fast = {"preset": "ultrafast", **params}
    (rendition,) = video_compress(make_task(video, folder), VideoCompressParams.model_validate(fast))
    return check_rendition(rendition)


def check_rendition(rendition: Rendition) -> Path:
    """Checks the rendition's properties against its bytes; returns its file."""
    path = rendition.content
    assert isinstance(path, Path)
    video = only_stream(path, "video")
    assert (rendition.suffix, rendition.media_type) in {("mp4", "video/mp4"), ("webm", "video/webm")}
    assert (rendition.width_px, rendition.height_px) == (video["width"], video["height"])
    assert rendition.duration_s == pytest.approx(duration_s(path), abs=0.001)
    assert (video["pix_fmt"], video.get("sample_aspect_ratio", "1:1")) == ("yuv420p", "1:1")
    assert not video.get("side_data_list"), "it has no rotation"
    if rendition.suffix == "mp4":
        assert box_names(path).index("moov") < box_names(path).index("mdat"), "its index is in front"
    if video["codec_name"] != "av1":
        assert decode_errors(path) == ""
    return path
