"""Results of audio_extract: formats, copies, channels, bit depth, tags, progress, and refused files."""

from pathlib import Path

import pytest

from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    NoAudioStreamError,
    TooLongError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from functions.audio_extract.app import audio_extract
from tests.support.audio_extract import EXPECTED, extract, mean_volume_db, packet_hashes, raw_duration_s
from tests.support.sources import make_task
from tests.support.videos import Clips, ffprobe, only_stream

# Results -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("bitrate_kbps", [None, 96])
def test_audio_of_a_video_is_extracted_in_every_format(
    clips: Clips, tmp_path: Path, name: str, bitrate_kbps: int | None
) -> None:
    made = extract(clips("video.mp4"), tmp_path, format=name, bitrate_kbps=bitrate_kbps)
    audio = only_stream(made, "audio")

    assert (audio["codec_name"], audio["channels"], audio["sample_rate"]) == (EXPECTED[name][0], 2, "48000")
    assert mean_volume_db(made) == pytest.approx(mean_volume_db(clips("video.mp4")), abs=1)
    assert raw_duration_s(made) == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize(
    ("source", "name", "original", "track"),
    [
        ("video.mp4", "m4a", "video.mp4", 0),
        ("video.mp4", "aac", "video.mp4", 0),
        ("video.ts", "m4a", "video.mp4", 0),
        ("multitrack.mkv", "m4a", "multitrack.mkv", 1),
        ("video.avi", "mp3", "video.avi", 0),
        ("video.webm", "opus", "video.webm", 0),
        ("audio.flac", "flac", "audio.flac", 0),
        ("24_bit.wav", "wav", "24_bit.wav", 0),
    ],
)
def test_copy_has_identical_packets(
    clips: Clips, tmp_path: Path, source: str, name: str, original: str, track: int
) -> None:
    made = packet_hashes(extract(clips(source), tmp_path, format=name))

    assert len(made) > 5
    assert made == packet_hashes(clips(original), track)


@pytest.mark.parametrize(
    "source",
    [
        *("audio.m4a", "audio.aac", "audio.mp3", "audio_without_tag.mp3", "audio.mp2", "audio.opus", "audio.ogg"),
        *(
            "audio.flac",
            "audio.wav",
            "audio.aiff",
            "audio_only.mp4",
            "cover.mp3",
            "video.mpg",
            "video.flv",
            "video.wmv",
        ),
    ],
)
def test_every_audio_format_is_read(clips: Clips, tmp_path: Path, source: str) -> None:
    made = extract(clips(source), tmp_path, format="opus")

    assert mean_volume_db(made) == pytest.approx(mean_volume_db(clips(source)), abs=1)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("source", ["5.1_side.wav", "2.1.wav", "16.wav"])
def test_unusual_channel_layouts_are_converted(clips: Clips, tmp_path: Path, source: str, name: str) -> None:
    audio = only_stream(extract(clips(source), tmp_path, format=name), "audio")

    max_channels = {"mp3": 2, "wav": 16}.get(name, 8)
    assert 2 <= audio["channels"] <= max_channels
    if source == "5.1_side.wav":
        assert audio["channels"] == min(6, max_channels)


def test_bit_depth_of_the_source_is_kept(clips: Clips, tmp_path: Path) -> None:
    high_depth, default_depth = (
        only_stream(extract(clips(name), tmp_path, format="flac"), "audio")["bits_per_raw_sample"]
        for name in ("24_bit.wav", "video.mp4")
    )

    assert (high_depth, default_depth) == ("24", "16")


@pytest.mark.parametrize(("name", "rate"), [("mp3", "48000"), ("opus", "48000"), ("m4a", "96000"), ("flac", "96000")])
def test_sample_rate_is_one_that_the_format_supports(clips: Clips, tmp_path: Path, name: str, rate: str) -> None:
    assert only_stream(extract(clips("96_khz.wav"), tmp_path, format=name), "audio")["sample_rate"] == rate


@pytest.mark.parametrize("bitrate_kbps", [16, 512])
@pytest.mark.parametrize("name", ["mp3", "aac", "m4a", "opus"])
def test_every_allowed_bit_rate_is_accepted(clips: Clips, tmp_path: Path, name: str, bitrate_kbps: int) -> None:
    assert extract(clips("video.mp4"), tmp_path, format=name, bitrate_kbps=bitrate_kbps).stat().st_size


@pytest.mark.parametrize("name", ["m4a", "mp3", "opus", "flac", "wav"])
def test_title_is_kept_and_the_location_is_dropped(clips: Clips, tmp_path: Path, name: str) -> None:
    found = ffprobe(extract(clips("located.mov"), tmp_path, format=name))
    all_tags = [entry.get("tags", {}) for entry in (found["format"], *found["streams"])]
    tags = {key.lower(): value for entry in all_tags for key, value in entry.items()}

    assert tags["title"] == "Paris"
    assert not any("48.85" in value for value in tags.values())


def test_progress_grows_to_the_end(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.av.process.REPORT_PERIOD_S", 0.02)
    reported: list[float] = []
    task = make_task(clips("long.mp4"), tmp_path, progress=reported.append)

    audio_extract(task, AudioExtractParams(format="opus"))

    assert reported == sorted(reported)
    assert any(0.1 < fraction < 0.9 for fraction in reported)
    assert reported[-1] <= 1.0


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["silent.mp4", "tiny.mp4", "interlaced.ts"])
def test_video_without_audio_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoAudioStreamError, match="no audio"):
        extract(clips(name), tmp_path, format="mp3")


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "cut_after_its_index.mp4", "cut.mkv"])
@pytest.mark.parametrize("fmt", ["m4a", "mp3"])
def test_damaged_video_is_refused(clips: Clips, tmp_path: Path, name: str, fmt: str) -> None:
    with pytest.raises(CorruptMediaError):
        extract(clips(name), tmp_path, format=fmt)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"This is not audio.", UnsupportedMediaTypeError),
        (b"\xff\xd8\xff\xe0", WrongMediaKindError),
    ],
)
def test_file_that_is_neither_audio_nor_video_is_refused(
    tmp_path: Path, content: bytes, error: type[DarkroomError]
) -> None:
    file = tmp_path / "audio.mp3"
    file.write_bytes(content)

    with pytest.raises(error):
        extract(file, tmp_path)


def test_audio_beyond_the_duration_limit_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooLongError):
        audio_extract(make_task(clips("audio.mp3"), tmp_path, duration_s=1.9), AudioExtractParams())
