"""Looking at results with Pillow, which knows nothing of the library that made them."""

import io

from PIL import Image, ImageChops, ImageStat

from darkroom.media.task import Rendition


def open_result(rendition: Rendition) -> Image.Image:
    """The result, decoded; what it says about itself is checked against its bytes."""
    assert isinstance(rendition.content, bytes)
    image = Image.open(io.BytesIO(rendition.content))
    image.load()
    assert rendition.media_type == Image.MIME[image.format or ""]
    assert (rendition.width_px, rendition.height_px) == image.size
    assert "exif" not in image.info
    assert not image.getexif()
    assert "icc_profile" not in image.info
    return image


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures of one size, over all channels, from 0 to 255; what lies under glass is white."""
    assert one.size == other.size
    means = ImageStat.Stat(ImageChops.difference(_on_white(one), _on_white(other))).mean
    return sum(means) / len(means)


def changed_box(one: Image.Image, other: Image.Image, *, more_than: int = 0) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the part in which two pictures differ, in pixels."""
    grey = ImageChops.difference(_on_white(one), _on_white(other)).convert("L")
    return grey.point(lambda level: 255 if level > more_than else 0).getbbox()


def _on_white(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layers).convert("RGB")
