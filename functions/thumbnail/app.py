"""Makes a small picture of exact size, the overhang cropped."""

from darkroom.contracts.image_params import ThumbnailParams
from darkroom.contracts.operations import Operation
from darkroom.images.framing import cropped, cut
from darkroom.images.save import open_for, written
from darkroom.jobs.worker import bind
from darkroom.media import geometry
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task


def thumbnail(task: Task, params: ThumbnailParams) -> list[Rendition]:
    """One image of exactly the size asked for, enlarged where the source is smaller."""
    picture = cropped(open_for(task, params), params.crop, task)
    plan = geometry.plan_cover(picture.size, Size(params.width, params.height), upscale=True)
    image = cut(picture, plan, task, gravity=params.gravity, focal=params.focal_point)
    return [written(image, params, task)]


handler = bind(Operation.THUMBNAIL, thumbnail)
