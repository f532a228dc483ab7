import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import pyvips
from PIL import Image, ImageSequence, ImageStat

from darkroom.av import filters
from darkroom.av.probe import Stream
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
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition
from functions.video_thumbnail import storyboard
from functions.video_thumbnail.app import decoding, seeks, time_of, video_thumbnail, writing
from tests.films import frame
from tests.image_checks import mean_difference, open_result
from tests.ranges import served
from tests.sources import LocalSource, make_task

Clips = Callable[[str], Path]


def taken(film: Path, folder: Path, **params: object) -> Image.Image:
    """The picture that is taken from a film."""
    (rendition,) = video_thumbnail(make_task(film, folder), VideoThumbnailParams.model_validate(params))
    return open_result(rendition)


def a_film(**values: object) -> Stream:
    settings: dict[str, object] = {
        **dict.fromkeys(("codec", "profile", "bit_rate_bps", "duration_s", "start_s", "language")),
        **dict.fromkeys(("default", "forced", "attached_picture"), False),
        "index": 0,
        "kind": "video",
        "tags": {},
        "color_space": "bt709",
        "interlaced": False,
    }
    return Stream(**{**settings, **values})  # type: ignore[arg-type]


# What FFmpeg is asked for ------------------------------------------------------------------------------------------


def test_reading_begins_at_the_key_frame_before_the_moment_and_ends_with_it(tmp_path: Path) -> None:
    assert decoding(2.5, exact=True) == ["-threads", "1", "-noaccurate_seek", "-ss", "2.500"]
    choosing = filters.still(a_film(index=3), Size(640, 360), at_s=0.0)
    assert writing(a_film(index=3), choosing, tmp_path / "a.rgb") == [
        *("-map", "0:3", "-vf"),
        "tpad=stop=-1:stop_mode=clone,fps=1000:start_time=0.000:round=up,"
        "scale=640:360:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24",
        *("-frames:v", "1", "-f", "rawvideo", f"file:{tmp_path / 'a.rgb'}"),
    ]


def test_nothing_is_sought_at_the_beginning() -> None:
    assert decoding(0.0, exact=True) == ["-threads", "1"]


def test_pictures_that_no_other_needs_are_left_out_when_no_exact_time_was_asked() -> None:
    assert decoding(0.0, exact=False) == ["-threads", "1", "-skip_frame", "noref"]


def test_hdr_and_interlaced_films_and_hd_colours_are_cared_for() -> None:
    assert "out_transfer=bt709" in filters.still(a_film(color_transfer="smpte2084"), Size(2, 2), at_s=0)
    assert filters.still(a_film(interlaced=True), Size(2, 2), at_s=0).startswith("bwdif=")
    assert filters.still(a_film(interlaced=None), Size(2, 2), at_s=0).startswith("bwdif=")
    assert "in_color_matrix=bt709" in filters.still(a_film(color_space=None, coded_width_px=1280), Size(2, 2), at_s=0)
    assert "matrix" not in filters.still(a_film(color_space=None, coded_width_px=640), Size(2, 2), at_s=0)


@pytest.mark.parametrize(
    ("params", "duration_s", "at_s"),
    [
        (VideoThumbnailParams(), 20.0, 2.0),
        (VideoThumbnailParams(time_percent=50), 20.0, 10.0),
        (VideoThumbnailParams(time_percent=100), 20.0, 20.0),
        (VideoThumbnailParams(time_percent=0), 20.0, 0.0),
        (VideoThumbnailParams(time_s=3.5), 20.0, 3.5),
        (VideoThumbnailParams(time_s=99), 20.0, 20.0),
        (VideoThumbnailParams(time_s=99), None, 99.0),
        (VideoThumbnailParams(time_percent=50), None, 0.0),
    ],
)
def test_the_moment_lies_within_the_film(params: VideoThumbnailParams, duration_s: float | None, at_s: float) -> None:
    assert time_of(params, duration_s) == at_s


def test_reading_falls_back_to_the_beginning() -> None:
    assert list(seeks(7.0, 5.0)) == [2.0, 0.0]
    assert list(seeks(3.0, 5.0)) == [0.0]


# Several frames ----------------------------------------------------------------------------------------------------


def rendered(film: Path, folder: Path, **params: object) -> list[Rendition]:
    return video_thumbnail(make_task(film, folder), VideoThumbnailParams.model_validate(params))


def test_several_frames_are_taken_evenly_and_numbered(clips: Clips, tmp_path: Path) -> None:
    found = rendered(clips("slides.mp4"), tmp_path, count=3)

    assert [rendition.file_name("a") for rendition in found] == ["a-1.jpg", "a-2.jpg", "a-3.jpg"]
    for rendition, colour in zip(found, ("red", "green", "blue"), strict=True):
        assert mean_difference(open_result(rendition), Image.new("RGB", (64, 48), colour)) < 4


