"""The document of video_metadata about video and audio, key frames, and refused files."""

import json
from pathlib import Path
from typing import Any

import pytest

from darkroom.av import keyframes
from darkroom.contracts.video_params import VideoMetadataParams
from darkroom.errors import CorruptMediaError, DarkroomError, UnsupportedMediaTypeError
from functions.video_metadata.app import video_metadata
from tests.support.range_server import serve_file
from tests.support.sources import UrlSource, make_task
from tests.support.video_metadata import describe, only_entry
from tests.support.videos import OTHER_CONTAINERS, Clips

# Video and audio ---------------------------------------------------------------------------------------------------


def test_video_is_described_in_full(clips: Clips, tmp_path: Path) -> None:
    document = describe(clips("video.mp4"), tmp_path)
    video, audio = document["streams"]

    assert set(document) == {
        *("kind", "media_type", "container", "size_bytes", "duration_s", "bit_rate_bps"),
        *("streams", "chapters", "tags"),
    }
    assert document["kind"] == "video"
    assert document["media_type"] == "video/mp4"
    assert document["container"] == "QuickTime / MOV"
    assert document["size_bytes"] == clips("video.mp4").stat().st_size
    assert document["duration_s"] == 2.0
    assert document["bit_rate_bps"] == pytest.approx(document["size_bytes"] * 8 / 2, rel=0.01)
    assert video["type"] == "video"
    assert video["codec"] == "h264"
    assert (video["width_px"], video["height_px"]) == (320, 180)
    assert (video["frame_rate"], video["frame_count"], video["duration_s"]) == (25.0, 50, 2.0)
    assert (video["pixel_format"], video["bit_depth"]) == ("yuv420p", 8)
    assert (video["rotation_degrees"], video["pixel_aspect"]) == (0, "1:1")
    assert not any(video[flag] for flag in ("variable_frame_rate", "interlaced", "hdr", "attached_picture", "forced"))
    assert video["bit_rate_bps"] > 100_000
    assert audio["type"] == "audio"
    assert (audio["codec"], audio["profile"]) == ("aac", "LC")
    assert (audio["channels"], audio["channel_layout"], audio["sample_rate_hz"]) == (2, "stereo", 48000)


def test_languages_chapters_subtitles_and_title_are_described(clips: Clips, tmp_path: Path) -> None:
    document = describe(clips("multitrack.mkv"), tmp_path)
    video, french, english, subtitles = document["streams"]

    assert [stream["type"] for stream in document["streams"]] == ["video", "audio", "audio", "subtitle"]
    assert (french["language"], english["language"], subtitles["language"]) == ("fre", "eng", "eng")
    assert (french["default"], english["default"], subtitles["forced"]) == (False, True, True)
    assert video["language"] is None
    assert document["tags"]["title"] == "The big morning"
    assert document["chapters"] == [
        {"start_s": 0.0, "end_s": 1.0, "title": "Waking"},
        {"start_s": 1.0, "end_s": 2.0, "title": "Stretching"},
    ]


def test_sizes_are_those_as_displayed(clips: Clips, tmp_path: Path) -> None:
    keys = ("width_px", "height_px", "coded_width_px", "coded_height_px", "pixel_aspect", "rotation_degrees")

    def size(name: str) -> list[Any]:
        video = only_entry(describe(clips(name), tmp_path), "video")
        return [video[key] for key in keys]

    assert size("portrait.mp4") == [180, 320, 320, 180, "1:1", 90]
    assert size("anamorphic.mp4") == [320, 180, 180, 180, "16:9", 0]
    assert size("odd.mp4") == [321, 181, 321, 181, "1:1", 0]


def test_special_properties_of_the_video_are_described(clips: Clips, tmp_path: Path) -> None:
    hdr = only_entry(describe(clips("hdr.mp4"), tmp_path), "video")
    variable = only_entry(describe(clips("variable.mp4"), tmp_path), "video")

    assert (hdr["hdr"], hdr["color_transfer"], hdr["color_primaries"]) == (True, "smpte2084", "bt2020")
    assert (hdr["bit_depth"], hdr["pixel_format"]) == (10, "yuv420p10le")
    assert only_entry(describe(clips("interlaced.ts"), tmp_path), "video")["interlaced"] is True
    assert only_entry(describe(clips("full_range.mp4"), tmp_path), "video")["color_range"] == "pc"
    assert variable["variable_frame_rate"] is True
    assert variable["frame_rate"] == pytest.approx(30, abs=0.2)


@pytest.mark.parametrize("name", ["located.mp4", "located.mov"])
def test_location_is_not_included(clips: Clips, tmp_path: Path, name: str) -> None:
    document = describe(clips(name), tmp_path)

    assert document["tags"]["title"] == "Paris"
    assert "48.85" not in json.dumps(document)


