"""Several frames, sprite sheets and animated previews of video_thumbnail."""

import io
from pathlib import Path

import pytest
import pyvips
from PIL import Image, ImageSequence

from darkroom.contracts.video_params import VideoThumbnailParams
from darkroom.errors import TooManyPixelsError
from darkroom.media.geometry import Size
from functions.video_thumbnail import storyboard
from functions.video_thumbnail.app import video_thumbnail
from tests.support.image_checks import mean_difference, open_result
from tests.support.sources import make_task
from tests.support.video_thumbnail import brightness, brightness_after, render, take_frame
from tests.support.videos import Clips


def test_several_frames_are_evenly_spread_and_numbered(clips: Clips, tmp_path: Path) -> None:
    renditions = render(clips("slides.mp4"), tmp_path, count=3)

    assert [rendition.file_name("a") for rendition in renditions] == ["a-1.jpg", "a-2.jpg", "a-3.jpg"]
    for rendition, color in zip(renditions, ("red", "green", "blue"), strict=True):
        assert mean_difference(open_result(rendition), Image.new("RGB", (64, 48), color)) < 4


def test_several_frames_are_taken_at_the_requested_times(clips: Clips, tmp_path: Path) -> None:
    renditions = render(clips("slides.mp4"), tmp_path, times_s=[2.5, 0, 99])

    for rendition, color in zip(renditions, ("blue", "red", "blue"), strict=True):
        assert mean_difference(open_result(rendition), Image.new("RGB", (64, 48), color)) < 4


def test_best_frame_is_not_blank(clips: Clips, tmp_path: Path) -> None:
    image = take_frame(clips("mostly_black.mp4"), tmp_path, mode="best")

    assert mean_difference(image, Image.new("RGB", image.size, "black")) > 30


def test_most_typical_frame_is_like_most_others() -> None:
    def striped(red: int) -> pyvips.Image:
        dark = pyvips.Image.black(8, 16, bands=3)
        return dark.join(dark.linear(1, [red, 90, 90]), "horizontal").cast("uchar").copy(interpretation="srgb")

    assert storyboard.find_most_typical([striped(red) for red in (250, 100, 100, 100)]) in (1, 2, 3)


def test_sprite_sheet_has_all_frames_and_cues_for_their_regions(clips: Clips, tmp_path: Path) -> None:
    sheet, cues = render(clips("slides.mp4"), tmp_path, layout="sprite", count=3, width=32)

    image = open_result(sheet)
    assert image.size == (64, 48)
    for box, color in (((0, 0, 32, 24), "red"), ((32, 0, 64, 24), "green"), ((0, 24, 32, 48), "blue")):
        assert mean_difference(image.crop(box), Image.new("RGB", (32, 24), color)) < 12
    assert (cues.file_name("a"), cues.media_type) == ("a.vtt", "text/vtt")
    assert cues.content == (
        b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nslides-video_thumbnail.jpg#xywh=0,0,32,24\n\n"
        b"00:00:01.000 --> 00:00:02.000\nslides-video_thumbnail.jpg#xywh=32,0,32,24\n\n"
        b"00:00:02.000 --> 00:00:03.000\nslides-video_thumbnail.jpg#xywh=0,24,32,24\n"
    )


def test_cues_are_correct_after_an_hour() -> None:
    assert "01:30:00.000 --> 03:00:00.000\nA%20video.jpg#xywh=160,0" in storyboard.write_cues(
        2, Size(160, 90), 10_800, "A video.jpg"
    )


@pytest.mark.parametrize("fmt", ["webp", "gif"])
def test_preview_is_animated(clips: Clips, tmp_path: Path, fmt: str) -> None:
    (made,) = render(
        clips("slides.mp4"), tmp_path, layout="preview", time_s=0, preview_s=3, preview_fps=2, format=fmt, width=32
    )

    assert isinstance(made.content, bytes)
    with Image.open(io.BytesIO(made.content)) as image:
        frames = [image.copy().convert("RGB") for image in ImageSequence.Iterator(image)]
        assert image.info["loop"] == 0
    assert frames[0].size == (made.width_px, made.height_px) == (32, 24)
    assert made.duration_s == 3
    for frame, color in ((frames[0], "red"), (frames[-1], "blue")):
        assert mean_difference(frame, Image.new("RGB", (32, 24), color)) < 12


def test_preview_beyond_the_end_is_moved_to_the_end(clips: Clips, tmp_path: Path) -> None:
    (made,) = render(clips("video.mp4"), tmp_path, layout="preview", time_percent=100, preview_s=1)

    assert made.duration_s == pytest.approx(1, abs=0.11)


def test_too_many_pixels_in_total_are_refused_before_decoding(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooManyPixelsError, match="fewer frames"):
        render(clips("tall.mp4"), tmp_path, layout="sprite", count=100, width=640)


def test_progress_of_several_frames_never_decreases(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.av.process.REPORT_PERIOD_S", 0.01)
    reported: list[float] = []
    task = make_task(clips("video.mp4"), tmp_path, progress=reported.append)

    video_thumbnail(task, VideoThumbnailParams(count=4))

    assert reported == sorted(reported)
    assert any(0.3 < fraction < 0.9 for fraction in reported)


def test_tiles_that_cover_a_long_time_are_key_frames(clips: Clips, tmp_path: Path) -> None:
    coarse, _ = render(clips("slow.mp4"), tmp_path, layout="sprite", count=10)
    fine, _ = render(clips("slow.mp4"), tmp_path, layout="sprite", count=20)

    assert brightness(open_result(coarse).crop((0, 0, 64, 48))) == pytest.approx(brightness_after(0), abs=2), "at 15 s"
    assert brightness(open_result(fine).crop((0, 0, 64, 48))) == pytest.approx(brightness_after(7), abs=2), "at 7.5 s"
