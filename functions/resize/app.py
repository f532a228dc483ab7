"""Scales an image to a width, a height or a box."""

from darkroom import geometry
from darkroom.contracts import Operation, ResizeParams
from darkroom.geometry import Plan, Size
from darkroom.images import can_animate, choose_format, open_picture, save
from darkroom.task import Rendition, Task
from darkroom.worker import bind


def resize(task: Task, params: ResizeParams) -> list[Rendition]:
    """One image of the size asked for."""
    fmt = choose_format(params.format, task.source.media_type)
    picture = open_picture(task.source, task.limits, animated=can_animate(fmt))
    image = picture.cut(plan(picture.size, params), task)
    return [save(image, fmt, quality=params.quality, task=task)]


def plan(image: Size, params: ResizeParams) -> Plan:
    """How an image of this size becomes what was asked for."""
    if params.fit == "contain" or params.width is None or params.height is None:
        return geometry.contain(image, params.width, params.height, upscale=params.upscale)
    box = Size(params.width, params.height)
    fit = geometry.cover if params.fit == "cover" else geometry.fill
    return fit(image, box, upscale=params.upscale)


handler = bind(Operation.RESIZE, resize)
