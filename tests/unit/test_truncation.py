"""Truncated files, detected by their structure or by the duration of the output."""

from pathlib import Path

import pytest

from darkroom.av.truncation import check_output_duration, check_structure
from darkroom.errors import CorruptMediaError
from tests.support.mp4_boxes import FTYP, build_box
from tests.support.probes import AUDIO, VIDEO, probe_of

#: The start of an `mdat` box whose length follows in 8 bytes.
LONG_MDAT = b"\0\0\0\x01mdat"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        FTYP,
        FTYP + build_box(b"moov", b"index") + build_box(b"mdat", b"media" * 100),
        FTYP + build_box(b"mdat", b"media" * 100, length=510) + b"",
        FTYP + build_box(b"mdat", b"media", length=0),
        FTYP + LONG_MDAT + (16 + 500).to_bytes(8) + b"x" * 500,
        FTYP + build_box(b"mdat", b"media") + b"\0\0",
        FTYP + build_box(b"mdat", b"media") + b"rubbish at the end",
        FTYP + build_box(b"free", b"", length=10_000),
        FTYP + build_box(b"what", b"", length=5),
    ],
)
def test_complete_mp4_passes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(content)

    check_structure(file, "mov")


@pytest.mark.parametrize(
    "content",
    [
        FTYP + build_box(b"mdat", b"media" * 100, length=1008),
        FTYP + build_box(b"moov", b"index") + build_box(b"mdat", b"", length=1008),
        FTYP + LONG_MDAT + (1 << 40).to_bytes(8) + b"x" * 500,
    ],
)
def test_mp4_with_less_media_than_stated_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(content)

    with pytest.raises(CorruptMediaError, match="cut short"):
        check_structure(file, "mov")


def build_matroska(length: bytes, content: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x8bB\x82\x88matroska" + b"\x18\x53\x80\x67" + length + content


@pytest.mark.parametrize(
    "content",
    [
        b"\x1a\x45\xdf\xa3",
        build_matroska(b"", b""),
        build_matroska(b"\x84", b"data"),
        build_matroska(b"\x84", b"data and more"),
        build_matroska(b"\x01" + (500).to_bytes(7), b"x" * 500),
        build_matroska(b"\x01" + b"\xff" * 7, b"a live recording"),
        build_matroska(b"\xff", b"a live recording"),
    ],
)
def test_complete_matroska_file_passes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "video.mkv"
    file.write_bytes(content)

    check_structure(file, "matroska")


@pytest.mark.parametrize(
    "content", [build_matroska(b"\x85", b"data"), build_matroska(b"\x01" + (500).to_bytes(7), b"x" * 400)]
)
def test_matroska_file_with_less_media_than_stated_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "video.mkv"
    file.write_bytes(content)

    with pytest.raises(CorruptMediaError, match="cut short"):
        check_structure(file, "matroska")


@pytest.mark.parametrize(
    ("stated", "container", "output_s", "demuxer", "complete"),
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
def test_video_that_lacks_more_than_one_frame_is_refused(
    stated: str | None, container: str | None, output_s: float | None, demuxer: str, complete: bool
) -> None:
    source = probe_of({**VIDEO, "duration": stated}, duration=container)

    if complete:
        check_output_duration(source.video_stream(), output_s, demuxer=demuxer)
    else:
        with pytest.raises(CorruptMediaError, match="cut short"):
            check_output_duration(source.video_stream(), output_s, demuxer=demuxer)


def test_video_with_dropped_frames_may_lack_one_of_the_remaining_frames() -> None:
    source = probe_of({**VIDEO, "duration": "10"})

    check_output_duration(source.video_stream(), 9.8, demuxer="mov", frame_rate=5)
    with pytest.raises(CorruptMediaError):
        check_output_duration(source.video_stream(), 9.79, demuxer="mov", frame_rate=5)
    with pytest.raises(CorruptMediaError):
        check_output_duration(source.video_stream(), 9.9, demuxer="mov", frame_rate=60)


@pytest.mark.parametrize(("stated", "output_s"), [("10", 9.7), ("1000", 989.0)])
def test_audio_that_lacks_more_than_the_tolerance_is_refused(stated: str, output_s: float) -> None:
    source = probe_of({**AUDIO, "duration": stated})

    check_output_duration(source.audio_stream(), output_s + 0.06 * float(stated) / 10, demuxer="mov")
    with pytest.raises(CorruptMediaError):
        check_output_duration(source.audio_stream(), output_s, demuxer="mov")
