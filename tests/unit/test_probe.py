import json
from typing import Any

import pytest

from darkroom.av.probe import Probe, check_duration, check_pixels, check_whole, parse
from darkroom.errors import CorruptMediaError, TooLongError, TooManyPixelsError
from darkroom.media.task import Limits

LIMITS = Limits(pixels=1_000_000, duration_s=100)
FILM = {"codec_type": "video", "width": 1280, "height": 720, "avg_frame_rate": "25/1", "r_frame_rate": "25/1"}
SOUND = {"codec_type": "audio", "channels": 2}


def probe_of(*streams: dict[str, Any], **container: Any) -> Probe:
    """What ffprobe would say of a file with these streams."""
    numbered = [{"index": index, **stream} for index, stream in enumerate(streams)]
    return parse(json.dumps({"format": container, "streams": numbered}).encode())


def test_the_default_film_and_sound_are_taken() -> None:
    default = {"disposition": {"default": 1}}
    found = probe_of(FILM, SOUND | {"channels": 6}, {**FILM, **default, "width": 2, "height": 2}, {**SOUND, **default})

    assert (found.video().index, found.audio().index) == (2, 3)


def test_a_sound_that_is_only_announced_is_not_taken() -> None:
    announced = {"codec_type": "audio", "codec_name": "aac", "sample_rate": "0", "channels": 0}

    assert probe_of(FILM, announced, SOUND | {"channels": 1}).audio().index == 2
    assert probe_of(FILM, announced).sound() is None


def test_without_a_default_the_largest_is_taken() -> None:
    found = probe_of({**FILM, "width": 2}, FILM, FILM, SOUND, SOUND | {"channels": 6}, SOUND)

    assert (found.video().index, found.audio().index) == (1, 4)


@pytest.mark.parametrize(
    ("base", "average", "rate", "variable"),
    [
        ("25/1", "25/1", 25.0, False),
        ("30000/1001", "30000/1001", 29.97, False),
        ("30/1", "2997/100", 29.97, False),
        ("90000/1", "450000/15041", 29.918, True),
        ("60/1", "29/1", 29.0, True),
        ("25/1", "600/1", 25.0, True),
        ("25/1", "0/0", 25.0, False),
        ("0/0", "0/0", None, False),
    ],
)
def test_the_frame_rate_is_the_average_one(base: str, average: str, rate: float | None, variable: bool) -> None:
    film = probe_of({**FILM, "r_frame_rate": base, "avg_frame_rate": average}).video()

    assert (film.frame_rate, film.variable_frame_rate) == (rate, variable)


@pytest.mark.parametrize(
    ("turn", "degrees"), [(-90, 90), (90, 270), (180, 180), (-180, 180), (0, 0), (-89.6, 90), (-270, 270), (360, 0)]
)
def test_the_rotation_is_told_clockwise(turn: float, degrees: int) -> None:
    film = probe_of({**FILM, "side_data_list": [{"side_data_type": "x"}, {"rotation": turn}]}).video()

    assert film.rotation_degrees == degrees
    assert film.width_px == (720 if degrees in (90, 270) else 1280)


@pytest.mark.parametrize(
    ("pixel_format", "stated", "depth"),
    [
        ("yuv420p", None, 8),
        ("yuv420p10le", None, 10),
        ("yuv422p12be", "12", 12),
        ("p010le", None, 10),
        ("gray16le", "16", 16),
        (None, None, None),
    ],
)
def test_the_bit_depth_is_told(pixel_format: str | None, stated: str | None, depth: int | None) -> None:
    assert probe_of({**FILM, "pix_fmt": pixel_format, "bits_per_raw_sample": stated}).video().bit_depth == depth


def test_matroskas_own_durations_are_read_from_where_the_stream_begins() -> None:
    found = probe_of({**FILM, "start_time": "0.5", "tags": {"DURATION": "01:00:05.500000000"}}, duration="3605.5")

    assert found.video().duration_s == 3605.0
    assert found.duration_s == 3605.5


