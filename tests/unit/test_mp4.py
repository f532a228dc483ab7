"""The ends of the tracks, read from the boxes of an MP4."""

from pathlib import Path

from darkroom.av.mp4 import track_ends_s
from tests.support.mp4_boxes import FTYP, build_box


def test_ends_of_the_tracks_are_read_in_their_order(tmp_path: Path) -> None:
    header = build_box(b"mvhd", bytes(12) + (600).to_bytes(4) + (1500).to_bytes(4))
    tracks = [
        build_box(b"trak", build_box(b"tkhd", bytes(20) + ticks.to_bytes(4)) + build_box(b"mdia"))
        for ticks in (1500, 900)
    ]
    file = tmp_path / "video.mp4"
    file.write_bytes(FTYP + build_box(b"moov", header + b"".join(tracks)) + build_box(b"mdat", b"media"))

    assert track_ends_s(file) == [2.5, 1.5]
