"""Checks of result images with Pillow, which shares no code with the library that makes them."""

import io
from pathlib import Path

import pyvips
from PIL import Image, ImageChops, ImageStat

from darkroom.images.encode import encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task
from tests.support.sources import make_task_for


def content_of(rendition: Rendition) -> bytes:
    """The bytes of a rendition that is in memory."""
    assert isinstance(rendition.content, bytes)
    return rendition.content


def open_result(rendition: Rendition) -> Image.Image:
    """The result, decoded; its declared properties match its bytes, and it has no metadata."""
    image = Image.open(io.BytesIO(content_of(rendition)))
    image.load()
    assert rendition.media_type == Image.MIME[image.format or ""]
    assert (rendition.width_px, rendition.height_px) == image.size
    assert "exif" not in image.info
    assert not image.getexif()
    assert "icc_profile" not in image.info
    return image


def scale(content: bytes, folder: Path, size: Size) -> Image.Image:
    """The image scaled to `size` and encoded losslessly."""
    task = make_task_for(content, folder)
    return _encode(open_image(task.source, task.limits).scale_to(size), task)


def decode(content: bytes, folder: Path, *, in_memory: bool) -> Image.Image:
    """The image at its own size, encoded losslessly."""
    task = make_task_for(content, folder)
    return _encode(open_image(task.source, task.limits).full_size(task, in_memory=in_memory), task)


def _encode(image: pyvips.Image, task: Task) -> Image.Image:
    return open_result(encode_image(image, "png", quality=80, task=task))


def count_frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def frames_of(image: Image.Image) -> list[Image.Image]:
    """Every frame in RGBA as it is displayed."""
    frames = []
    for number in range(count_frames(image)):
        image.seek(number)
        frames.append(image.convert("RGBA"))
    return frames


def delays_of(image: Image.Image) -> list[int]:
    """The delay of every frame in milliseconds."""
    delays = []
    for number in range(count_frames(image)):
        image.seek(number)
        image.load()
        delays.append(image.info["duration"])
    return delays


def pixel_of(image: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    """The channels of one pixel of an image that has several."""
    pixel = image.getpixel(place)
    assert isinstance(pixel, tuple)
    return pixel


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two images of one size over all channels, from 0 to 255; both on a white background."""
    assert one.size == other.size
    means = ImageStat.Stat(ImageChops.difference(_on_white(one), _on_white(other))).mean
    return sum(means) / len(means)


def changed_box(one: Image.Image, other: Image.Image, *, more_than: int = 0) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the area in which two images differ, in pixels."""
    gray = ImageChops.difference(_on_white(one), _on_white(other)).convert("L")
    return gray.point(lambda level: 255 if level > more_than else 0).getbbox()


def _on_white(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layers).convert("RGB")
