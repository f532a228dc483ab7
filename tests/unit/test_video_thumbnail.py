"""A single frame of video_thumbnail: time, format, size, orientation, and refused files."""

from pathlib import Path

import pytest
from PIL import Image

from darkroom.contracts.image_params import FrameFormat
from darkroom.contracts.video_params import VideoThumbnailParams
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    NoVideoStreamError,
    TooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from functions.video_thumbnail.app import video_thumbnail
from tests.support.image_checks import mean_difference, open_result
from tests.support.range_server import serve_file
from tests.support.sources import UrlSource, make_task
from tests.support.video_thumbnail import brightness, brightness_after, take_frame
from tests.support.videos import OTHER_CONTAINERS, Clips, frame_at

# Results -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv", "slides.ts"])
@pytest.mark.parametrize(
    ("at_s", "color"),
    [
        (0, "red"),
        (0.9, "red"),
        (1, "green"),
        (1.5, "green"),
        (1.99, "green"),
        (2, "blue"),
        (2.7, "blue"),
        (3, "blue"),
        (1000, "blue"),
    ],
)
def test_frame_is_the_one_on_the_screen_at_that_time(
    clips: Clips, tmp_path: Path, name: str, at_s: float, color: str
) -> None:
    image = take_frame(clips(name), tmp_path, time_s=at_s)

    assert mean_difference(image, Image.new("RGB", image.size, color)) < 4


