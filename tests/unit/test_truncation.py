from pathlib import Path

import pytest

from darkroom.av.lengths import check_uncut, track_ends
from darkroom.errors import CorruptMediaError


def box(name: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    return (len(content) + 8 if length is None else length).to_bytes(4) + name + content


HEAD = box(b"ftyp", b"isom\0\0\0\0")
LONG = b"\0\0\0\x01mdat"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HEAD,
        HEAD + box(b"moov", b"index") + box(b"mdat", b"media" * 100),
        HEAD + box(b"mdat", b"media" * 100, length=510) + b"",
        HEAD + box(b"mdat", b"media", length=0),
        HEAD + LONG + (16 + 500).to_bytes(8) + b"x" * 500,
        HEAD + box(b"mdat", b"media") + b"\0\0",
        HEAD + box(b"mdat", b"media") + b"rubbish at the end",
        HEAD + box(b"free", b"", length=10_000),
        HEAD + box(b"what", b"", length=5),
    ],
)
def test_a_file_that_is_all_there_passes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(content)

    check_uncut(file, "mov")


@pytest.mark.parametrize(
    "content",
    [
        HEAD + box(b"mdat", b"media" * 100, length=1008),
        HEAD + box(b"moov", b"index") + box(b"mdat", b"", length=1008),
        HEAD + LONG + (1 << 40).to_bytes(8) + b"x" * 500,
    ],
)
def test_a_file_whose_media_goes_beyond_its_end_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(content)

    with pytest.raises(CorruptMediaError, match="cut short"):
        check_uncut(file, "mov")


def matroska(length: bytes, content: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x8bB\x82\x88matroska" + b"\x18\x53\x80\x67" + length + content


@pytest.mark.parametrize(
    "content",
    [
        b"\x1a\x45\xdf\xa3",
        matroska(b"", b""),
        matroska(b"\x84", b"film"),
        matroska(b"\x84", b"film and more"),
        matroska(b"\x01" + (500).to_bytes(7), b"x" * 500),
        matroska(b"\x01" + b"\xff" * 7, b"a live recording"),
        matroska(b"\xff", b"a live recording"),
    ],
)
def test_a_matroska_file_that_is_all_there_passes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "film.mkv"
    file.write_bytes(content)

    check_uncut(file, "matroska")


@pytest.mark.parametrize("content", [matroska(b"\x85", b"film"), matroska(b"\x01" + (500).to_bytes(7), b"x" * 400)])
def test_a_matroska_file_that_should_be_longer_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "film.mkv"
    file.write_bytes(content)

    with pytest.raises(CorruptMediaError, match="cut short"):
        check_uncut(file, "matroska")


def test_the_ends_of_the_tracks_are_read_in_their_order(tmp_path: Path) -> None:
    film = box(b"mvhd", bytes(12) + (600).to_bytes(4) + (1500).to_bytes(4))
    tracks = [box(b"trak", box(b"tkhd", bytes(20) + ticks.to_bytes(4)) + box(b"mdia")) for ticks in (1500, 900)]
    file = tmp_path / "film.mp4"
    file.write_bytes(HEAD + box(b"moov", film + b"".join(tracks)) + box(b"mdat", b"media"))

    assert track_ends(file) == [2.5, 1.5]
