"""Results of video_compress that are black or silent by mistake are rejected."""

from pathlib import Path

import pytest

from darkroom.errors import InternalError
from tests.support.video_compress import compress
from tests.support.videos import Clips, duration_s


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
def test_result_that_is_black_by_mistake_is_refused(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    blackening = "scale=64:36,drawbox=c=black:t=fill,format=yuv420p"
    monkeypatch.setattr("darkroom.av.filters.encode_filters", lambda *_: blackening)
    with pytest.raises(InternalError, match="black"):
        compress(clips("silent.mp4"), tmp_path, max_width=64, codec=codec)


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_video_with_black_key_frames_is_not_black(clips: Clips, tmp_path: Path, codec: str) -> None:
    video = clips("mostly_black.mp4")

    made = compress(video, tmp_path, codec=codec, preset="ultrafast")

    assert duration_s(made) == pytest.approx(duration_s(video), abs=0.04)


def test_result_that_is_silent_by_mistake_is_refused(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.av.loudness.gain_filters", lambda _: ["volume=0"])
    with pytest.raises(InternalError, match="silent"):
        compress(clips("video.mp4"), tmp_path, loudness=-20)


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_black_video_is_compressed(clips: Clips, tmp_path: Path, codec: str) -> None:
    compress(clips("black.mp4"), tmp_path, codec=codec)


def test_black_video_of_very_many_frames_is_compressed(clips: Clips, tmp_path: Path) -> None:
    compress(clips("black_300_fps.mp4"), tmp_path)
