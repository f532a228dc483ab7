"""Changes that audio_extract makes on request: track, excerpt, fades, loudness, mono."""

from pathlib import Path

import pytest

from darkroom.errors import InvalidRequestError
from tests.support.audio_extract import EXPECTED, extract, packet_hashes, peak_levels, raw_duration_s
from tests.support.videos import Clips, duration_s, loudness_lufs, only_stream


def test_requested_track_is_extracted(clips: Clips, tmp_path: Path) -> None:
    audio = only_stream(extract(clips("multitrack.mkv"), tmp_path, track="fre"), "audio")

    assert audio["tags"]["language"] == "fre"


@pytest.mark.parametrize("name", ["m4a", "mp3", "wav"])
def test_excerpt_is_extracted(clips: Clips, tmp_path: Path, name: str) -> None:
    made = extract(clips("ping.wav"), tmp_path, format=name, start_s=0.9, duration_s=0.6)

    assert raw_duration_s(made) == pytest.approx(0.6, abs=0.06)
    levels = peak_levels(made)
    assert levels[0] < 3000 < 8000 < levels[3]


def test_excerpt_can_be_copied(clips: Clips, tmp_path: Path) -> None:
    made = extract(clips("video.mp4"), tmp_path, start_s=0.5, duration_s=1)

    assert set(packet_hashes(made)[2:-2]) <= set(packet_hashes(clips("video.mp4")))


@pytest.mark.parametrize(
    ("excerpt", "length_s"),
    [
        ({"start_s": 0.2, "duration_s": 1}, 0.7),
        ({"duration_s": 1}, 0.5),
        ({"start_s": 1}, 1.5),
        ({"start_s": 2.2}, 0.3),
    ],
)
def test_excerpt_of_audio_with_a_delay_is_extracted(
    clips: Clips, tmp_path: Path, excerpt: dict[str, float], length_s: float
) -> None:
    made = extract(clips("late_audio.mp4"), tmp_path, format="wav", **excerpt)

    assert duration_s(made) == pytest.approx(length_s, abs=0.08)


def test_fade_in_starts_where_delayed_audio_starts(clips: Clips, tmp_path: Path) -> None:
    levels = peak_levels(extract(clips("late_audio.mp4"), tmp_path, format="wav", fade_in_s=1))
    whole = peak_levels(extract(clips("late_audio.mp4"), tmp_path, format="wav"))

    assert levels[0] < whole[0] / 5
    assert levels[12] == pytest.approx(whole[12], rel=0.05)


def test_excerpt_before_the_audio_is_refused(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"starts at 0\.5"):
        extract(clips("late_audio.mp4"), tmp_path, duration_s=0.3)


def test_excerpt_after_the_end_is_refused(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"2\.0 seconds long; start_s is 5\.0"):
        extract(clips("audio.wav"), tmp_path, start_s=5)


def test_audio_fades_in_and_out(clips: Clips, tmp_path: Path) -> None:
    levels = peak_levels(extract(clips("sine.wav"), tmp_path, format="wav", fade_in_s=0.5, fade_out_s=0.5))

    assert levels[0] < levels[2] < levels[5]
    assert levels[-1] < levels[-3] < levels[-6]
    assert levels[9] == pytest.approx(peak_levels(clips("sine.wav"))[9], rel=0.02)


@pytest.mark.parametrize("target_lufs", [-30.0, -16.0])
def test_requested_loudness_is_reached(clips: Clips, tmp_path: Path, target_lufs: float) -> None:
    made = extract(clips("sine.wav"), tmp_path, format="flac", loudness=target_lufs)

    assert loudness_lufs(made) == pytest.approx(target_lufs, abs=0.5)


def test_silence_stays_silent_at_any_loudness(clips: Clips, tmp_path: Path) -> None:
    assert max(peak_levels(extract(clips("silence.wav"), tmp_path, format="wav", loudness=-10))) == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_all_channels_are_mixed_into_one(clips: Clips, tmp_path: Path, name: str) -> None:
    assert only_stream(extract(clips("5.1_side.wav"), tmp_path, format=name, mono=True), "audio")["channels"] == 1