def test_several_frames_are_taken_at_the_times_asked_for(clips: Clips, tmp_path: Path) -> None:
    found = rendered(clips("slides.mp4"), tmp_path, times_s=[2.5, 0, 99])

    for rendition, colour in zip(found, ("blue", "red", "blue"), strict=True):
        assert mean_difference(open_result(rendition), Image.new("RGB", (64, 48), colour)) < 4


def test_the_best_frame_is_no_blank_one(clips: Clips, tmp_path: Path) -> None:
    image = taken(clips("mostly_black.mp4"), tmp_path, mode="best")

    assert mean_difference(image, Image.new("RGB", image.size, "black")) > 30


def test_the_most_typical_frame_is_the_one_that_most_are_like() -> None:
    def striped(red: int) -> pyvips.Image:
        dark = pyvips.Image.black(8, 16, bands=3)
        return dark.join(dark.linear(1, [red, 90, 90]), "horizontal").cast("uchar").copy(interpretation="srgb")

    assert storyboard.most_typical([striped(red) for red in (250, 100, 100, 100)]) in (1, 2, 3)


def test_a_sprite_sheet_shows_all_frames_and_says_where_each_one_is(clips: Clips, tmp_path: Path) -> None:
    sheet, cues = rendered(clips("slides.mp4"), tmp_path, layout="sprite", count=3, width=32)

    image = open_result(sheet)
    assert image.size == (64, 48)
    for box, colour in (((0, 0, 32, 24), "red"), ((32, 0, 64, 24), "green"), ((0, 24, 32, 48), "blue")):
        assert mean_difference(image.crop(box), Image.new("RGB", (32, 24), colour)) < 12
    assert (cues.file_name("a"), cues.media_type) == ("a.vtt", "text/vtt")
    assert cues.content == (
        b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nslides-video_thumbnail.jpg#xywh=0,0,32,24\n\n"
        b"00:00:01.000 --> 00:00:02.000\nslides-video_thumbnail.jpg#xywh=32,0,32,24\n\n"
        b"00:00:02.000 --> 00:00:03.000\nslides-video_thumbnail.jpg#xywh=0,24,32,24\n"
    )


def test_cues_go_on_after_an_hour() -> None:
    assert "01:30:00.000 --> 03:00:00.000\nA%20film.jpg#xywh=160,0" in storyboard.cues(
        2, Size(160, 90), 10_800, "A film.jpg"
    )


@pytest.mark.parametrize("fmt", ["webp", "gif"])
def test_a_preview_moves(clips: Clips, tmp_path: Path, fmt: str) -> None:
    (made,) = rendered(
        clips("slides.mp4"), tmp_path, layout="preview", time_s=0, preview_s=3, preview_fps=2, format=fmt, width=32
    )

    assert isinstance(made.content, bytes)
    with Image.open(io.BytesIO(made.content)) as image:
        seen = [image.copy().convert("RGB") for image in ImageSequence.Iterator(image)]
        assert image.info["loop"] == 0
    assert seen[0].size == (made.width_px, made.height_px) == (32, 24)
    assert made.duration_s == 3
    for shown, colour in ((seen[0], "red"), (seen[-1], "blue")):
        assert mean_difference(shown, Image.new("RGB", (32, 24), colour)) < 12


def test_a_preview_that_would_begin_behind_the_end_is_the_end(clips: Clips, tmp_path: Path) -> None:
    (made,) = rendered(clips("film.mp4"), tmp_path, layout="preview", time_percent=100, preview_s=1)

    assert made.duration_s == pytest.approx(1, abs=0.11)


def test_more_pixels_than_can_be_held_are_refused_beforehand(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooManyPixelsError, match="fewer frames"):
        rendered(clips("tall.mp4"), tmp_path, layout="sprite", count=100, width=640)


