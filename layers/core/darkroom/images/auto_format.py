"""Chooses the output format by the pixels of an image."""

import pyvips

from darkroom.contracts.image_params import ImageFormat

#: In graphics, more than this share of the pixels equal their left neighbor; the noise of a camera prevents that.
GRAPHIC_SHARE = 0.5

#: AVIF halves the size of a photograph, but takes a second for about three megapixels.
MAX_AVIF_PIXELS = 4_000_000


def best_format(image: pyvips.Image) -> ImageFormat:
    """The best format for an image in memory.

    webp for animations and for photographs with transparency, png for graphics, avif for photographs up to
    `MAX_AVIF_PIXELS`, jpeg for larger ones.
    """
    if image.height > image.get_page_height():
        return "webp"
    if _flat_share(image) > GRAPHIC_SHARE:
        return "png"
    if image.hasalpha() and image.extract_band(image.bands - 1).min() < 255:
        return "webp"
    return "avif" if image.width * image.height <= MAX_AVIF_PIXELS else "jpeg"


def _flat_share(image: pyvips.Image) -> float:
    """Share of the pixels, from 0 to 1, that equal their left neighbor."""
    if image.width < 2:
        return 0.0
    right = image.crop(1, 0, image.width - 1, image.height)
    left = image.crop(0, 0, image.width - 1, image.height)
    return float((right == left).bandand().avg()) / 255
