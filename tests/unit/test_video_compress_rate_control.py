"""Goals of video_compress: CRF, bit rate, size in bytes, SSIM."""

import time
from pathlib import Path
from typing import Any

import pytest

from darkroom.av import filters
from darkroom.av.probe import probe
from darkroom.contracts.operations import Operation, parse_params
from darkroom.contracts.video_params import VideoCompressParams
from darkroom.errors import InvalidRequestError, ResultTooLargeError
from darkroom.media.geometry import Size
from functions.video_compress import quality
from functions.video_compress.app import video_compress
from tests.media.make_clips import ORIGINAL
from tests.support.sources import make_task
from tests.support.video_compress import check_rendition, compress
from tests.support.videos import Clips, duration_s, frame_times_s, mean_av1_ssim, mean_ssim, only_stream, stream_kinds

# CRF -----------------------------------------------------------------------------------------------------------------


def test_higher_crf_makes_a_smaller_file(clips: Clips, tmp_path: Path) -> None:
    sizes = [compress(clips("silent.mp4"), tmp_path, crf=crf).stat().st_size for crf in (20, 30, 40)]

    assert sizes[0] > sizes[1] * 1.5 > sizes[2] * 2


# Bit rate ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
def test_video_has_about_the_requested_bit_rate(clips: Clips, tmp_path: Path, codec: str) -> None:
    rates_kbps = [
        compress(clips("video.mp4"), tmp_path, codec=codec, audio="none", bitrate_kbps=kbps).stat().st_size / 250
        for kbps in (100, 200)
    ]

    # In a video of two seconds, one pass misses the rate.
    tolerance = 1.0 if codec == "av1" else 0.25
    assert 100 / (1 + tolerance) < rates_kbps[0] < 100 * (1 + tolerance)
    assert 1.5 < rates_kbps[1] / rates_kbps[0] < 2.2


# Size ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
@pytest.mark.parametrize("max_bytes", [30_000, 200_000])
def test_allowed_bytes_are_filled_and_never_exceeded(clips: Clips, tmp_path: Path, codec: str, max_bytes: int) -> None:
    made = compress(clips("video.mp4"), tmp_path, codec=codec, max_bytes=max_bytes)

    assert max_bytes * 0.9 <= made.stat().st_size <= max_bytes
    assert stream_kinds(made) == ["video", "audio"]


def test_smaller_source_gives_a_smaller_result(tmp_path: Path, clips: Clips) -> None:
    assert compress(clips("slides.mp4"), tmp_path, max_bytes=100_000).stat().st_size < 10_000
    made = compress(clips("video.mp4"), tmp_path, max_bytes=10_000_000)
    assert made.stat().st_size <= clips("video.mp4").stat().st_size