def test_progress_of_several_frames_only_grows(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.av.ffmpeg.REPORT_PERIOD_S", 0.01)
    seen: list[float] = []
    task = make_task(clips("film.mp4"), tmp_path, progress=seen.append)

    video_thumbnail(task, VideoThumbnailParams(count=4))

    assert seen == sorted(seen)
    assert any(0.3 < fraction < 0.9 for fraction in seen)


# What comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv", "slides.ts"])
@pytest.mark.parametrize(
    ("at_s", "colour"),
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
def test_the_picture_is_the_one_on_the_screen_at_that_time(
    clips: Clips, tmp_path: Path, name: str, at_s: float, colour: str
) -> None:
    image = taken(clips(name), tmp_path, time_s=at_s)

    assert mean_difference(image, Image.new("RGB", image.size, colour)) < 4


def test_a_picture_is_found_where_seeking_leads_behind_the_only_key_frame(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.video_thumbnail.app._RUN_UP_S", {})

    image = taken(clips("slides.ts"), tmp_path, time_s=2.7)

    assert mean_difference(image, Image.new("RGB", image.size, "blue")) < 4


@pytest.mark.parametrize("name", ["late_film.mp4", "late_film.ts"])
@pytest.mark.parametrize(("at_s", "colour"), [(0, "red"), (2.4, "red"), (2.6, "green"), (4, "blue"), (1000, "blue")])
def test_times_count_from_where_a_player_begins(
    clips: Clips, tmp_path: Path, name: str, at_s: float, colour: str
) -> None:
    image = taken(clips(name), tmp_path, time_s=at_s)

    assert mean_difference(image, Image.new("RGB", image.size, colour)) < 4


@pytest.mark.parametrize(("at_s", "colour"), [(1.05, "red"), (1.1, "blue")])
def test_a_picture_is_exact_where_decoding_is_ahead(clips: Clips, tmp_path: Path, at_s: float, colour: str) -> None:
    image = taken(clips("undelayed.mp4"), tmp_path, time_s=at_s)

    assert mean_difference(image, Image.new("RGB", image.size, colour)) < 4


@pytest.mark.parametrize(("percent", "colour"), [(0, "red"), (50, "green"), (99, "blue"), (100, "blue")])
def test_a_percentage_counts_from_the_beginning_to_the_end(
    clips: Clips, tmp_path: Path, percent: float, colour: str
) -> None:
    image = taken(clips("slides.mp4"), tmp_path, time_percent=percent)

    assert mean_difference(image, Image.new("RGB", image.size, colour)) < 4


def brightness(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("L")).mean[0]


@pytest.mark.parametrize("name", ["slow.mp4", "slow.mkv", "slow.ts"])
def test_of_a_long_film_a_percentage_takes_the_key_frame_and_a_time_the_picture(
    clips: Clips, tmp_path: Path, name: str
) -> None:
    film = clips(name)  # each picture is brighter than the one before, from key frame to key frame

    assert brightness(taken(film, tmp_path, time_percent=51)) == pytest.approx(brightness_at(0), abs=2)
    assert brightness(taken(film, tmp_path, time_s=153)) == pytest.approx(brightness_at(3), abs=2)
    last = 9 if name == "slow.ts" else 0  # nothing is found by seeking to the very end of a transport stream
    assert brightness(taken(film, tmp_path, time_percent=100)) == pytest.approx(brightness_at(last), abs=2)


@pytest.mark.parametrize(
    "name",
    [
        *("film.mp4", "film.mov", "film.mkv", "film.webm", "film.avi", "film.ts", "film.m2ts", "film.mpg", "film.flv"),
        *("film.wmv", "portrait.mp4", "anamorphic.mp4", "interlaced.ts", "full_range.mp4", "rich.mkv"),
    ],
)
def test_the_first_key_frame_is_the_first_picture_of_every_kind_of_film(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    exact = taken(clips(name), tmp_path, time_s=0, format="png")
    monkeypatch.setattr("darkroom.av.keyframes.LONGEST_S", 0.0)
    found = taken(clips(name), tmp_path, time_s=0, format="png")

    assert found.size == exact.size
    assert mean_difference(found, exact) < 1


def brightness_at(pictures: int) -> float:
    """Of the picture so many behind a key frame, from 0 to 255."""
    return (40 + 16 * pictures - 16) * 255 / 219


def test_tiles_that_stand_for_a_long_time_are_key_frames(clips: Clips, tmp_path: Path) -> None:
    coarse, _ = rendered(clips("slow.mp4"), tmp_path, layout="sprite", count=10)
    fine, _ = rendered(clips("slow.mp4"), tmp_path, layout="sprite", count=20)

    assert brightness(open_result(coarse).crop((0, 0, 64, 48))) == pytest.approx(brightness_at(0), abs=2), "at 15 s"
    assert brightness(open_result(fine).crop((0, 0, 64, 48))) == pytest.approx(brightness_at(7), abs=2), "at 7.5 s"


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp"])
def test_the_picture_comes_in_the_format_asked_for(clips: Clips, tmp_path: Path, fmt: FrameFormat) -> None:
    image = taken(clips("film.mp4"), tmp_path, time_s=1, format=fmt, width=160)

    assert image.format == fmt.upper()
    assert image.size == (160, 90)
    wanted = frame(clips("film.mp4"), 1, folder=tmp_path).resize((160, 90), Image.Resampling.LANCZOS)
    assert mean_difference(image, wanted) < 8


@pytest.mark.parametrize(
    "name",
    [
        *("film.mp4", "moov_at_end.mp4", "film.mov", "film.mkv", "film.webm", "film.avi", "film.ts", "film.m2ts"),
        *("film.mpg", "film.flv", "film.wmv", "film.3gp", "silent.mp4", "rich.mkv", "cover.mp4", "full_range.mp4"),
        *("anamorphic.mp4", "interlaced.ts"),
    ],
)
def test_every_kind_of_film_gives_the_same_picture(clips: Clips, tmp_path: Path, name: str) -> None:
    image = taken(clips(name), tmp_path, time_s=1, format="png")

    assert image.size == (320, 180)
    assert mean_difference(image, frame(clips("film.mp4"), 1, folder=tmp_path)) < 8


def test_a_film_shot_upright_stands_upright(clips: Clips, tmp_path: Path) -> None:
    image = taken(clips("portrait.mp4"), tmp_path, time_s=0.5, format="png")
    upright = frame(clips("upright.mp4"), 0.5, folder=tmp_path)

    assert image.size == (180, 320)
    assert mean_difference(image, upright) < 8
    assert mean_difference(image.rotate(180), upright) > 40, "upside down would be seen"


@pytest.mark.parametrize(
    ("name", "width", "size"),
    [
        ("film.mp4", 5000, (320, 180)),
        ("film.mp4", 1, (1, 1)),
        ("portrait.mp4", 90, (90, 160)),
        ("anamorphic.mp4", 160, (160, 90)),
        ("odd.mp4", None, (321, 181)),
        ("tiny.mp4", None, (2, 2)),
    ],
)
def test_the_width_is_as_asked_and_never_more_than_the_film_has(
    clips: Clips, tmp_path: Path, name: str, width: int | None, size: tuple[int, int]
) -> None:
    assert taken(clips(name), tmp_path, width=width).size == size


def test_white_is_white_again_when_an_hdr_film_is_shown_on_an_ordinary_screen(clips: Clips, tmp_path: Path) -> None:
    def brightest(image: Image.Image) -> int:
        return max(level for level, count in enumerate(image.convert("L").histogram()) if count)

    assert brightest(frame(clips("hdr.mp4"), folder=tmp_path)) < 180
    assert brightest(taken(clips("hdr.mp4"), tmp_path, time_s=0, format="png")) > 230


def test_only_the_needed_part_of_a_large_film_is_read(clips: Clips, tmp_path: Path) -> None:
    film = clips("long.mp4")

    class Linked(LocalSource):
        def ffmpeg_input(self) -> str:
            return server.url

        def download(self) -> Path:
            raise AssertionError("the whole film was fetched")

    with served(film) as server:
        (rendition,) = video_thumbnail(make_task(Linked(film), tmp_path), VideoThumbnailParams(time_s=25))
    by_link = open_result(rendition)

    assert mean_difference(by_link, taken(film, tmp_path, time_s=25)) < 1
    assert server.sent_bytes < film.stat().st_size / 2


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sound_only.mp4", "sound.m4a", "sound.mp3", "cover.mp3", "sound.opus"])
def test_a_file_without_a_film_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoVideoStreamError):
        taken(clips(name), tmp_path)


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "noise.mp4"])
def test_a_damaged_film_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptMediaError):
        taken(clips(name), tmp_path, time_s=1)


