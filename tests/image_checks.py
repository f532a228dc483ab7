"""Checks of result images with Pillow, which shares no code with the library that makes them."""

import io

from PIL import Image, ImageChops, ImageStat

from darkroom.media.task import Rendition


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