# Key frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "interval_s"),
    [
        ("slow.mp4", 10.0),
        ("mostly_black.mp4", 1.0),
        ("slides.mp4", None),
        ("slides.mkv", None),
        ("black.mp4", None),
        ("video.webm", None),
    ],
)
def test_key_frame_interval_is_measured_where_two_key_frames_are_seen(
    clips: Clips, tmp_path: Path, name: str, interval_s: float | None
) -> None:
    assert only_entry(describe(clips(name), tmp_path), "video")["key_frame_interval_s"] == interval_s


@pytest.mark.parametrize("suffix", ["mkv", "avi", "ts", "mpg", "flv", "wmv"])
def test_key_frames_are_found_in_every_container(clips: Clips, tmp_path: Path, suffix: str) -> None:
    interval_s = only_entry(describe(clips(f"video.{suffix}"), tmp_path), "video")["key_frame_interval_s"]

    assert interval_s == pytest.approx(0.5, abs=0.05)


def test_key_frame_interval_is_the_longest_between_display_times() -> None:
    assert keyframes.parse_packets("0,0.0,0.0,K__\n0,0.4,0.04,___\n0,2.0,1.9,K__\n0,3.0,2.9,K__\n1,5.0,5.0,K__\n") == {
        0: 2.0
    }
    assert keyframes.parse_packets("0,N/A,0.5,K__\n0,N/A,1.5,KD_\n1,N/A,N/A,K__\n1,1.0,0,K__\nx\n\n0,?\n") == {0: 1.0}


def test_key_frame_scan_may_time_out_but_not_fail(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyframes, "_PACKETS", ("-of", "csv=p=0", "-show_entries", "packet=flags", "-no_such", "1"))
    with pytest.raises(DarkroomError):
        describe(clips("video.mp4"), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(keyframes, "_TIMEOUT_S", -1)
    assert only_entry(describe(clips("video.mp4"), tmp_path), "video")["key_frame_interval_s"] is None


@pytest.mark.parametrize(
    ("name", "codec", "channels"),
    [
        ("audio.m4a", "aac", 2),
        ("audio.mp3", "mp3", 2),
        ("audio.opus", "opus", 2),
        ("audio.flac", "flac", 2),
        ("audio.wav", "pcm_s16le", 2),
        ("audio.aac", "aac", 2),
        ("5.1_side.wav", "pcm_s16le", 6),
        ("audio_only.mp4", "aac", 2),
        ("cover.mp3", "mp3", 2),
    ],
)
def test_audio_is_described_as_audio(clips: Clips, tmp_path: Path, name: str, codec: str, channels: int) -> None:
    document = describe(clips(name), tmp_path)
    audio = only_entry(document, "audio")

    assert document["kind"] == "audio"
    assert document["duration_s"] == pytest.approx(2.0, abs=0.1)
    assert (audio["codec"], audio["channels"], audio["sample_rate_hz"]) == (codec, channels, 48000)


def test_cover_image_is_distinguished_from_a_video(clips: Clips, tmp_path: Path) -> None:
    streams = describe(clips("cover.mp4"), tmp_path)["streams"]

    assert {(stream.get("codec"), stream.get("attached_picture")) for stream in streams} == {
        *(("mjpeg", True), ("h264", False), ("aac", None))
    }
    assert only_entry(describe(clips("cover.mp3"), tmp_path), "video")["attached_picture"] is True


@pytest.mark.parametrize(
    "name",
    OTHER_CONTAINERS,
)
def test_every_container_is_read(clips: Clips, tmp_path: Path, name: str) -> None:
    document = describe(clips(name), tmp_path)

    assert document["kind"] == "video"
    assert document["duration_s"] == pytest.approx(2.0, abs=0.15)
    assert (only_entry(document, "video")["width_px"], only_entry(document, "audio")["channels"]) == (320, 2)


def test_only_the_needed_parts_of_a_large_file_are_read(clips: Clips, tmp_path: Path) -> None:
    video = clips("long.mp4")

    with serve_file(video) as server:
        (by_url,) = video_metadata(make_task(UrlSource(video, server.url), tmp_path), VideoMetadataParams())

    assert by_url.document == describe(video, tmp_path)
    assert server.sent_bytes < video.stat().st_size / 3 + keyframes.MAX_SCAN_BYTES


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "cut_after_its_index.mp4", "cut.mkv"])
def test_truncated_video_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptMediaError, match="cut short"):
        describe(clips(name), tmp_path)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"This is not a video.", UnsupportedMediaTypeError),
        (b"\x89PNG\r\n\x1a\n", CorruptMediaError),
        (b"GIF89a", CorruptMediaError),
        (b"BM" + bytes(12) + b"\x28", CorruptMediaError),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", CorruptMediaError),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", CorruptMediaError),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\0mdat", CorruptMediaError),
        (b"\x1a\x45\xdf\xa3\x8bB\x82\x88matroska", CorruptMediaError),
        (b"RIFF\0\0\0\0WAVE", CorruptMediaError),
        (b"ID3\x04\0\0\0\0\x7f\x7f", CorruptMediaError),
    ],
)
def test_file_that_is_not_media_is_refused(
    tmp_path: Path, binaries: Path, content: bytes, error: type[DarkroomError]
) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(content)

    with pytest.raises(error):
        describe(file, tmp_path)
