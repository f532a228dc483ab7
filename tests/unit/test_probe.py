"""What a probe reads from ffprobe's JSON, and its limits."""

from fractions import Fraction

import pytest

from darkroom.av.probe import check_duration, check_frame_size, display_size
from darkroom.errors import CorruptMediaError, NoAudioStreamError, TooLongError, TooManyPixelsError
from darkroom.media.task import Limits
from tests.support.probes import AUDIO, VIDEO, parse_document, probe_of

LIMITS = Limits(pixels=1_000_000, duration_s=100)


def test_default_streams_are_chosen() -> None:
    default = {"disposition": {"default": 1}}
    found = probe_of(
        VIDEO, AUDIO | {"channels": 6}, {**VIDEO, **default, "width": 2, "height": 2}, {**AUDIO, **default}
    )

    assert (found.video_stream().index, found.audio_stream().index) == (2, 3)


def test_declared_audio_stream_without_content_is_ignored() -> None:
    announced = {"codec_type": "audio", "codec_name": "aac", "sample_rate": "0", "channels": 0}

    assert probe_of(VIDEO, announced, AUDIO | {"channels": 1}).audio_stream().index == 2
    assert probe_of(VIDEO, announced).default_audio_stream() is None


def test_largest_stream_is_chosen_without_a_default() -> None:
    found = probe_of({**VIDEO, "width": 2}, VIDEO, VIDEO, AUDIO, AUDIO | {"channels": 6}, AUDIO)

    assert (found.video_stream().index, found.audio_stream().index) == (1, 4)


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
def test_frame_rate_is_the_average_rate(base: str, average: str, rate: float | None, variable: bool) -> None:
    video = probe_of({**VIDEO, "r_frame_rate": base, "avg_frame_rate": average}).video_stream()

    assert (video.frame_rate, video.variable_frame_rate) == (rate, variable)


@pytest.mark.parametrize(
    ("rotation", "degrees"), [(-90, 90), (90, 270), (180, 180), (-180, 180), (0, 0), (-89.6, 90), (-270, 270), (360, 0)]
)
def test_rotation_is_clockwise(rotation: float, degrees: int) -> None:
    video = probe_of({**VIDEO, "side_data_list": [{"side_data_type": "x"}, {"rotation": rotation}]}).video_stream()

    assert video.rotation_degrees == degrees
    assert video.width_px == (720 if degrees in (90, 270) else 1280)


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
def test_bit_depth_comes_from_the_stream_or_its_pixel_format(
    pixel_format: str | None, stated: str | None, depth: int | None
) -> None:
    assert probe_of({**VIDEO, "pix_fmt": pixel_format, "bits_per_raw_sample": stated}).video_stream().bit_depth == depth


def test_matroska_duration_tag_counts_from_the_start_of_the_stream() -> None:
    found = probe_of({**VIDEO, "start_time": "0.5", "tags": {"DURATION": "01:00:05.500000000"}}, duration="3605.5")

    assert found.video_stream().duration_s == 3605.0
    assert found.duration_s == 3605.5


def test_invalid_numbers_are_unknown() -> None:
    found = probe_of(
        {**VIDEO, "duration": "N/A", "bit_rate": "-1", "sample_aspect_ratio": "0:1", "avg_frame_rate": "1/0"},
        duration="inf",
        bit_rate="much",
    )
    video = found.video_stream()

    assert (found.duration_s, found.bit_rate_bps, video.duration_s, video.bit_rate_bps) == (None, None, None, None)
    assert (float(video.pixel_aspect), video.frame_rate) == (1.0, 25.0)


def test_tags_and_chapters_are_bounded() -> None:
    tags = {f"tag{number}": "x" * 5000 for number in range(500)}
    found = parse_document({"format": {"tags": tags}, "chapters": [{"tags": {"title": "x"}}] * 5000})

    assert len(found.chapters) == 500
    assert len(found.tags) == 100
    assert max(map(len, found.tags.values())) == 1000


def test_pixel_limit_applies_to_the_coded_and_the_displayed_size() -> None:
    assert check_frame_size(probe_of(VIDEO).video_stream(), LIMITS) == (1280, 720)
    for size in ({"width": 1400}, {"sample_aspect_ratio": "2:1"}):
        with pytest.raises(TooManyPixelsError):
            check_frame_size(probe_of({**VIDEO, **size}).video_stream(), LIMITS)
    with pytest.raises(CorruptMediaError, match="no frame size"):
        check_frame_size(probe_of({**VIDEO, "width": 0}).video_stream(), LIMITS)


def test_file_beyond_the_duration_limit_is_refused_with_both_durations() -> None:
    check_duration(probe_of(VIDEO, duration="100"), LIMITS)
    check_duration(probe_of(VIDEO), LIMITS)
    with pytest.raises(TooLongError, match="101 seconds"):
        check_duration(probe_of(VIDEO, duration="101"), LIMITS)


def test_nearly_square_pixels_are_displayed_as_square() -> None:
    assert display_size(1920, 1080, Fraction(405, 404), 0) == (1920, 1080)
    assert display_size(720, 576, Fraction(64, 45), 0) == (1024, 576)
    assert display_size(720, 576, Fraction(64, 45), 90) == (576, 1024)
    assert display_size(9, 9, Fraction(1, 1000), 0) == (1, 9)


@pytest.mark.parametrize(("track", "index"), [(1, 1), (2, 2), ("eng", 2), ("FRE", 1), (None, 2)])
def test_audio_track_is_chosen_by_number_or_language(track: int | str | None, index: int) -> None:
    french = AUDIO | {"tags": {"language": "fre"}, "disposition": {"default": 0}}
    english = AUDIO | {"tags": {"language": "eng"}, "disposition": {"default": 1}}
    found = probe_of({"codec_type": "video"}, french, english)

    assert found.audio_stream(track).index == index
    with pytest.raises(NoAudioStreamError, match=r"no audio track ger; the file has 1 \(fre\), 2 \(eng\)"):
        found.audio_stream("ger")
