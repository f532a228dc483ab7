"""Lays a text or another picture over an image."""

import math
from functools import lru_cache
from typing import NamedTuple

import pyvips
from PIL import Image, ImageDraw, ImageFont

from darkroom.config import layer_folders
from darkroom.contracts import Operation, WatermarkParams
from darkroom.errors import ConfigurationError, InvalidRequestError, MediaError
from darkroom.geometry import Size, place
from darkroom.images import Picture, can_animate, choose_format, open_picture, save
from darkroom.task import Rendition, Task
from darkroom.vips import translated
from darkroom.worker import bind

FONT = "DejaVuSans.ttf"

#: The margin gives way on small pictures: it never takes more than this part of the shorter side.
MOST_MARGIN = 0.25

#: Pictures up to this size are held in memory, so that only what lies under the watermark is composed; larger ones
#: stream through, which takes a third more time.
HELD_BYTES = 256 * 1024 * 1024

#: White letters with a dark, thin outline can be read on any ground.
INK, OUTLINE = (255, 255, 255, 255), (0, 0, 0, 180)
OUTLINE_EM, LINE_GAP_EM = 0.04, 0.2

#: Most pixels that letters are drawn with; larger ones are scaled up.
MOST_DRAWN_PIXELS = 16_000_000

#: Sizes of the font in pixels: for measuring, and the least at which letters are drawn before they are scaled down.
MEASURING_PX, LEAST_PX = 50.0, 8.0


class Lettering(NamedTuple):
    """A text in a font, with its outline and the gap between its lines, in pixels."""

    text: str
    font: ImageFont.FreeTypeFont
    outline: float
    gap: float

    def drawn(self) -> Image.Image:
        """The text in RGBA, cut to its ink. Raises InvalidRequestError when there is none."""
        ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
        left, top, right, bottom = ruler.multiline_textbbox(
            (0, 0), self.text, self.font, spacing=self.gap, align="center", stroke_width=self.outline
        )
        canvas = Image.new("RGBA", (math.ceil(right - left), math.ceil(bottom - top)))
        ImageDraw.Draw(canvas).multiline_text(
            (-left, -top),
            self.text,
            INK,
            self.font,
            spacing=self.gap,
            align="center",
            stroke_width=self.outline,
            stroke_fill=OUTLINE,
        )
        ink = canvas.getbbox()
        if ink is None:
            raise InvalidRequestError("text: there is nothing to draw in it.")
        return canvas.crop(ink)


def watermark(task: Task, params: WatermarkParams) -> list[Rendition]:
    """The image at its own size with the watermark on it; an animation has it on every frame."""
    fmt = choose_format(params.format, task.source.media_type)
    picture = open_picture(task.source, task.limits, animated=can_animate(fmt))
    margin = min(params.margin, int(min(picture.size) * MOST_MARGIN))
    room = Size(picture.size.width - 2 * margin, picture.size.height - 2 * margin)
    width = max(1, round(picture.size.width * params.scale))
    if params.image_file_id is not None:
        overlay = _image(task, params.image_file_id, width, room)
    else:
        overlay = _text(params.text or "", width, room)
    at = place(picture.size, Size(overlay.width, overlay.height), params.position, margin)
    image = _stamped(picture, overlay.linear([1, 1, 1, params.opacity], [0, 0, 0, 0], uchar=True), at, task)
    return [save(image, fmt, quality=params.quality, task=task)]


def _size(own: Size, width: int, room: Size) -> Size:
    """What a watermark of this shape gets: the width asked for, smaller where that leaves no room."""
    return Size(width, max(1, round(own.height * width / own.width))).shrunk_into(room)


def _image(task: Task, file_id: str, width: int, room: Size) -> pyvips.Image:
    """The other picture in RGBA."""
    try:
        mark = open_picture(task.fetch(file_id), task.limits)
        with translated():
            image = mark.scaled(_size(mark.size, width, room)).colourspace("srgb")
            return (image if image.hasalpha() else image.addalpha()).copy_memory()
    except MediaError as error:
        raise type(error)(f"The picture to lay over cannot be used. {error.message}") from error


def _text(text: str, width: int, room: Size) -> pyvips.Image:
    """The text in RGBA."""
    text = "\n".join(" ".join(line.split()) for line in text.strip().splitlines())
    _check_glyphs(text)
    measured = Size(*_lettering(text, MEASURING_PX).drawn().size)
    size = _size(measured, width, room)
    exact_px = MEASURING_PX * size.width / measured.width
    drawn = _lettering(text, max(LEAST_PX, exact_px * min(1.0, math.sqrt(MOST_DRAWN_PIXELS / size.pixels)))).drawn()
    image = pyvips.Image.new_from_memory(drawn.tobytes(), drawn.width, drawn.height, len(drawn.mode), "uchar")
    image = image.copy(interpretation="srgb")
    if drawn.width > size.width or drawn.height > size.height or size.pixels > MOST_DRAWN_PIXELS:
        image = image.thumbnail_image(size.width, height=size.height, size="force")
    return image


def _lettering(text: str, size_px: float) -> Lettering:
    return Lettering(text, _font(size_px), OUTLINE_EM * size_px, LINE_GAP_EM * size_px)


@lru_cache(maxsize=4)
def _font(size_px: float) -> ImageFont.FreeTypeFont:
    folders = layer_folders("fonts")
    for folder in folders:
        if (folder / FONT).is_file():
            return ImageFont.truetype(folder / FONT, size_px)
    raise ConfigurationError(f"The font {FONT} is in none of these folders: {', '.join(map(str, folders))}.")


def _check_glyphs(text: str) -> None:
    """Raises InvalidRequestError for characters that the font would draw as empty boxes."""
    font = _font(MEASURING_PX)
    missing = font.getmask("\uffff")
    unknown = [
        character
        for character in dict.fromkeys(text.replace("\n", ""))
        if (mask := font.getmask(character)).size == missing.size and bytes(mask) == bytes(missing)
    ]
    if unknown:
        raise InvalidRequestError(f"text: the font has no letters for {' '.join(unknown)}")


def _stamped(picture: Picture, overlay: pyvips.Image, at: tuple[int, int], task: Task) -> pyvips.Image:
    left, top = at
    held = picture.frames == 1 and picture.size.pixels * 4 <= HELD_BYTES
    base = picture.whole(task, held=held)
    with translated():
        base = base.colourspace("srgb")
        if held:
            under = base.crop(left, top, overlay.width, overlay.height)
            return base.insert(_over(under, overlay), left, top)
        sheet = overlay.embed(left, top, *picture.size, extend="background", background=[0, 0, 0, 0])
        return _over(base, sheet.replicate(1, picture.frames))


def _over(base: pyvips.Image, overlay: pyvips.Image) -> pyvips.Image:
    """`overlay` (RGBA) on `base`, which stays opaque when it was."""
    image = base.composite2(overlay, "over")
    return image if base.hasalpha() else image.extract_band(0, n=base.bands)


handler = bind(Operation.WATERMARK, watermark)
