"""A picture made to fit a frame: scaled, then cut off or filled up around."""

from typing import cast

import pyvips

from darkroom.contracts.image_params import FocalPoint, Gravity, Position, Region
from darkroom.images.color import Colour, coloured
from darkroom.images.open import Picture
from darkroom.images.vips import each_frame, in_memory, translated
from darkroom.media.geometry import Box, ResizePlan, Size, align, center_on, resolve_region, source_box
from darkroom.media.task import Task

#: What libvips calls the ways to find the most interesting part.
_INTERESTING: dict[Gravity, str] = {"smart": "attention", "entropy": "entropy"}

#: How many pixels away others have a say in one when a picture is enlarged.
_KERNEL_PX = 3


def cropped(picture: Picture, region: Region | None, task: Task) -> Picture:
    """The part of the picture that everything else is done to. Raises InvalidRequestError when it is not inside."""
    return picture if region is None else picture.part(resolve_region(region, picture.size), task)


def cut(
    picture: Picture, plan: ResizePlan, task: Task, *, gravity: Gravity = "center", focal: FocalPoint | None = None
) -> pyvips.Image:
    """The picture scaled as planned, and of that the part that matters, every frame alike."""
    too_many = plan.scaled_size.pixels * picture.frames > picture.limits.pixels
    if too_many and plan.result_size != plan.scaled_size and (focal is not None or gravity not in _INTERESTING):
        return _cut_first(picture, plan, _wanted(plan, gravity, focal), task)
    image = picture.scaled(plan.scaled_size)
    if plan.result_size == plan.scaled_size:
        return image
    with translated():
        if focal is None and gravity in _INTERESTING:
            image = in_memory(image, task)
        left, top = _place(image, plan, gravity, focal)
        return each_frame(image, lambda frame: frame.crop(left, top, *plan.result_size), task)


def _place(image: pyvips.Image, plan: ResizePlan, gravity: Gravity, focal: FocalPoint | None) -> tuple[int, int]:
    if focal is not None or gravity not in _INTERESTING:
        return _wanted(plan, gravity, focal)
    first = image.crop(0, 0, *plan.scaled_size).copy(xoffset=0, yoffset=0)
    found = first.smartcrop(*plan.result_size, interesting=_INTERESTING[gravity])
    return -found.xoffset, -found.yoffset


def _wanted(plan: ResizePlan, gravity: Gravity, focal: FocalPoint | None) -> tuple[int, int]:
    """Left and top of the part that was asked for by its place."""
    if focal is not None:
        return center_on(focal, plan.scaled_size, plan.result_size)
    return align(plan.scaled_size, plan.result_size, cast(Position, gravity), 0)


def _cut_first(picture: Picture, plan: ResizePlan, at: tuple[int, int], task: Task) -> pyvips.Image:
    """The part at `at` of a picture that would have too many pixels when all of it is scaled: a long, narrow one."""
    box = source_box(Box(*at, *plan.result_size), plan.scaled_size, picture.size, margin=_KERNEL_PX)
    factors = plan.scaled_size.width / picture.size.width, plan.scaled_size.height / picture.size.height
    scaled = Size(round(box.width * factors[0]), round(box.height * factors[1]))
    image = picture.part(box, task).scaled(scaled)
    left, top = at[0] - round(box.left * factors[0]), at[1] - round(box.top * factors[1])
    left, top = min(left, scaled.width - plan.result_size.width), min(top, scaled.height - plan.result_size.height)
    with translated():
        return each_frame(image, lambda frame: frame.crop(max(left, 0), max(top, 0), *plan.result_size), task)


def padded(picture: Picture, plan: ResizePlan, task: Task, *, gravity: Gravity, background: Colour) -> pyvips.Image:
    """The picture scaled as planned, in a larger frame of one colour."""
    image = picture.scaled(plan.scaled_size)
    position = cast(Position, "center" if gravity in _INTERESTING else gravity)
    left, top = align(plan.result_size, plan.scaled_size, position, 0)
    with translated():
        image = coloured(image)
        if background.alpha < 255 and not image.hasalpha():
            image = image.addalpha()
        ink = list(background) if image.hasalpha() else background.opaque

        def embed(frame: pyvips.Image) -> pyvips.Image:
            return frame.embed(left, top, *plan.result_size, extend="background", background=ink)

        return each_frame(image, embed, task)
