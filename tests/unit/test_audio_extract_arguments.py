"""FFmpeg's arguments for audio_extract: copy or encode, bit rates, bit depths."""

from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.av.probe import Probe, Stream
from darkroom.contracts.audio_params import AudioExtractParams
from functions.audio_extract.app import codec_arguments, extract_arguments
from functions.audio_extract.formats import AUDIO_FORMATS
from tests.support.probes import parse_document

NO_OTHER_TAGS = ("-map_metadata:g", "-1", "-map_metadata:s", "-1")


def audio_stream(**values: object) -> Stream:
    """An audio stream with these values."""
    vorbis = {"index": 1, "codec_type": "audio", "codec_name": "vorbis", "channels": 2}
    return replace(parse_document({"streams": [vorbis]}).audio_stream(), **values)  # type: ignore[arg-type]


def probe_of(audio: Stream, **tags: str) -> Probe:
    """A probe of a file with one audio stream."""
    return replace(parse_document({}), streams=(audio,), tags=tags)


def test_audio_is_copied_where_the_format_holds_its_codec(tmp_path: Path) -> None:
    requested, found = (
        AudioExtractParams(format="m4a"),
        probe_of(audio_stream(codec="aac"), title="A song", make="A phone"),
    )

    assert extract_arguments(found, requested, tmp_path / "a.m4a", max_duration_s=60) == [
        *("-map", "0:1", "-c:a", "copy", *NO_OTHER_TAGS, "-metadata", "title=A song"),
        *("-t", "61", "-movflags", "+faststart", "-f", "ipod", f"file:{tmp_path / 'a.m4a'}"),
    ]


def test_audio_is_encoded_where_a_bit_rate_is_requested(tmp_path: Path) -> None:
    requested = AudioExtractParams(format="mp3", bitrate_kbps=192)

    assert extract_arguments(probe_of(audio_stream(codec="mp3")), requested, tmp_path / "a.mp3", max_duration_s=60) == [
        *("-map", "0:1", "-af", "aresample=async=1,aformat=channel_layouts=mono|stereo"),
        *("-c:a", "libmp3lame", "-b:a", "192k", *NO_OTHER_TAGS),
        *("-t", "61", "-f", "mp3", f"file:{tmp_path / 'a.mp3'}"),
    ]


def test_lossless_formats_ignore_the_bit_rate() -> None:
    assert codec_arguments(audio_stream(codec="flac"), AUDIO_FORMATS["flac"], 64) == ["-c:a", "copy"]
    assert "-b:a" not in codec_arguments(audio_stream(), AUDIO_FORMATS["wav"], 64)


@pytest.mark.parametrize(
    ("name", "channels", "requested_kbps", "rate"),
    [
        ("mp3", 1, None, "96k"),
        ("mp3", 2, None, "192k"),
        ("mp3", 6, None, "192k"),
        ("m4a", 2, None, "160k"),
        ("m4a", 6, None, "480k"),
        ("opus", 1, 512, "256k"),
        ("opus", 2, 512, "512k"),
        ("opus", 2, None, "128k"),
    ],
)
def test_bit_rate_depends_on_the_number_of_channels(
    name: str, channels: int, requested_kbps: int | None, rate: str
) -> None:
    found = codec_arguments(audio_stream(channels=channels), AUDIO_FORMATS[name], requested_kbps)

    assert found[found.index("-b:a") + 1] == rate


@pytest.mark.parametrize(
    ("name", "bit_depth", "encoder"),
    [
        ("flac", None, ["-c:a", "flac", "-sample_fmt", "s16"]),
        ("flac", 24, ["-c:a", "flac", "-sample_fmt", "s32"]),
        ("wav", 16, ["-c:a", "pcm_s16le"]),
        ("wav", 24, ["-c:a", "pcm_s24le"]),
        ("m4a", 24, ["-c:a", "aac"]),
    ],
)
def test_lossless_formats_keep_the_bit_depth_of_the_source(
    name: str, bit_depth: int | None, encoder: list[str]
) -> None:
    found = codec_arguments(audio_stream(bit_depth=bit_depth), AUDIO_FORMATS[name], None)

    assert found[2 : 2 + len(encoder)] == encoder
