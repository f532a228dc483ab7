"""Runs audio_extract and inspects its results with FFmpeg directly."""

import subprocess
from pathlib import Path

import pytest

from darkroom.av.ffmpeg import binary
from darkroom.contracts.audio_params import AudioExtractParams
from functions.audio_extract.app import audio_extract
from tests.support.sources import make_task
from tests.support.videos import decode_errors, ffprobe, stream_kinds

#: Codec and media type of the result by requested format.
EXPECTED = {
    "mp3": ("mp3", "audio/mpeg"),
    "aac": ("aac", "audio/aac"),
    "m4a": ("aac", "audio/mp4"),
    "opus": ("opus", "audio/ogg"),
    "flac": ("flac", "audio/flac"),
    "wav": ("pcm_s16le", "audio/wav"),
}

#: The raw audio that `raw_samples` returns: its rate in Hz, and 16 bits for each of two channels.
RATE_HZ = 8000
FRAME_BYTES = 4


def extract(source: Path, folder: Path, **params: object) -> Path:
    """Extracts the audio of a file; checks the rendition's properties against its bytes."""
    requested = AudioExtractParams.model_validate(params)
    (rendition, *_) = audio_extract(make_task(source, folder), requested)
    path = rendition.content
    assert isinstance(path, Path)
    assert (rendition.suffix, rendition.media_type) == (requested.format, EXPECTED[requested.format][1])
    assert set(stream_kinds(path)) - {"data"} == {"audio"}, "no cover image; chapters count as data"
    assert decode_errors(path) == ""
    assert rendition.duration_s == pytest.approx(raw_duration_s(path), abs=0.1)
    return path


def raw_samples(path: Path) -> bytes:
    """The decoded audio at `RATE_HZ`, `FRAME_BYTES` for each point in time."""
    reading = ["-nostdin", "-v", "error", "-i", str(path), "-map", "0:a"]
    writing = ["-ac", "2", "-ar", str(RATE_HZ), "-f", "s16le", "-"]
    return subprocess.run([str(binary("ffmpeg")), *reading, *writing], check=True, capture_output=True).stdout


def raw_duration_s(path: Path) -> float:
    """Seconds of the decoded audio."""
    return len(raw_samples(path)) / FRAME_BYTES / RATE_HZ


def peak_levels(path: Path) -> list[int]:
    """The largest sample, up to 32,768, of each tenth of a second."""
    samples = [abs(sample) for sample in memoryview(raw_samples(path)).cast("h")]
    return [max(samples[start : start + 1600]) for start in range(0, len(samples), 1600)]


def mean_volume_db(path: Path) -> float:
    """Mean volume, in decibels below the maximum."""
    arguments = ["-nostdin", "-hide_banner", "-i", str(path), "-map", "0:a", "-af", "volumedetect", "-f", "null", "-"]
    stderr = subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stderr.decode()
    return float(stderr.partition("mean_volume: ")[2].split()[0])


def packet_hashes(path: Path, track: int = 0) -> list[str]:
    """A hash of every packet but the first and the last, in which containers store notes of their own."""
    raw_aac = ["-bsf:a", "aac_adtstoasc"] if first_audio_codec(path) == "aac" else []
    arguments = ["-nostdin", "-v", "error", "-i", str(path), "-map", f"0:a:{track}", "-c", "copy", *raw_aac]
    done = subprocess.run([str(binary("ffmpeg")), *arguments, "-f", "framemd5", "-"], check=True, capture_output=True)
    lines = [line for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    return [line.rpartition(",")[2].strip() for line in lines][1:-1]


def first_audio_codec(path: Path) -> str:
    """The codec of the first audio stream."""
    return next(str(entry["codec_name"]) for entry in ffprobe(path)["streams"] if entry["codec_type"] == "audio")
