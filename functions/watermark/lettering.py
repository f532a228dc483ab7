"""Text drawn by libvips' own text engine (Pango), which joins, orders and places the letters of every script."""

import math
import unicodedata
from functools import cache
from html import escape
from typing import NamedTuple

import pyvips

from darkroom.errors import InvalidRequestError
from darkroom.images.color import Colour
from darkroom.images.vips import translated
from darkroom.media.geometry import Size
from functions.watermark.fonts import FACE, font_files, undrawable

#: Most pixels that letters are drawn with; larger ones are scaled up.
MOST_DRAWN_PIXELS = 16_000_000

#: Sizes of the font in pixels: for measuring, and the least at which letters are drawn before they are scaled down.
MEASURING_PX, LEAST_PX = 100.0, 8.0

#: Largest radius with which an outline is drawn; thicker ones are drawn smaller and scaled up, soft as they are.
_BRUSH_PX = 8.0

#: One point is one pixel.
_DPI = 72

_LINE_GAP_EM = 0.2


class Lettering(NamedTuple):
    """A text, its colours, and the thickness of its outline in ems."""

    text: str
    ink: Colour
    outline_ink: Colour
    outline_em: float

    def measured(self) -> Size:
        """Its size at `MEASURING_PX`, the outline included. Raises InvalidRequestError when it has no ink."""
        with translated():
            mask = self._mask(MEASURING_PX)
        rim = 2 * math.ceil(self.outline_em * MEASURING_PX)
        return Size(mask.width + rim, mask.height + rim)

    def drawn(self, size: Size, font_px: float) -> pyvips.Image:
        """In RGBA with a font of `font_px`, not larger than `size`."""
        drawn_px = max(LEAST_PX, font_px * min(1.0, math.sqrt(MOST_DRAWN_PIXELS / size.pixels)))
        with translated():
            image = self._inked(drawn_px)
            if image.width > size.width or image.height > size.height or drawn_px < font_px:
                image = image.thumbnail_image(size.width, height=size.height, size="force")
            return image.copy_memory()

    def _inked(self, font_px: float) -> pyvips.Image:
        mask = self._mask(font_px)
        radius_px = self.outline_em * font_px
        if not radius_px:
            return _filled(mask, self.ink)
        rim_px = math.ceil(radius_px)
        mask = mask.embed(rim_px, rim_px, mask.width + 2 * rim_px, mask.height + 2 * rim_px)
        return _filled(_thickened(mask, radius_px), self.outline_ink).composite2(_filled(mask, self.ink), "over")

    def _mask(self, font_px: float) -> pyvips.Image:
        """White where there is ink, cut to it."""
        for file in font_files()[1:]:
            _known(str(file))
        try:
            mask = pyvips.Image.text(
                escape(self.text, quote=False),  # Pango would take it for markup
                font=f"{FACE} {font_px:.3f}",
                fontfile=str(font_files()[0]),
                dpi=_DPI,
                align="centre",
                spacing=round(_LINE_GAP_EM * font_px),
            )
        except pyvips.Error as error:
            if "no text to render" in error.detail:
                raise InvalidRequestError("text: there is nothing to draw in it.") from error
            raise
        # As line art: else the edges of fine strokes pass for noise, and a mask of less than three pixels is refused.
        left, top, width, height = mask.find_trim(threshold=1, background=0, line_art=True)
        if not width:
            raise InvalidRequestError("text: there is nothing to draw in it.")
        return mask.crop(left, top, width, height)


def check_letters(text: str) -> None:
    """Raises InvalidRequestError for characters that would be drawn as empty boxes."""
    unknown = undrawable(text)
    if unknown:
        names = (f"U+{ord(letter):04X}" if unicodedata.category(letter) == "Cc" else letter for letter in unknown)
        raise InvalidRequestError(f"text: the font has no letters for {' '.join(names)}")


@cache
def _known(file: str) -> None:
    """Makes a further font known to the text engine, which takes one with each text and then remembers it."""
    pyvips.Image.text(".", font=f"{FACE} {LEAST_PX}", fontfile=file, dpi=_DPI)


def _thickened(mask: pyvips.Image, radius_px: float) -> pyvips.Image:
    """The mask grown by `radius_px` all around: whatever a round brush of that radius touches."""
    shrink = max(1.0, radius_px / _BRUSH_PX)
    small = mask.resize(1 / shrink) if shrink > 1 else mask
    brush = _disc(radius_px / shrink)
    grown = small.conv(brush, precision="float").cast("uchar")
    if shrink > 1:
        grown = grown.thumbnail_image(mask.width, height=mask.height, size="force")
    return grown


def _disc(radius_px: float) -> pyvips.Image:
    """A round brush of whole weights, soft at its edge."""
    reach = math.ceil(radius_px)
    side = range(-reach, reach + 1)
    return pyvips.Image.new_from_array(
        [[min(1.0, max(0.0, radius_px + 0.5 - math.hypot(x, y))) for x in side] for y in side]
    )


def _filled(mask: pyvips.Image, ink: Colour) -> pyvips.Image:
    colour = mask.new_from_image(list(ink[:3])).copy(interpretation="srgb")
    return colour.bandjoin(mask.linear(ink.alpha / 255, 0, uchar=True))
