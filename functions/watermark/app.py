"""Lays a text or another picture over an image."""

import math
from typing import NamedTuple

import pyvips

from darkroom.contracts.image_params import Blend, WatermarkParams
from darkroom.contracts.operations import Operation
from darkroom.errors import MediaError
from darkroom.images.color import parse_colour
from darkroom.images.open import Picture, open_picture
from darkroom.images.save import open_for, written
from darkroom.images.vips import translated
from darkroom.jobs.worker import bind
from darkroom.media.geometry import Size, align
from darkroom.media.task import Rendition, Task
from functions.watermark.lettering import MEASURING_PX, Lettering, check_letters

#: The margin gives way on small pictures: it never takes more than this part of the shorter side.
MOST_MARGIN = 0.25

#: Pictures up to this size are held in memory, so that only what lies under the watermark is composed; larger ones
#: stream through, which takes a third more time.
HELD_BYTES = 256 * 1024 * 1024

#: What libvips calls the ways to mix two colours.
_MODES: dict[Blend, str] = {"normal": "over", "color_dodge": "colour-dodge", "color_burn": "colour-burn"}


class Stamp(NamedTuple):
    """What is laid over a picture: an image in RGBA, where, and how its colours mix."""

    overlay: pyvips.Image
    left: int
    top: int
    mode: str


def watermark(task: Task, params: WatermarkParams) -> list[Rendition]:
    """The image at its own size with the watermark on it; an animation has it on every frame."""
    picture = open_for(task, params)
    margin = min(params.margin, int(min(picture.size) * MOST_MARGIN))
    room = Size(picture.size.width - 2 * margin, picture.size.height - 2 * margin)
    overlay = _text(params, picture.size, room) if params.text is not None else _image(task, params, picture.size, room)
    stamp = _placed(overlay, params, picture.size, margin)
    return [written(_stamped(picture, stamp, task), params, task)]


def fitted(own: Size, wanted: float, room: Size, rotation: float) -> Size:
    """A watermark of this shape times `wanted`, smaller where it would not fit into the room when it is turned."""
    turn = math.radians(rotation)
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    width, height = own.width * wanted, own.height * wanted
    factor = min(1.0, room.width / (width * cos + height * sin), room.height / (width * sin + height * cos))
    size = Size(max(1, round(width * factor)), max(1, round(height * factor)))
    return size if rotation % 180 else Size(min(size.width, room.width), min(size.height, room.height))


def _image(task: Task, params: WatermarkParams, canvas: Size, room: Size) -> pyvips.Image:
    """The other picture in RGBA."""
    try:
        mark = open_picture(task.fetch(params.image_file_id or ""), task.limits)
        wanted = max(1, round(canvas.width * params.scale)) / mark.size.width
        with translated():
            image = mark.scaled(fitted(mark.size, wanted, room, params.rotation)).colourspace("srgb")
            image = image if image.hasalpha() else image.addalpha()
            # Its pixels alone: else libvips lets the result tell what this picture tells.
            bare = pyvips.Image.new_from_memory(image.write_to_memory(), image.width, image.height, 4, "uchar")
            return bare.copy(interpretation="srgb")
    except MediaError as error:
        raise type(error)(f"The picture to lay over cannot be used. {error.message}") from error


def _text(params: WatermarkParams, canvas: Size, room: Size) -> pyvips.Image:
    """The text in RGBA."""
    text = "\n".join(" ".join(line.split()) for line in (params.text or "").strip().splitlines())
    check_letters(text)
    lettering = Lettering(text, parse_colour(params.color), parse_colour(params.outline_color), params.outline)
    measured = lettering.measured()
    wanted = max(1, round(canvas.width * params.scale)) / measured.width
    if params.font_size is not None:
        wanted = params.font_size / MEASURING_PX
    size = fitted(measured, wanted, room, params.rotation)
    return lettering.drawn(size, MEASURING_PX * size.width / measured.width)


def _placed(overlay: pyvips.Image, params: WatermarkParams, canvas: Size, margin: int) -> Stamp:
    with translated():
        overlay = _turned(overlay, params.rotation, canvas)
        overlay = overlay.linear([1, 1, 1, params.opacity], [0, 0, 0, 0], uchar=True)
        left, top = align(canvas, Size(overlay.width, overlay.height), params.position, margin)
        if params.tile:
            overlay, left, top = _tiled(overlay, canvas, (left, top), params.tile_gap), 0, 0
    return Stamp(overlay, left, top, _MODES.get(params.blend, params.blend.replace("_", "-")))


def _turned(overlay: pyvips.Image, rotation: float, canvas: Size) -> pyvips.Image:
    """Clockwise; half transparent at its edges, and never larger than the canvas."""
    if not rotation:
        return overlay
    turned = overlay.premultiply().rotate(rotation, background=[0, 0, 0, 0]).unpremultiply().cast("uchar")
    turned = turned.copy(interpretation="srgb")
    width, height = min(turned.width, canvas.width), min(turned.height, canvas.height)
    return turned.crop((turned.width - width) // 2, (turned.height - height) // 2, width, height).copy_memory()


def _tiled(overlay: pyvips.Image, canvas: Size, at: tuple[int, int], gap: float) -> pyvips.Image:
    """As large as the canvas, with the watermark at `at` and repeated in all directions."""
    gap_px = round(gap * max(overlay.width, overlay.height))
    width, height = overlay.width + gap_px, overlay.height + gap_px
    cell = overlay.embed(0, 0, width, height, extend="background", background=[0, 0, 0, 0]).copy_memory()
    sheet = cell.replicate(-(-canvas.width // width) + 1, -(-canvas.height // height) + 1)
    return sheet.crop(-at[0] % width, -at[1] % height, *canvas)


def _stamped(picture: Picture, stamp: Stamp, task: Task) -> pyvips.Image:
    held = picture.frames == 1 and picture.size.pixels * 4 <= HELD_BYTES
    base = picture.whole(task, held=held)
    overlay, left, top, _ = stamp
    with translated():
        base = base.colourspace("srgb")
        if held:
            under = base.crop(left, top, overlay.width, overlay.height)
            return base.insert(_over(under, stamp), left, top)
        sheet = overlay.embed(left, top, *picture.size, extend="background", background=[0, 0, 0, 0])
        return _over(base, stamp._replace(overlay=sheet.replicate(1, picture.frames)))


def _over(base: pyvips.Image, stamp: Stamp) -> pyvips.Image:
    """The overlay on `base`, which stays opaque when it was."""
    image = base.composite2(stamp.overlay, stamp.mode)
    return image if base.hasalpha() else image.extract_band(0, n=base.bands)


handler = bind(Operation.WATERMARK, watermark)
