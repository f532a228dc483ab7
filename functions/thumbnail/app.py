"""Makes a small image of an exact size; what does not fit is cropped."""

from darkroom.contracts.image_params import ThumbnailParams
from darkroom.contracts.operations import Operation
from darkroom.images.encode import encode_result, open_source_image
from darkroom.images.framing import crop_region, scale_and_crop
from darkroom.jobs.worker import bind
from darkroom.media.geometry import Size, plan_cover
from darkroom.media.task import Rendition, Task


def thumbnail(task: Task, params: ThumbnailParams) -> list[Rendition]:
    """Returns one image of exactly the requested size; a smaller source is enlarged."""
    source = crop_region(open_source_image(task, params), params.crop, task)
    plan = plan_cover(source.size, Size(params.width, params.height), upscale=True)
    image = scale_and_crop(source, plan, task, gravity=params.gravity, focal=params.focal_point)
    return [encode_result(image, params, task)]


handler = bind(Operation.THUMBNAIL, thumbnail)
