"""Several frames of one film: where to take them, the one that stands for all, and all of them on one sheet."""

import math
from dataclasses import dataclass
from urllib.parse import quote

import pyvips

from darkroom.media.geometry import Size

#: Spread of brightness below which a frame is blank: black, white, or the start of a fade.
_BLANK_DEVIATION = 10.0


@dataclass(frozen=True)
class Moment:
    """A time in a film, in seconds, and by how many the picture that is taken for it may be earlier."""

    at_s: float
    slack_s: float = 0.0


def evenly(count: int, duration_s: float) -> list[Moment]:
    """The middles of `count` equal parts of a film; a picture stands for its part, wherever in it it is from."""
    part_s = duration_s / count
    return [Moment((index + 0.5) * part_s, slack_s=part_s / 2) for index in range(count)]


def most_typical(frames: list[pyvips.Image]) -> int:
    """Index of the frame whose colours are nearest to the average of all, blank ones left aside while there are others.

    `frames` are small RGB images of one size.
    """
    histograms = [frame.hist_find().cast("float") for frame in frames]
    average = pyvips.Image.sum(histograms) / len(histograms)
    distances = [((histogram - average) ** 2).avg() for histogram in histograms]
    blank = [frame.colourspace("b-w").deviate() < _BLANK_DEVIATION for frame in frames]
    return min(range(len(frames)), key=lambda index: (blank[index], distances[index]))


def columns_of(count: int) -> int:
    """Frames in a row of a sheet that is about as many frames high as wide."""
    return math.ceil(math.sqrt(count))


def sheet(frames: list[pyvips.Image]) -> pyvips.Image:
    """All frames, which are of one size, in rows."""
    return pyvips.Image.arrayjoin(frames, across=columns_of(len(frames)))


def cues(count: int, tile: Size, duration_s: float, picture: str) -> str:
    """WebVTT that tells a player which part of the sheet, a file called `picture`, shows what is at which time."""
    blocks = ["WEBVTT"]
    for index in range(count):
        start_s, end_s = (duration_s * edge / count for edge in (index, index + 1))
        row, column = divmod(index, columns_of(count))
        part = f"{column * tile.width},{row * tile.height},{tile.width},{tile.height}"
        blocks.append(f"{_clock(start_s)} --> {_clock(end_s)}\n{quote(picture)}#xywh={part}")
    return "\n\n".join(blocks) + "\n"


def _clock(at_s: float) -> str:
    minutes, milliseconds = divmod(round(at_s * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
