"""Makes a small picture of exact size, the overhang cropped around the centre."""

from darkroom import geometry
from darkroom.contracts import Operation, ThumbnailParams
from darkroom.geometry import Size
from darkroom.images import can_animate, choose_format, open_picture, save
from darkroom.task import Rendition, Task
from darkroom.worker import bind


def thumbnail(task: Task, params: ThumbnailParams) -> list[Rendition]:
    """One image of exactly the size asked for, enlarged where the source is smaller."""
    fmt = choose_format(params.format, task.source.media_type)
    picture = open_picture(task.source, task.limits, animated=can_animate(fmt))
    plan = geometry.cover(picture.size, Size(params.width, params.height), upscale=True)
    return [save(picture.cut(plan, task), fmt, quality=params.quality, task=task)]


handler = bind(Operation.THUMBNAIL, thumbnail)
