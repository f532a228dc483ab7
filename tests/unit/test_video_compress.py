"""Results of video_compress: codecs, frames, times, colors, progress, and refused files."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from darkroom.contracts.video_params import VideoCompressParams
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    NoVideoStreamError,
    ProcessingTimedOutError,
    Superseded,
    TooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from functions.video_compress.app import video_compress
from tests.support.image_checks import mean_difference
from tests.support.sources import make_task
from tests.support.video_compress import compress
from tests.support.videos import (
    OTHER_CONTAINERS,
    Clips,
    duration_s,
    first_av1_frame,
    frame_at,
    frame_times_s,
    mean_av1_ssim,
    only_stream,
    stream_kinds,
)

# Results -----------------------------------------------------------------------------------------------------------


def test_video_becomes_smaller_and_looks_the_same(clips: Clips, tmp_path: Path) -> None:
    video = clips("video.mp4")
    made = compress(video, tmp_path, crf=26, max_height=120, preset="veryfast")

    assert made.stat().st_size < video.stat().st_size / 2
    assert (only_stream(made, "video")["codec_name"], only_stream(made, "audio")["codec_name"]) == ("h264", "aac")
    assert only_stream(made, "video")["r_frame_rate"] == "25/1"
    assert duration_s(made) == pytest.approx(2.0, abs=0.04)
    assert frame_times_s(made) == frame_times_s(video)
    for at_s in (0.0, 1.0, 1.9):
        expected = frame_at(video, at_s, folder=tmp_path).resize((214, 120))
        assert mean_difference(frame_at(made, at_s, folder=tmp_path), expected) < 6


@pytest.mark.parametrize(
    ("codec", "video", "tag", "audio"),
    [
        ("h264", "h264", "avc1", "aac"),
        ("h265", "hevc", "hvc1", "aac"),
        ("av1", "av1", "av01", "aac"),
        ("vp9", "vp9", "[0][0][0][0]", "opus"),
    ],
)
def test_every_codec_is_encoded(clips: Clips, tmp_path: Path, codec: str, video: str, tag: str, audio: str) -> None:
    made = compress(clips("video.mp4"), tmp_path, codec=codec, max_height=90, audio_bitrate_kbps=48)

    assert (only_stream(made, "video")["codec_name"], only_stream(made, "video")["codec_tag_string"]) == (video, tag)
    assert only_stream(made, "audio")["codec_name"] == audio
    frame = first_av1_frame(made, folder=tmp_path) if codec == "av1" else frame_at(made, folder=tmp_path)
    assert mean_difference(frame, frame_at(clips("video.mp4"), folder=tmp_path).resize((160, 90))) < 10


def test_av1_is_decodable_at_its_best_quality_and_fastest_preset(clips: Clips, tmp_path: Path) -> None:
    video = clips("video.mp4")

    made = compress(video, tmp_path, codec="av1", crf=1, preset="ultrafast")

    assert mean_av1_ssim(made, video, "null", folder=tmp_path) > 0.98


@pytest.mark.parametrize(
    "name",
    [
        *OTHER_CONTAINERS,
        *(
            "moov_at_end.mp4",
            "video.3gp",
            "multitrack.mkv",
            "cover.mp4",
            "full_range.mp4",
            "anamorphic.mp4",
            "interlaced.ts",
            "late_audio.mp4",
        ),
    ],
)
def test_every_kind_of_video_gives_the_same_result(clips: Clips, tmp_path: Path, name: str) -> None:
    made = compress(clips(name), tmp_path)
    video = only_stream(made, "video")

    assert (video["width"], video["height"]) == (320, 180)
    assert video.get("color_range", "tv") == "tv"
    assert ("audio" in stream_kinds(made)) == ("audio" in stream_kinds(clips(name)))
    assert not {"subtitle", "attachment"} & set(stream_kinds(made))
    assert float(video["duration"]) == pytest.approx(2.0, abs=0.1)
    assert mean_difference(frame_at(made, 1, folder=tmp_path), frame_at(clips("video.mp4"), 1, folder=tmp_path)) < 10


def test_portrait_video_is_upright(clips: Clips, tmp_path: Path) -> None:
    made = compress(clips("portrait.mp4"), tmp_path, max_height=160)
    upright = frame_at(clips("upright.mp4"), 0.5, folder=tmp_path).resize((90, 160))

    assert mean_difference(frame_at(made, 0.5, folder=tmp_path), upright) < 8


@pytest.mark.parametrize("name", ["odd.mp4", "tiny.mp4"])
def test_odd_and_tiny_videos_get_even_sizes(clips: Clips, tmp_path: Path, name: str) -> None:
    video = only_stream(compress(clips(name), tmp_path), "video")

    assert (video["width"] % 2, video["height"] % 2) == (0, 0)


def test_interlaced_video_without_a_flag_is_deinterlaced(clips: Clips, tmp_path: Path) -> None:
    video = clips("camcorder.avi")

    made = compress(video, tmp_path)

    assert combing(frame_at(made, 0.2, folder=tmp_path)) < combing(frame_at(video, 0.2, folder=tmp_path)) / 4


def combing(image: Image.Image) -> float:
    """Mean difference between neighboring lines, from 0 to 255."""
    gray = image.convert("L")
    return mean_difference(gray, ImageChops.offset(gray, 0, 1))


def test_every_frame_keeps_its_time_at_a_variable_frame_rate(clips: Clips, tmp_path: Path) -> None:
    made, source = compress(clips("variable.mp4"), tmp_path), clips("variable.mp4")
    source_start_s, start_s = frame_times_s(source)[0], frame_times_s(made)[0]
    expected = [at_s - source_start_s for at_s in frame_times_s(source)]

    assert [at_s - start_s for at_s in frame_times_s(made)] == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("name", ["unlabeled.mp4", "screen.mov"])
def test_colors_are_kept_where_the_file_does_not_state_them(clips: Clips, tmp_path: Path, name: str) -> None:
    made = compress(clips(name), tmp_path, max_height=360)

    assert only_stream(made, "video")["color_space"] == "bt709"
    assert frame_at(made, folder=tmp_path).getpixel((100, 100)) == pytest.approx((200, 60, 30), abs=4)


@pytest.mark.parametrize(("name", "plays_s"), [("excerpt.mp4", 1.8), ("long_last_frame.mp4", 4.96)])
def test_video_with_gaps_before_its_last_frames_is_complete(
    clips: Clips, tmp_path: Path, name: str, plays_s: float
) -> None:
    task, params = make_task(clips(name), tmp_path), VideoCompressParams(preset="medium")

    (made,) = video_compress(task, params)

    assert isinstance(made.content, Path)
    assert made.duration_s == pytest.approx(plays_s, abs=0.08)
    expected = [at_s for at_s in frame_times_s(clips(name)) if at_s >= 0]
    assert frame_times_s(made.content) == pytest.approx(expected, abs=0.002)


def test_hdr_video_becomes_sdr(clips: Clips, tmp_path: Path) -> None:
    video = only_stream(compress(clips("hdr.mp4"), tmp_path), "video")

    assert {video[f"color_{part}"] for part in ("space", "transfer", "primaries")} == {"bt709"}


def test_frames_are_dropped_above_the_requested_frame_rate(clips: Clips, tmp_path: Path) -> None:
    def count_frames(name: str, max_fps: int) -> int:
        return len(frame_times_s(compress(clips(name), tmp_path, max_fps=max_fps)))

    assert count_frames("video.mp4", 10) == 20
    assert count_frames("video.mp4", 60) == len(frame_times_s(clips("video.mp4")))
    assert count_frames("variable.mp4", 15) <= 61


# Progress and cancellation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", [{}, {"target_ssim": 0.97}, {"target_ssim": 0.97, "codec": "av1"}])
def test_progress_grows_to_the_end(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goal: dict[str, Any]
) -> None:
    monkeypatch.setattr("darkroom.av.process.REPORT_PERIOD_S", 0.02)
    reported: list[float] = []
    task = make_task(clips("video.mp4"), tmp_path, progress=reported.append)

    video_compress(task, VideoCompressParams(preset="slower" if not goal else "faster", **goal))

    assert reported == sorted(reported)
    assert reported[0] < 0.01
    assert any(0.1 < fraction < 0.9 for fraction in reported)
    assert reported[-1] <= 1.0


@pytest.mark.parametrize("goal", [{"crf": 0}, {"target_ssim": 0.99}])
def test_canceled_job_and_job_past_its_deadline_end_early(clips: Clips, tmp_path: Path, goal: dict[str, Any]) -> None:
    def cancel(_fraction: float) -> None:
        raise Superseded("The job was canceled.")

    slow = VideoCompressParams(preset="slower", **goal)
    with pytest.raises(Superseded):
        video_compress(make_task(clips("long.mp4"), tmp_path, progress=cancel), slow)
    with pytest.raises(ProcessingTimedOutError):
        video_compress(make_task(clips("long.mp4"), tmp_path, deadline_s=0.5), slow)


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["audio_only.mp4", "audio.mp3", "cover.mp3"])
def test_file_without_video_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoVideoStreamError):
        compress(clips(name), tmp_path)


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "cut_after_its_index.mp4", "cut.mkv", "noise.mp4"])
def test_damaged_video_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptMediaError):
        compress(clips(name), tmp_path)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"This is not a video.", UnsupportedMediaTypeError),
        (b"GIF89a", WrongMediaKindError),
    ],
)
def test_file_that_is_not_a_video_is_refused(tmp_path: Path, content: bytes, error: type[DarkroomError]) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(content)

    with pytest.raises(error):
        compress(file, tmp_path)


def test_video_beyond_the_limits_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooManyPixelsError):
        video_compress(make_task(clips("video.mp4"), tmp_path, pixels=57_599), VideoCompressParams())
    with pytest.raises(TooLongError):
        video_compress(make_task(clips("video.mp4"), tmp_path, duration_s=1.9), VideoCompressParams())
