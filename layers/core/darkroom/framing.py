"""A picture made to fit a frame: scaled, then cut off or filled up around."""

from typing import cast

import pyvips

from darkroom.colour import Colour, coloured
from darkroom.contracts import FocalPoint, Gravity, Position, Region
from darkroom.geometry import Plan, around, part, place
from darkroom.picture import Picture
from darkroom.task import Task
from darkroom.vips import each_frame, in_memory, translated

#: What libvips calls the ways to find the most interesting part.
_INTERESTING: dict[Gravity, str] = {"smart": "attention", "entropy": "entropy"}


def cropped(picture: Picture, region: Region | None, task: Task) -> Picture:
    """The part of the picture that everything else is done to. Raises InvalidRequestError when it is not inside."""
    return picture if region is None else picture.part(part(region, picture.size), task)


def cut(
    picture: Picture, plan: Plan, task: Task, *, gravity: Gravity = "center", focal: FocalPoint | None = None
) -> pyvips.Image:
    """The picture scaled as planned, and of that the part that matters, every frame alike."""
    image = picture.scaled(plan.scaled)
    if plan.crop == plan.scaled:
        return image
    with translated():
        if focal is None and gravity in _INTERESTING:
            image = in_memory(image, task)
        left, top = _place(image, plan, gravity, focal)
        return each_frame(image, lambda frame: frame.crop(left, top, *plan.crop), task)


def _place(image: pyvips.Image, plan: Plan, gravity: Gravity, focal: FocalPoint | None) -> tuple[int, int]:
    if focal is not None:
        return around(focal, plan.scaled, plan.crop)
    if gravity not in _INTERESTING:
        return place(plan.scaled, plan.crop, cast(Position, gravity), 0)
    first = image.crop(0, 0, *plan.scaled).copy(xoffset=0, yoffset=0)
    found = first.smartcrop(*plan.crop, interesting=_INTERESTING[gravity])
    return -found.xoffset, -found.yoffset


def padded(picture: Picture, plan: Plan, task: Task, *, gravity: Gravity, background: Colour) -> pyvips.Image:
    """The picture scaled as planned, in a larger frame of one colour."""
    image = picture.scaled(plan.scaled)
    position = cast(Position, "center" if gravity in _INTERESTING else gravity)
    left, top = place(plan.crop, plan.scaled, position, 0)
    with translated():
        image = coloured(image)
        if background.alpha < 255 and not image.hasalpha():
            image = image.addalpha()
        ink = list(background) if image.hasalpha() else background.opaque

        def embed(frame: pyvips.Image) -> pyvips.Image:
            return frame.embed(left, top, *plan.crop, extend="background", background=ink)

        return each_frame(image, embed, task)
