"""Makes a small picture of exact size, the overhang cropped."""

from darkroom import geometry
from darkroom.contracts import Operation, ThumbnailParams
from darkroom.framing import cropped, cut
from darkroom.geometry import Size
from darkroom.images import open_for, written
from darkroom.task import Rendition, Task
from darkroom.worker import bind


def thumbnail(task: Task, params: ThumbnailParams) -> list[Rendition]:
    """One image of exactly the size asked for, enlarged where the source is smaller."""
    picture = cropped(open_for(task, params), params.crop, task)
    plan = geometry.cover(picture.size, Size(params.width, params.height), upscale=True)
    image = cut(picture, plan, task, gravity=params.gravity, focal=params.focal_point)
    return [written(image, params, task)]


handler = bind(Operation.THUMBNAIL, thumbnail)
