"""What kind of picture it is, by its pixels: which format holds it best."""

import pyvips

from darkroom.contracts.image_params import ImageFormat

#: In graphics more than this part of the pixels is exactly like its left neighbour; a sensor's noise forbids that.
GRAPHIC_PART = 0.5

#: AVIF halves a photograph, but takes a second for some three megapixels.
MOST_AVIF_PIXELS = 4_000_000


def fitting_format(image: pyvips.Image) -> ImageFormat:
    """The format for an image in memory: webp moves and is see-through, png is exact, avif is small, jpeg is fast."""
    if image.height > image.get_page_height():
        return "webp"
    if _flat_part(image) > GRAPHIC_PART:
        return "png"
    if image.hasalpha() and image.extract_band(image.bands - 1).min() < 255:
        return "webp"
    return "avif" if image.width * image.height <= MOST_AVIF_PIXELS else "jpeg"


def _flat_part(image: pyvips.Image) -> float:
    """How many of the pixels, from 0 to 1, are exactly like their left neighbours."""
    if image.width < 2:
        return 0.0
    right = image.crop(1, 0, image.width - 1, image.height)
    left = image.crop(0, 0, image.width - 1, image.height)
    return float((right == left).bandand().avg()) / 255
