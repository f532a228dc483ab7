"""Several frames of one video: their times, the most typical one, and a sprite sheet with its WebVTT cues."""

import math
from dataclasses import dataclass
from urllib.parse import quote

import pyvips

from darkroom.media.geometry import Size

#: Standard deviation of the brightness, of 255, below which a frame is blank: black, white, or the start of a fade.
_BLANK_DEVIATION = 10.0


@dataclass(frozen=True)
class FrameTime:
    """A time in a video, in seconds, and how many seconds earlier the frame taken for it may be."""

    at_s: float
    tolerance_s: float = 0.0


def spread_times(count: int, duration_s: float) -> list[FrameTime]:
    """The middles of `count` equal parts of a video. Any frame in the first half of a part may stand for it."""
    part_s = duration_s / count
    return [FrameTime((index + 0.5) * part_s, tolerance_s=part_s / 2) for index in range(count)]


def find_most_typical(frames: list[pyvips.Image]) -> int:
    """Index of the frame whose color histogram is nearest to the average histogram; a blank one only if all are blank.

    `frames` are small RGB images of one size.
    """
    histograms = [frame.hist_find().cast("float") for frame in frames]
    average = pyvips.Image.sum(histograms) / len(histograms)
    distances = [((histogram - average) ** 2).avg() for histogram in histograms]
    blank = [frame.colourspace("b-w").deviate() < _BLANK_DEVIATION for frame in frames]
    return min(range(len(frames)), key=lambda index: (blank[index], distances[index]))


def build_sprite_sheet(frames: list[pyvips.Image]) -> pyvips.Image:
    """All frames, which have one size, in rows."""
    return pyvips.Image.arrayjoin(frames, across=_count_columns(len(frames)))


def write_cues(count: int, tile: Size, duration_s: float, sheet_name: str) -> str:
    """WebVTT that tells a player which region of the sprite sheet, a file named `sheet_name`, shows which time."""
    blocks = ["WEBVTT"]
    for index in range(count):
        start_s, end_s = (duration_s * edge / count for edge in (index, index + 1))
        row, column = divmod(index, _count_columns(count))
        region = f"{column * tile.width},{row * tile.height},{tile.width},{tile.height}"
        blocks.append(f"{_timestamp(start_s)} --> {_timestamp(end_s)}\n{quote(sheet_name)}#xywh={region}")
    return "\n\n".join(blocks) + "\n"


def _count_columns(count: int) -> int:
    """Frames per row of a sheet with about as many rows as columns."""
    return math.ceil(math.sqrt(count))


def _timestamp(at_s: float) -> str:
    minutes, milliseconds = divmod(round(at_s * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
