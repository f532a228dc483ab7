"""Scales an image to a width, a height or a box, or cuts a part out of it."""

import pyvips

from darkroom.contracts.image_params import ResizeParams
from darkroom.contracts.operations import Operation
from darkroom.images.color import parse_colour
from darkroom.images.framing import cropped, cut, padded
from darkroom.images.open import Picture
from darkroom.images.save import open_for, written
from darkroom.jobs.worker import bind
from darkroom.media import geometry
from darkroom.media.geometry import ResizePlan, Size
from darkroom.media.task import Rendition, Task


def resize(task: Task, params: ResizeParams) -> list[Rendition]:
    """One image of the size asked for."""
    picture = cropped(open_for(task, params), params.crop, task)
    return [written(_framed(picture, params, task), params, task)]


def plan(image: Size, params: ResizeParams) -> ResizePlan:
    """How an image of this size becomes what was asked for."""
    if params.width is None and params.height is None:
        return ResizePlan(image, image)
    if params.fit in ("contain", "inside") or params.width is None or params.height is None:
        return geometry.plan_contain(image, params.width, params.height, upscale=params.upscale)
    box = Size(params.width, params.height)
    fit = {"cover": geometry.plan_cover, "pad": geometry.plan_pad}.get(params.fit, geometry.plan_fill)
    return fit(image, box, upscale=params.upscale)


def _framed(picture: Picture, params: ResizeParams, task: Task) -> pyvips.Image:
    planned = plan(picture.size, params)
    if params.fit == "pad":
        background = parse_colour(params.background)
        return padded(picture, planned, task, gravity=params.gravity, background=background)
    return cut(picture, planned, task, gravity=params.gravity, focal=params.focal_point)


handler = bind(Operation.RESIZE, resize)