def test_nonsense_numbers_are_no_numbers() -> None:
    found = probe_of(
        {**FILM, "duration": "N/A", "bit_rate": "-1", "sample_aspect_ratio": "0:1", "avg_frame_rate": "1/0"},
        duration="inf",
        bit_rate="much",
    )
    film = found.video()

    assert (found.duration_s, found.bit_rate_bps, film.duration_s, film.bit_rate_bps) == (None, None, None, None)
    assert (float(film.pixel_aspect), film.frame_rate) == (1.0, 25.0)


def test_what_a_file_can_make_us_keep_is_bounded() -> None:
    tags = {f"tag{number}": "x" * 5000 for number in range(500)}
    found = parse(json.dumps({"format": {"tags": tags}, "chapters": [{"tags": {"title": "x"}}] * 5000}).encode())

    assert len(found.chapters) == 500
    assert len(found.tags) == 100
    assert max(map(len, found.tags.values())) == 1000


def test_limits_are_checked_as_coded_and_as_shown() -> None:
    assert check_pixels(probe_of(FILM).video(), LIMITS) == (1280, 720)
    for size in ({"width": 1400}, {"sample_aspect_ratio": "2:1"}):
        with pytest.raises(TooManyPixelsError):
            check_pixels(probe_of({**FILM, **size}).video(), LIMITS)
    with pytest.raises(CorruptMediaError, match="no size"):
        check_pixels(probe_of({**FILM, "width": 0}).video(), LIMITS)


def test_a_recording_that_is_too_long_is_refused_in_words() -> None:
    check_duration(probe_of(FILM, duration="100"), LIMITS)
    check_duration(probe_of(FILM), LIMITS)
    with pytest.raises(TooLongError, match="101 seconds"):
        check_duration(probe_of(FILM, duration="101"), LIMITS)


@pytest.mark.parametrize(
    ("stated", "container", "made_s", "demuxer", "whole"),
    [
        ("10", "10", 10.0, "mov", True),
        ("10", "10", 9.96, "mov", True),
        ("10", "10", 9.95, "mov", False),
        ("1000", "1000", 999.96, "mov", True),
        ("1000", "1000", 999.95, "mov", False),
        ("10", "10", 12.0, "mov", True),
        ("10", "10", None, "mov", False),
        (None, "10", 1.0, "matroska", True),
        (None, None, 1.0, "matroska", True),
        ("10", "10", 5.0, "mpegts", True),
        ("10", "10", 5.0, "mp3", True),
    ],
)
def test_a_film_that_lacks_more_than_a_picture_does_not_pass(
    stated: str | None, container: str | None, made_s: float | None, demuxer: str, whole: bool
) -> None:
    source = probe_of({**FILM, "duration": stated}, duration=container)

    if whole:
        check_whole(source.video(), made_s, demuxer=demuxer)
    else:
        with pytest.raises(CorruptMediaError, match="cut short"):
            check_whole(source.video(), made_s, demuxer=demuxer)


def test_a_film_of_which_pictures_are_left_out_lacks_at_most_one_of_those_that_stay() -> None:
    source = probe_of({**FILM, "duration": "10"})

    check_whole(source.video(), 9.8, demuxer="mov", frame_rate=5)
    with pytest.raises(CorruptMediaError):
        check_whole(source.video(), 9.79, demuxer="mov", frame_rate=5)
    with pytest.raises(CorruptMediaError):
        check_whole(source.video(), 9.9, demuxer="mov", frame_rate=60)


@pytest.mark.parametrize(("stated", "made_s"), [("10", 9.7), ("1000", 989.0)])
def test_a_sound_of_which_a_notable_part_is_missing_does_not_pass(stated: str, made_s: float) -> None:
    source = probe_of({**SOUND, "duration": stated})

    check_whole(source.audio(), made_s + 0.06 * float(stated) / 10, demuxer="mov")
    with pytest.raises(CorruptMediaError):
        check_whole(source.audio(), made_s, demuxer="mov")
