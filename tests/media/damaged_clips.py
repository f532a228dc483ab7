"""Damaged clips: files that were cut short, and one whose media is overwritten."""

from pathlib import Path

from tests.media.clip_recipes import clip, recipe, truncate

truncate("cut_before_its_index.mp4", "moov_at_end.mp4", 0.6)
truncate("cut_after_its_index.mp4", "video.mp4", 0.6)
truncate("cut.mkv", "video.mkv", 0.5)
truncate("cut.wav", "audio.wav", 0.5)


@recipe("noise.mp4")
def _noise(target: Path, folder: Path) -> None:
    """Video and audio overwritten, the index in front of them intact."""
    content = bytearray(clip("video.mp4", folder).read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes((index * 7919) >> 3 & 0xFF for index in range(len(content) - start))
    target.write_bytes(content)
