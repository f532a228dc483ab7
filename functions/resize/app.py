"""Resizes an image to a width, a height or a box, or crops it."""

import pyvips

from darkroom.contracts.image_params import ResizeParams
from darkroom.contracts.operations import Operation
from darkroom.images.color import parse_color
from darkroom.images.encode import encode_result, open_source_image
from darkroom.images.framing import crop_region, scale_and_crop, scale_and_pad
from darkroom.images.open import SourceImage
from darkroom.jobs.worker import bind
from darkroom.media.geometry import ResizePlan, Size, plan_contain, plan_cover, plan_fill, plan_pad
from darkroom.media.task import Rendition, Task


def resize(task: Task, params: ResizeParams) -> list[Rendition]:
    """Returns one image of the requested size."""
    source = crop_region(open_source_image(task, params), params.crop, task)
    return [encode_result(_fit(source, params, task), params, task)]


def plan_resize(image: Size, params: ResizeParams) -> ResizePlan:
    """Plans how an image of this size is scaled and cropped or padded."""
    if params.width is None and params.height is None:
        return ResizePlan(image, image)
    if params.fit in ("contain", "inside") or params.width is None or params.height is None:
        return plan_contain(image, params.width, params.height, upscale=params.upscale)
    plan = {"cover": plan_cover, "pad": plan_pad}.get(params.fit, plan_fill)
    return plan(image, Size(params.width, params.height), upscale=params.upscale)


def _fit(source: SourceImage, params: ResizeParams, task: Task) -> pyvips.Image:
    plan = plan_resize(source.size, params)
    if params.fit == "pad":
        background = parse_color(params.background)
        return scale_and_pad(source, plan, task, gravity=params.gravity, background=background)
    return scale_and_crop(source, plan, task, gravity=params.gravity, focal=params.focal_point)


handler = bind(Operation.RESIZE, resize)
