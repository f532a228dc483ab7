"""Puts a text or another image onto an image."""

import math
from typing import NamedTuple

import pyvips

from darkroom.contracts.image_params import Blend, WatermarkParams
from darkroom.contracts.operations import Operation
from darkroom.errors import MediaError
from darkroom.images.color import parse_color
from darkroom.images.encode import encode_result, open_source_image
from darkroom.images.open import SourceImage, open_image
from darkroom.images.vips import map_vips_errors
from darkroom.jobs.worker import bind
from darkroom.media.geometry import Size, align
from darkroom.media.task import Rendition, Task
from functions.watermark.lettering import MEASURE_FONT_PX, StyledText, check_drawable

#: The margin is never larger than this share of the image's shorter side.
MAX_MARGIN_SHARE = 0.25

#: Images up to this size are loaded into memory, so that only the area below the watermark is blended; larger ones are
#: streamed, which takes a third more time.
MAX_IN_MEMORY_BYTES = 256 * 1024 * 1024

#: libvips' names of the blend modes.
_MODES: dict[Blend, str] = {"normal": "over", "color_dodge": "colour-dodge", "color_burn": "colour-burn"}


class Stamp(NamedTuple):
    """An overlay in RGBA, its place on the image, and libvips' name of its blend mode."""

    overlay: pyvips.Image
    left: int
    top: int
    mode: str


def watermark(task: Task, params: WatermarkParams) -> list[Rendition]:
    """Returns the image at its own size with the watermark on it, or on every frame of an animation."""
    source = open_source_image(task, params)
    margin = min(params.margin, int(min(source.size) * MAX_MARGIN_SHARE))
    room = Size(source.size.width - 2 * margin, source.size.height - 2 * margin)
    if params.text is not None:
        overlay = _draw_text(params, source.size, room)
    else:
        overlay = _open_overlay(task, params, source.size, room)
    stamp = _prepare_stamp(overlay, params, source.size, margin)
    return [encode_result(_apply_stamp(source, stamp, task), params, task)]


def fit_overlay(overlay: Size, factor: float, room: Size, rotation: float) -> Size:
    """The size of the overlay times `factor`, reduced if it would not fit into `room` after rotation in degrees."""
    angle = math.radians(rotation)
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = overlay.width * factor, overlay.height * factor
    reduction = min(1.0, room.width / (width * cos + height * sin), room.height / (width * sin + height * cos))
    size = Size(max(1, round(width * reduction)), max(1, round(height * reduction)))
    return size if rotation % 180 else Size(min(size.width, room.width), min(size.height, room.height))


def _open_overlay(task: Task, params: WatermarkParams, canvas: Size, room: Size) -> pyvips.Image:
    """The overlay image in RGBA."""
    try:
        overlay = open_image(task.fetch(params.image_file_id or ""), task.limits)
        factor = max(1, round(canvas.width * params.scale)) / overlay.size.width
        with map_vips_errors():
            image = overlay.scale_to(fit_overlay(overlay.size, factor, room, params.rotation)).colourspace("srgb")
            image = image if image.hasalpha() else image.addalpha()
            # Only its pixels: otherwise libvips would merge its metadata into the result.
            pixels = pyvips.Image.new_from_memory(image.write_to_memory(), image.width, image.height, 4, "uchar")
            return pixels.copy(interpretation="srgb")
    except MediaError as error:
        raise type(error)(f"The watermark image cannot be used. {error.message}") from error


def _draw_text(params: WatermarkParams, canvas: Size, room: Size) -> pyvips.Image:
    """The text in RGBA."""
    text = "\n".join(" ".join(line.split()) for line in (params.text or "").strip().splitlines())
    check_drawable(text)
    styled = StyledText(text, parse_color(params.color), parse_color(params.outline_color), params.outline)
    measured = styled.measure()
    factor = max(1, round(canvas.width * params.scale)) / measured.width
    if params.font_size is not None:
        factor = params.font_size / MEASURE_FONT_PX
    size = fit_overlay(measured, factor, room, params.rotation)
    return styled.draw(size, MEASURE_FONT_PX * size.width / measured.width)


def _prepare_stamp(overlay: pyvips.Image, params: WatermarkParams, canvas: Size, margin: int) -> Stamp:
    """Rotates, fades, places and repeats the overlay as the parameters ask."""
    with map_vips_errors():
        overlay = _rotate(overlay, params.rotation, canvas)
        overlay = overlay.linear([1, 1, 1, params.opacity], [0, 0, 0, 0], uchar=True)
        left, top = align(canvas, Size(overlay.width, overlay.height), params.position, margin)
        if params.tile:
            overlay, left, top = _tile(overlay, canvas, (left, top), params.tile_gap), 0, 0
    return Stamp(overlay, left, top, _MODES.get(params.blend, params.blend.replace("_", "-")))


def _rotate(overlay: pyvips.Image, rotation: float, canvas: Size) -> pyvips.Image:
    """Rotated clockwise by degrees, with antialiased edges, and never larger than the canvas."""
    if not rotation:
        return overlay
    rotated = overlay.premultiply().rotate(rotation, background=[0, 0, 0, 0]).unpremultiply().cast("uchar")
    rotated = rotated.copy(interpretation="srgb")
    width, height = min(rotated.width, canvas.width), min(rotated.height, canvas.height)
    return rotated.crop((rotated.width - width) // 2, (rotated.height - height) // 2, width, height).copy_memory()


def _tile(overlay: pyvips.Image, canvas: Size, at: tuple[int, int], gap: float) -> pyvips.Image:
    """An overlay as large as the canvas, with the watermark at `at` and repeated in all directions."""
    gap_px = round(gap * max(overlay.width, overlay.height))
    width, height = overlay.width + gap_px, overlay.height + gap_px
    cell = overlay.embed(0, 0, width, height, extend="background", background=[0, 0, 0, 0]).copy_memory()
    sheet = cell.replicate(-(-canvas.width // width) + 1, -(-canvas.height // height) + 1)
    return sheet.crop(-at[0] % width, -at[1] % height, *canvas)


def _apply_stamp(source: SourceImage, stamp: Stamp, task: Task) -> pyvips.Image:
    in_memory = source.frames == 1 and source.size.pixels * 4 <= MAX_IN_MEMORY_BYTES
    image = source.full_size(task, in_memory=in_memory)
    overlay, left, top, _ = stamp
    with map_vips_errors():
        image = image.colourspace("srgb")
        if in_memory:
            below = image.crop(left, top, overlay.width, overlay.height)
            return image.insert(_blend(below, stamp), left, top)
        sheet = overlay.embed(left, top, *source.size, extend="background", background=[0, 0, 0, 0])
        return _blend(image, stamp._replace(overlay=sheet.replicate(1, source.frames)))


def _blend(base: pyvips.Image, stamp: Stamp) -> pyvips.Image:
    """The overlay blended with `base`; an opaque base stays opaque."""
    image = base.composite2(stamp.overlay, stamp.mode)
    return image if base.hasalpha() else image.extract_band(0, n=base.bands)


handler = bind(Operation.WATERMARK, watermark)
