"""Runs video_thumbnail."""

from pathlib import Path

from PIL import Image, ImageStat

from darkroom.contracts.video_params import VideoThumbnailParams
from darkroom.media.task import Rendition
from functions.video_thumbnail.app import video_thumbnail
from tests.support.image_checks import open_result
from tests.support.sources import make_task


def render(video: Path, folder: Path, **params: object) -> list[Rendition]:
    """All renditions of a video."""
    return video_thumbnail(make_task(video, folder), VideoThumbnailParams.model_validate(params))


def take_frame(video: Path, folder: Path, **params: object) -> Image.Image:
    """The only frame that is taken from a video, as a checked image."""
    (rendition,) = render(video, folder, **params)
    return open_result(rendition)


def brightness(image: Image.Image) -> float:
    """Mean brightness from 0 to 255."""
    return ImageStat.Stat(image.convert("L")).mean[0]


def brightness_after(frames: int) -> float:
    """The brightness in the clips `slow.*` so many frames after a key frame, from 0 to 255."""
    return (40 + 16 * frames - 16) * 255 / 219
