"""Fits a source image into a frame: crops, scales and pads it."""

from typing import cast

import pyvips

from darkroom.contracts.image_params import FocalPoint, Gravity, Position, Region
from darkroom.images.color import RgbaColor, convert_to_rgb
from darkroom.images.open import SourceImage
from darkroom.images.vips import copy_to_memory, map_frames, map_vips_errors
from darkroom.media.geometry import Box, ResizePlan, Size, align, center_on, resolve_region, source_box
from darkroom.media.task import Task

#: libvips' names for the ways to find the most interesting part.
_INTERESTING: dict[Gravity, str] = {"smart": "attention", "entropy": "entropy"}

#: Radius of the interpolation kernel when an image is enlarged.
_KERNEL_PX = 3


def crop_region(source: SourceImage, region: Region | None, task: Task) -> SourceImage:
    """The requested region of the image, or all of it. Raises InvalidRequestError if it extends beyond the image."""
    return source if region is None else source.crop_to(resolve_region(region, source.size), task)


def scale_and_crop(
    source: SourceImage, plan: ResizePlan, task: Task, *, gravity: Gravity = "center", focal: FocalPoint | None = None
) -> pyvips.Image:
    """The image scaled and cropped as planned; all frames of an animation are cropped at the same place."""
    too_many = plan.scaled_size.pixels * source.frames > source.limits.pixels
    if too_many and plan.result_size != plan.scaled_size and (focal is not None or gravity not in _INTERESTING):
        return _crop_before_scaling(source, plan, _requested_offset(plan, gravity, focal), task)
    image = source.scale_to(plan.scaled_size)
    if plan.result_size == plan.scaled_size:
        return image
    with map_vips_errors():
        if focal is None and gravity in _INTERESTING:
            image = copy_to_memory(image, task)
        left, top = _crop_offset(image, plan, gravity, focal)
        return map_frames(image, lambda frame: frame.crop(left, top, *plan.result_size), task)


def _crop_offset(image: pyvips.Image, plan: ResizePlan, gravity: Gravity, focal: FocalPoint | None) -> tuple[int, int]:
    """Left and top of the part to keep."""
    if focal is not None or gravity not in _INTERESTING:
        return _requested_offset(plan, gravity, focal)
    first_frame = image.crop(0, 0, *plan.scaled_size).copy(xoffset=0, yoffset=0)
    cropped = first_frame.smartcrop(*plan.result_size, interesting=_INTERESTING[gravity])
    return -cropped.xoffset, -cropped.yoffset


def _requested_offset(plan: ResizePlan, gravity: Gravity, focal: FocalPoint | None) -> tuple[int, int]:
    """Left and top of the part that was requested by its position."""
    if focal is not None:
        return center_on(focal, plan.scaled_size, plan.result_size)
    return align(plan.scaled_size, plan.result_size, cast(Position, gravity), 0)


def _crop_before_scaling(source: SourceImage, plan: ResizePlan, offset: tuple[int, int], task: Task) -> pyvips.Image:
    """Crops first, for a long, narrow image that would have too many pixels if all of it were scaled."""
    box = source_box(Box(*offset, *plan.result_size), plan.scaled_size, source.size, margin=_KERNEL_PX)
    factors = plan.scaled_size.width / source.size.width, plan.scaled_size.height / source.size.height
    scaled = Size(round(box.width * factors[0]), round(box.height * factors[1]))
    image = source.crop_to(box, task).scale_to(scaled)
    left, top = offset[0] - round(box.left * factors[0]), offset[1] - round(box.top * factors[1])
    left, top = min(left, scaled.width - plan.result_size.width), min(top, scaled.height - plan.result_size.height)
    with map_vips_errors():
        return map_frames(image, lambda frame: frame.crop(max(left, 0), max(top, 0), *plan.result_size), task)


def scale_and_pad(
    source: SourceImage, plan: ResizePlan, task: Task, *, gravity: Gravity, background: RgbaColor
) -> pyvips.Image:
    """The image scaled as planned, on a larger canvas of one color."""
    image = source.scale_to(plan.scaled_size)
    position = cast(Position, "center" if gravity in _INTERESTING else gravity)
    left, top = align(plan.result_size, plan.scaled_size, position, 0)
    with map_vips_errors():
        image = convert_to_rgb(image)
        if background.alpha < 255 and not image.hasalpha():
            image = image.addalpha()
        color = list(background) if image.hasalpha() else background.on_white

        def embed(frame: pyvips.Image) -> pyvips.Image:
            return frame.embed(left, top, *plan.result_size, extend="background", background=color)

        return map_frames(image, embed, task)
