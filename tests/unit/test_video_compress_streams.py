"""Audio, subtitles, chapters and tags in results of video_compress."""

from pathlib import Path

import pytest

from tests.media.make_clips import ORIGINAL
from tests.support.video_compress import compress
from tests.support.videos import Clips, duration_s, ffprobe, loudness_lufs, only_stream, stream_kinds, subtitle_text


def test_video_without_audio_is_compressed_without_audio(clips: Clips, tmp_path: Path) -> None:
    assert stream_kinds(compress(clips("silent.mp4"), tmp_path)) == ["video"]


def test_audio_is_dropped_where_requested(clips: Clips, tmp_path: Path) -> None:
    assert stream_kinds(compress(clips("video.mp4"), tmp_path, audio="none")) == ["video"]


def test_audio_may_be_shorter_than_the_video(clips: Clips, tmp_path: Path) -> None:
    made = compress(clips("short_audio.mkv"), tmp_path)

    assert float(only_stream(made, "video")["duration"]) == pytest.approx(2.0, abs=0.01)
    assert float(only_stream(made, "audio")["duration"]) == pytest.approx(1.0, abs=0.05)


def test_delayed_audio_keeps_its_delay(clips: Clips, tmp_path: Path) -> None:
    made = compress(clips("late_audio.mp4"), tmp_path)

    assert duration_s(made) == pytest.approx(2.5, abs=0.1)


def test_surround_audio_becomes_stereo(clips: Clips, tmp_path: Path) -> None:
    audio = only_stream(compress(ORIGINAL, tmp_path, max_height=90), "audio")

    assert (audio["channels"], audio["channel_layout"]) == (2, "stereo")
    assert float(audio["bit_rate"]) < 150_000


@pytest.mark.parametrize("name", ["located.mp4", "located.mov"])
def test_title_is_kept_and_the_location_is_dropped(clips: Clips, tmp_path: Path, name: str) -> None:
    before = ffprobe(clips(name))["format"]["tags"]
    made = compress(clips(name), tmp_path)
    after = ffprobe(made)["format"]["tags"]

    assert any("48.85" in value for value in before.values())
    assert not any("48.85" in value for value in after.values())
    assert not any(box in made.read_bytes() for box in (b"loci", b"\xa9xyz", b"ISO6709"))
    assert before["title"] == after["title"] == "Paris"


def test_default_language_and_the_chapters_are_kept(clips: Clips, tmp_path: Path) -> None:
    made = compress(clips("multitrack.mkv"), tmp_path)

    assert only_stream(made, "audio")["tags"]["language"] == "eng"
    assert [chapter["tags"]["title"] for chapter in ffprobe(made)["chapters"]] == ["Waking", "Stretching"]


def test_requested_loudness_is_reached(clips: Clips, tmp_path: Path) -> None:
    made = compress(clips("video.mp4"), tmp_path, loudness=-30)

    assert loudness_lufs(made) == pytest.approx(-30, abs=1)


@pytest.mark.parametrize(("codec", "subtitle_codec"), [("h264", "mov_text"), ("vp9", "webvtt")])
def test_subtitles_are_kept_where_requested(clips: Clips, tmp_path: Path, codec: str, subtitle_codec: str) -> None:
    once = compress(clips("multitrack.mkv"), tmp_path, subtitles="keep", codec=codec)
    (tmp_path / "twice").mkdir()
    twice = compress(once, tmp_path / "twice", subtitles="keep")

    for made, expected in ((once, subtitle_codec), (twice, "mov_text")):
        kept = only_stream(made, "subtitle")
        assert (kept["codec_name"], kept["tags"]["language"]) == (expected, "eng")
        assert kept["disposition"]["forced"] == 1
        assert "Good morning" in subtitle_text(made)
        assert stream_kinds(made).count("audio") == 1


def test_keeping_subtitles_of_a_video_without_any_is_allowed(clips: Clips, tmp_path: Path) -> None:
    assert "subtitle" not in stream_kinds(compress(clips("video.mkv"), tmp_path, subtitles="keep"))