def test_size_that_is_too_small_is_refused_with_advice(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(ResultTooLargeError, match="Lower the width"):
        compress(clips("video.mp4"), tmp_path, max_bytes=2_000)
    with pytest.raises(ResultTooLargeError, match="Lower the width"):
        compress(clips("video.mp4"), tmp_path, max_bytes=9_000)


# SSIM ----------------------------------------------------------------------------------------------------------------


#: The filters of a result of 320x180, written independently of the code.
SMALL = "scale=320:180:out_range=tv,setsar=1,format=yuv420p"


def compress_to_ssim(video: Path, folder: Path, **params: object) -> tuple[Path, dict[str, Any]]:
    """Compresses a video to an SSIM; returns the checked result and the job's document."""
    requested = {"preset": "ultrafast", "audio": "none", **params}
    (rendition,) = video_compress(make_task(video, folder), VideoCompressParams.model_validate(requested))
    assert isinstance(rendition.content, Path)
    assert rendition.document is not None
    assert list(folder.iterdir()) == [rendition.content], "the samples are deleted"
    return check_rendition(rendition), rendition.document


@pytest.mark.parametrize(
    ("codec", "target"), [("h264", 0.97), ("h264", 0.85), ("h265", 0.95), ("vp9", 0.9), ("av1", 0.95)]
)
def test_whole_video_has_the_requested_ssim(binaries: Path, tmp_path: Path, codec: str, target: float) -> None:
    made, report = compress_to_ssim(ORIGINAL, tmp_path, codec=codec, target_ssim=target, max_height=180)

    is_av1 = codec == "av1"
    found = mean_av1_ssim(made, ORIGINAL, SMALL, folder=tmp_path) if is_av1 else mean_ssim(made, ORIGINAL, SMALL)
    assert report["ssim"] == pytest.approx(found, abs=0.002)
    assert target - 0.002 <= found <= target + 0.012, "a step of the CRF may be that large"
    assert (report["codec"], report["target_ssim"], report["target_met"]) == (codec, target, True)
    assert report["sampled_s"] == pytest.approx(5.28, abs=0.05)
    assert 1 <= report["rounds"] <= 6


def test_larger_crf_would_miss_the_ssim(binaries: Path, tmp_path: Path) -> None:
    _, report = compress_to_ssim(ORIGINAL, tmp_path, target_ssim=0.93, max_height=180)
    (tmp_path / "more").mkdir()

    coarser = compress(ORIGINAL, tmp_path / "more", crf=report["crf"] + 1, max_height=180, audio="none")

    assert mean_ssim(coarser, ORIGINAL, SMALL) < 0.93 <= report["ssim"]


def test_samples_represent_a_long_video_with_varied_content(clips: Clips, tmp_path: Path) -> None:
    video = clips("varied.mp4")
    made, report = compress_to_ssim(video, tmp_path, target_ssim=0.95, max_height=90)

    assert report["sampled_s"] == pytest.approx(20, abs=0.2)
    assert duration_s(made) == pytest.approx(duration_s(video), abs=0.1)
    assert mean_ssim(made, video, "scale=160:90:out_range=tv,format=yuv420p") == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("name", "demuxer"),
    [
        *((f"{name}.mp4", "mov") for name in ("odd", "variable", "portrait", "anamorphic", "full_range")),
        *((f"{name}.mp4", "mov") for name in ("tiny", "black", "late_audio")),
        *(("interlaced.ts", "mpegts"), ("video.mpg", "mpeg"), ("video.flv", "flv"), ("slides.mkv", "matroska")),
    ],
)
def test_reported_ssim_is_that_of_every_kind_of_video(clips: Clips, tmp_path: Path, name: str, demuxer: str) -> None:
    video = clips(name)
    made, report = compress_to_ssim(video, tmp_path, target_ssim=0.96)

    size, found = only_stream(made, "video"), probe(str(video), demuxer, make_task(video, tmp_path))
    chain = filters.encode_filters(found.video_stream(), Size(size["width"], size["height"]))
    assert mean_ssim(made, video, chain) == pytest.approx(report["ssim"], abs=0.001)
    assert report["target_met"] == (report["ssim"] >= 0.96)


def test_dropped_frames_are_dropped_from_the_samples_too(clips: Clips, tmp_path: Path) -> None:
    made, report = compress_to_ssim(clips("video.mp4"), tmp_path, target_ssim=0.96, max_fps=10)

    assert len(frame_times_s(made)) == 20
    assert mean_ssim(made, clips("video.mp4"), "fps=10") == pytest.approx(report["ssim"], abs=0.001)


def test_best_crf_is_used_where_none_reaches_the_ssim(clips: Clips, tmp_path: Path) -> None:
    made, report = compress_to_ssim(clips("video.mp4"), tmp_path, codec="h265", target_ssim=0.999)

    assert (report["target_met"], report["crf"]) == (False, 1)
    assert mean_ssim(made, clips("video.mp4"), "null") == pytest.approx(report["ssim"], abs=0.001)


def test_search_ends_early_enough_to_encode_the_video(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure_slowly(*_: object, **__: object) -> float:
        time.sleep(2)
        return 0.5

    monkeypatch.setattr(quality, "measure_ssim", measure_slowly)
    task = make_task(clips("video.mp4"), tmp_path, deadline_s=6)

    (rendition,) = video_compress(task, VideoCompressParams(target_ssim=0.95, preset="ultrafast"))

    assert rendition.document is not None
    assert (rendition.document["rounds"], rendition.document["target_met"]) == (1, False)


def test_video_that_cannot_be_seeked_is_sampled_at_its_beginning(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [quality.SampleRange(0, quality.WHOLE_MAX_S)]
    unreachable = [quality.SampleRange(999, 4)] * 2
    monkeypatch.setattr(quality, "choose_samples", lambda known_s: unreachable if known_s else whole)

    _, report = compress_to_ssim(clips("video.mp4"), tmp_path, target_ssim=0.9)

    assert report["sampled_s"] == pytest.approx(2, abs=0.05)


def test_only_one_rate_control_can_be_requested() -> None:
    for other in ({"crf": 20}, {"max_bytes": 100_000}):
        with pytest.raises(InvalidRequestError, match=f"give either {next(iter(other))} or target_ssim"):
            parse_params(Operation.VIDEO_COMPRESS, {"target_ssim": 0.9, **other})
    for beyond in (0.79, 1.0):
        with pytest.raises(InvalidRequestError, match="target_ssim"):
            parse_params(Operation.VIDEO_COMPRESS, {"target_ssim": beyond})