def test_a_film_that_is_cut_short_shows_what_is_there_and_no_more(clips: Clips, tmp_path: Path) -> None:
    cut = clips("cut_behind_its_index.mp4")

    assert mean_difference(taken(cut, tmp_path, time_s=0.1), taken(clips("film.mp4"), tmp_path, time_s=0.1)) == 0
    with pytest.raises(CorruptMediaError, match="cut short"):
        taken(cut, tmp_path, time_s=1.9)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"No film, whatever its name says.", UnsupportedMediaTypeError),
        (b"\xff\xd8\xff\xe0", WrongMediaKindError),
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, content: bytes, error: type[DarkroomError]) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(content)

    with pytest.raises(error):
        taken(file, tmp_path)


def test_a_film_that_is_too_large_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooManyPixelsError):
        video_thumbnail(make_task(clips("film.mp4"), tmp_path, pixels=57_599), VideoThumbnailParams())


def test_a_film_that_is_too_long_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooLongError):
        video_thumbnail(make_task(clips("film.mp4"), tmp_path, duration_s=1), VideoThumbnailParams())


def test_pixels_hardly_off_square_count_as_square() -> None:
    from darkroom.av.probe import displayed

    assert displayed(1920, 1080, Fraction(405, 404), 0) == (1920, 1080)
    assert displayed(720, 576, Fraction(64, 45), 0) == (1024, 576)
    assert displayed(720, 576, Fraction(64, 45), 90) == (576, 1024)
    assert displayed(9, 9, Fraction(1, 1000), 0) == (1, 9)