def test_frame_is_found_where_seeking_misses_the_only_key_frame(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.video_thumbnail.frames._PREROLL_S", {})

    image = take_frame(clips("slides.ts"), tmp_path, time_s=2.7)

    assert mean_difference(image, Image.new("RGB", image.size, "blue")) < 4


@pytest.mark.parametrize("name", ["late_video.mp4", "late_video.ts"])
@pytest.mark.parametrize(("at_s", "color"), [(0, "red"), (2.4, "red"), (2.6, "green"), (4, "blue"), (1000, "blue")])
def test_times_are_those_of_a_player(clips: Clips, tmp_path: Path, name: str, at_s: float, color: str) -> None:
    image = take_frame(clips(name), tmp_path, time_s=at_s)

    assert mean_difference(image, Image.new("RGB", image.size, color)) < 4


@pytest.mark.parametrize(("at_s", "color"), [(1.05, "red"), (1.1, "blue")])
def test_frame_is_exact_where_decoding_times_differ_from_display_times(
    clips: Clips, tmp_path: Path, at_s: float, color: str
) -> None:
    image = take_frame(clips("undelayed.mp4"), tmp_path, time_s=at_s)

    assert mean_difference(image, Image.new("RGB", image.size, color)) < 4


@pytest.mark.parametrize(("percent", "color"), [(0, "red"), (50, "green"), (99, "blue"), (100, "blue")])
def test_percentage_refers_to_the_whole_duration(clips: Clips, tmp_path: Path, percent: float, color: str) -> None:
    image = take_frame(clips("slides.mp4"), tmp_path, time_percent=percent)

    assert mean_difference(image, Image.new("RGB", image.size, color)) < 4


@pytest.mark.parametrize("name", ["slow.mp4", "slow.mkv", "slow.ts"])
def test_percentage_of_a_long_video_selects_a_key_frame_and_a_time_the_exact_frame(
    clips: Clips, tmp_path: Path, name: str
) -> None:
    video = clips(name)  # the brightness grows from one key frame to the next

    assert brightness(take_frame(video, tmp_path, time_percent=51)) == pytest.approx(brightness_after(0), abs=2)
    assert brightness(take_frame(video, tmp_path, time_s=153)) == pytest.approx(brightness_after(3), abs=2)
    last = 9 if name == "slow.ts" else 0  # seeking to the very end of a transport stream finds no frame
    assert brightness(take_frame(video, tmp_path, time_percent=100)) == pytest.approx(brightness_after(last), abs=2)


@pytest.mark.parametrize(
    "name",
    [
        *OTHER_CONTAINERS,
        *("video.mp4", "portrait.mp4", "anamorphic.mp4", "interlaced.ts", "full_range.mp4", "multitrack.mkv"),
    ],
)
def test_first_key_frame_is_the_first_frame_of_every_kind_of_video(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    exact = take_frame(clips(name), tmp_path, time_s=0, format="png")
    monkeypatch.setattr("darkroom.av.keyframes.MAX_INTERVAL_S", 0.0)
    found = take_frame(clips(name), tmp_path, time_s=0, format="png")

    assert found.size == exact.size
    assert mean_difference(found, exact) < 1


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp"])
def test_frame_has_the_requested_format(clips: Clips, tmp_path: Path, fmt: FrameFormat) -> None:
    image = take_frame(clips("video.mp4"), tmp_path, time_s=1, format=fmt, width=160)

    assert image.format == fmt.upper()
    assert image.size == (160, 90)
    expected = frame_at(clips("video.mp4"), 1, folder=tmp_path).resize((160, 90), Image.Resampling.LANCZOS)
    assert mean_difference(image, expected) < 8


@pytest.mark.parametrize(
    "name",
    [
        *OTHER_CONTAINERS,
        *(
            "video.mp4",
            "moov_at_end.mp4",
            "video.3gp",
            "silent.mp4",
            "multitrack.mkv",
            "cover.mp4",
            "full_range.mp4",
            "anamorphic.mp4",
            "interlaced.ts",
        ),
    ],
)
def test_every_kind_of_video_gives_the_same_frame(clips: Clips, tmp_path: Path, name: str) -> None:
    image = take_frame(clips(name), tmp_path, time_s=1, format="png")

    assert image.size == (320, 180)
    assert mean_difference(image, frame_at(clips("video.mp4"), 1, folder=tmp_path)) < 8


def test_portrait_video_is_upright(clips: Clips, tmp_path: Path) -> None:
    image = take_frame(clips("portrait.mp4"), tmp_path, time_s=0.5, format="png")
    upright = frame_at(clips("upright.mp4"), 0.5, folder=tmp_path)

    assert image.size == (180, 320)
    assert mean_difference(image, upright) < 8
    assert mean_difference(image.rotate(180), upright) > 40, "the comparison detects an upside-down frame"


@pytest.mark.parametrize(
    ("name", "width", "size"),
    [
        ("video.mp4", 5000, (320, 180)),
        ("video.mp4", 1, (1, 1)),
        ("portrait.mp4", 90, (90, 160)),
        ("anamorphic.mp4", 160, (160, 90)),
        ("odd.mp4", None, (321, 181)),
        ("tiny.mp4", None, (2, 2)),
    ],
)
def test_width_is_as_requested_and_never_larger_than_the_video(
    clips: Clips, tmp_path: Path, name: str, width: int | None, size: tuple[int, int]
) -> None:
    assert take_frame(clips(name), tmp_path, width=width).size == size


def test_white_in_hdr_is_white_in_sdr(clips: Clips, tmp_path: Path) -> None:
    def brightest(image: Image.Image) -> int:
        return max(level for level, count in enumerate(image.convert("L").histogram()) if count)

    assert brightest(frame_at(clips("hdr.mp4"), folder=tmp_path)) < 180
    assert brightest(take_frame(clips("hdr.mp4"), tmp_path, time_s=0, format="png")) > 230


def test_only_the_needed_parts_of_a_large_file_are_read(clips: Clips, tmp_path: Path) -> None:
    video = clips("long.mp4")

    with serve_file(video) as server:
        (rendition,) = video_thumbnail(
            make_task(UrlSource(video, server.url), tmp_path), VideoThumbnailParams(time_s=25)
        )
    by_url = open_result(rendition)

    assert mean_difference(by_url, take_frame(video, tmp_path, time_s=25)) < 1
    assert server.sent_bytes < video.stat().st_size / 2


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["audio_only.mp4", "audio.m4a", "audio.mp3", "cover.mp3", "audio.opus"])
def test_file_without_video_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoVideoStreamError):
        take_frame(clips(name), tmp_path)


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "noise.mp4"])
def test_damaged_video_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptMediaError):
        take_frame(clips(name), tmp_path, time_s=1)


def test_truncated_video_yields_only_the_frames_it_has(clips: Clips, tmp_path: Path) -> None:
    cut = clips("cut_after_its_index.mp4")

    assert (
        mean_difference(take_frame(cut, tmp_path, time_s=0.1), take_frame(clips("video.mp4"), tmp_path, time_s=0.1))
        == 0
    )
    with pytest.raises(CorruptMediaError, match="cut short"):
        take_frame(cut, tmp_path, time_s=1.9)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"This is not a video.", UnsupportedMediaTypeError),
        (b"\xff\xd8\xff\xe0", WrongMediaKindError),
    ],
)
def test_file_that_is_not_a_video_is_refused(tmp_path: Path, content: bytes, error: type[DarkroomError]) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(content)

    with pytest.raises(error):
        take_frame(file, tmp_path)


def test_video_with_too_many_pixels_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooManyPixelsError):
        video_thumbnail(make_task(clips("video.mp4"), tmp_path, pixels=57_599), VideoThumbnailParams())


def test_video_that_is_too_long_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooLongError):
        video_thumbnail(make_task(clips("video.mp4"), tmp_path, duration_s=1), VideoThumbnailParams())
