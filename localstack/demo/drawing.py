"""Draws a grid of captioned images with libvips: `python -m localstack.demo.drawing <font file> <target>`.

The sheet comes as JSON on standard input: {"title": "…", "cells": [{"title", "details", "image", "facts"}, …]}.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

import pyvips

COLUMNS = 3

#: Sizes in pixels: of the frame that an image is fitted into, of the caption below it, of the distances between them.
FRAME_WIDTH_PX = 480
FRAME_HEIGHT_PX = 320
CAPTION_HEIGHT_PX = 62
GAP_PX = 28
MARGIN_PX = 40
HEADER_HEIGHT_PX = 56

_TITLE_PX, _CAPTION_PX, _DETAILS_PX, _FACT_PX = 26, 19, 15, 17
_FACT_LINE_PX = 24
_FACT_INDENT_PX = 28
_FACT_VALUE_PX = 190

Color = tuple[int, int, int]
_PAGE: Color = (238, 240, 242)
_FRAME: Color = (255, 255, 255)
_TEXT: Color = (24, 32, 38)
_FAINT: Color = (98, 109, 117)

#: One point is one pixel.
_DPI = 72


@dataclass(frozen=True)
class Cell:
    """One image with its caption. Without an image the frame lists `facts`, pairs of a label and a value."""

    title: str
    details: str
    image: Path | None = None
    facts: Sequence[tuple[str, str]] = ()


class Placed(NamedTuple):
    """An image in RGBA and the position of its upper left corner."""

    image: pyvips.Image
    x: int
    y: int


def draw(title: str, cells: Sequence[Cell], font: Path) -> pyvips.Image:
    """The sheet in RGB. Images keep their proportions and are reduced to fit, but never enlarged."""
    rows = math.ceil(len(cells) / COLUMNS)
    width = 2 * MARGIN_PX + COLUMNS * FRAME_WIDTH_PX + (COLUMNS - 1) * GAP_PX
    height = 2 * MARGIN_PX + HEADER_HEIGHT_PX + rows * (FRAME_HEIGHT_PX + CAPTION_HEIGHT_PX) + (rows - 1) * GAP_PX
    layers = [_text(title, font, _TITLE_PX, _TEXT, MARGIN_PX, MARGIN_PX, width - 2 * MARGIN_PX)]
    for number, cell in enumerate(cells):
        layers += _cell(cell, *position(number), font)
    page = _filled(width, height, _PAGE)
    sheet = page.composite(
        [layer.image for layer in layers], "over", x=[layer.x for layer in layers], y=[layer.y for layer in layers]
    )
    return sheet.flatten().cast("uchar")


def position(number: int) -> tuple[int, int]:
    """The upper left corner of the frame of a cell, counted from 0 by rows."""
    row, column = divmod(number, COLUMNS)
    x = MARGIN_PX + column * (FRAME_WIDTH_PX + GAP_PX)
    return x, MARGIN_PX + HEADER_HEIGHT_PX + row * (FRAME_HEIGHT_PX + CAPTION_HEIGHT_PX + GAP_PX)


def _cell(cell: Cell, x: int, y: int, font: Path) -> Iterator[Placed]:
    yield Placed(_filled(FRAME_WIDTH_PX, FRAME_HEIGHT_PX, _FRAME), x, y)
    if cell.image:
        image = _fitted(cell.image)
        yield Placed(image, x + (FRAME_WIDTH_PX - image.width) // 2, y + (FRAME_HEIGHT_PX - image.height) // 2)
    else:
        yield from _facts(cell.facts, x, y, font)
    below = y + FRAME_HEIGHT_PX
    yield _text(cell.title, font, _CAPTION_PX, _TEXT, x, below + 10, FRAME_WIDTH_PX)
    yield _text(cell.details, font, _DETAILS_PX, _FAINT, x, below + 36, FRAME_WIDTH_PX)


def _facts(facts: Sequence[tuple[str, str]], x: int, y: int, font: Path) -> Iterator[Placed]:
    top = y + (FRAME_HEIGHT_PX - len(facts) * _FACT_LINE_PX) // 2
    for number, (label, value) in enumerate(facts):
        line = top + number * _FACT_LINE_PX
        yield _text(label, font, _FACT_PX, _FAINT, x + _FACT_INDENT_PX, line, _FACT_VALUE_PX - _FACT_INDENT_PX)
        yield _text(value, font, _FACT_PX, _TEXT, x + _FACT_VALUE_PX, line, FRAME_WIDTH_PX - _FACT_VALUE_PX - 8)


def _fitted(path: Path) -> pyvips.Image:
    """The image in RGBA, not larger than a frame."""
    image = pyvips.Image.thumbnail(
        str(path), FRAME_WIDTH_PX, height=FRAME_HEIGHT_PX, size="down", export_profile="srgb"
    ).colourspace("srgb")
    return image if image.hasalpha() else image.addalpha()


def _filled(width: int, height: int, color: Color) -> pyvips.Image:
    return pyvips.Image.black(width, height).linear([0] * 4, [*color, 255], uchar=True).copy(interpretation="srgb")


def _text(text: str, font: Path, size_px: int, color: Color, x: int, y: int, width_px: int) -> Placed:
    """One line of text in a line box that starts at (x, y), shortened to `width_px`."""
    mask = _mask(text, font, size_px)
    while mask.width > width_px:
        text = text.removesuffix("…")[:-1] + "…"
        mask = _mask(text, font, size_px)
    ink = _filled(mask.width, mask.height, color).extract_band(0, n=3).bandjoin(mask)
    # The mask is cut to the ink; its offsets place it in the line box, so that all lines have the same baseline.
    return Placed(ink.copy(interpretation="srgb"), x + mask.xoffset, y + mask.yoffset)


def _mask(text: str, font: Path, size_px: int) -> pyvips.Image:
    return pyvips.Image.text(
        escape(text, quote=False), font=f"DejaVu Sans {size_px}", fontfile=str(font), dpi=_DPI
    ).copy_memory()


def main() -> None:
    """Draws the sheet that standard input describes."""
    font, target = Path(sys.argv[1]), sys.argv[2]
    sheet = json.load(sys.stdin)
    cells = [
        Cell(cell["title"], cell["details"], Path(cell["image"]) if cell["image"] else None, cell["facts"])
        for cell in sheet["cells"]
    ]
    draw(sheet["title"], cells, font).pngsave(target, compression=9)


if __name__ == "__main__":
    main()
