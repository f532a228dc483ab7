"""Draws text with libvips' text engine (Pango), which shapes and orders the letters of every script."""

import math
import unicodedata
from functools import cache
from html import escape
from typing import NamedTuple

import pyvips

from darkroom.errors import InvalidRequestError
from darkroom.images.color import RgbaColor
from darkroom.images.vips import map_vips_errors
from darkroom.media.geometry import Size
from functions.watermark.fonts import FONT_NAME, font_files, missing_characters

#: The most pixels that are drawn; larger text is scaled up.
MAX_DRAWN_PIXELS = 16_000_000

#: Font sizes in pixels: for measuring, and the smallest that is drawn; smaller text is scaled down.
MEASURE_FONT_PX, MIN_FONT_PX = 100.0, 8.0

#: Largest radius of the brush for outlines; thicker ones are drawn smaller and scaled up, since they are soft anyway.
_MAX_BRUSH_PX = 8.0

#: Makes one point one pixel.
_DPI = 72

_LINE_GAP_EM = 0.2


class StyledText(NamedTuple):
    """A text, its colors, and the thickness of its outline in ems."""

    text: str
    color: RgbaColor
    outline_color: RgbaColor
    outline_em: float

    def measure(self) -> Size:
        """Its size at `MEASURE_FONT_PX`, including the outline. Raises InvalidRequestError if nothing is visible."""
        with map_vips_errors():
            mask = self._mask(MEASURE_FONT_PX)
        rim = 2 * math.ceil(self.outline_em * MEASURE_FONT_PX)
        return Size(mask.width + rim, mask.height + rim)

    def draw(self, size: Size, font_px: float) -> pyvips.Image:
        """Draws it in RGBA with a font of `font_px`, not larger than `size`."""
        drawn_px = max(MIN_FONT_PX, font_px * min(1.0, math.sqrt(MAX_DRAWN_PIXELS / size.pixels)))
        with map_vips_errors():
            image = self._paint(drawn_px)
            if image.width > size.width or image.height > size.height or drawn_px < font_px:
                image = image.thumbnail_image(size.width, height=size.height, size="force")
            return image.copy_memory()

    def _paint(self, font_px: float) -> pyvips.Image:
        mask = self._mask(font_px)
        radius_px = self.outline_em * font_px
        if not radius_px:
            return _colorize(mask, self.color)
        rim_px = math.ceil(radius_px)
        mask = mask.embed(rim_px, rim_px, mask.width + 2 * rim_px, mask.height + 2 * rim_px)
        outline = _colorize(_thicken(mask, radius_px), self.outline_color)
        return outline.composite2(_colorize(mask, self.color), "over")

    def _mask(self, font_px: float) -> pyvips.Image:
        """The text in white on black, cropped to the visible part."""
        for file in font_files()[1:]:
            _register_font(str(file))
        try:
            mask = pyvips.Image.text(
                escape(self.text, quote=False),  # Pango parses it as markup
                font=f"{FONT_NAME} {font_px:.3f}",
                fontfile=str(font_files()[0]),
                dpi=_DPI,
                align="centre",
                spacing=round(_LINE_GAP_EM * font_px),
            )
        except pyvips.Error as error:
            if "no text to render" in error.detail:
                raise InvalidRequestError("text: it has no visible characters.") from error
            raise
        # Without line_art the edges of fine strokes count as noise, and a mask of less than three pixels is refused.
        left, top, width, height = mask.find_trim(threshold=1, background=0, line_art=True)
        if not width:
            raise InvalidRequestError("text: it has no visible characters.")
        return mask.crop(left, top, width, height)


def check_drawable(text: str) -> None:
    """Raises InvalidRequestError for characters that would be drawn as empty boxes."""
    missing = missing_characters(text)
    if missing:
        names = (f"U+{ord(letter):04X}" if unicodedata.category(letter) == "Cc" else letter for letter in missing)
        raise InvalidRequestError(f"text: the font does not contain these characters: {' '.join(names)}")


@cache
def _register_font(file: str) -> None:
    """Adds a font to the text engine, which loads one file per text and keeps it for later texts."""
    pyvips.Image.text(".", font=f"{FONT_NAME} {MIN_FONT_PX}", fontfile=file, dpi=_DPI)


def _thicken(mask: pyvips.Image, radius_px: float) -> pyvips.Image:
    """The mask dilated by a round brush of this radius."""
    shrink = max(1.0, radius_px / _MAX_BRUSH_PX)
    small = mask.resize(1 / shrink) if shrink > 1 else mask
    brush = _disc(radius_px / shrink)
    grown = small.conv(brush, precision="float").cast("uchar")
    if shrink > 1:
        grown = grown.thumbnail_image(mask.width, height=mask.height, size="force")
    return grown


def _disc(radius_px: float) -> pyvips.Image:
    """A round brush: weight 1 inside, falling to 0 at its edge."""
    limit = math.ceil(radius_px)
    side = range(-limit, limit + 1)
    return pyvips.Image.new_from_array(
        [[min(1.0, max(0.0, radius_px + 0.5 - math.hypot(x, y))) for x in side] for y in side]
    )


def _colorize(mask: pyvips.Image, color: RgbaColor) -> pyvips.Image:
    """The color in RGBA, with the mask as its opacity."""
    plain = mask.new_from_image(list(color[:3])).copy(interpretation="srgb")
    return plain.bandjoin(mask.linear(color.alpha / 255, 0, uchar=True))
