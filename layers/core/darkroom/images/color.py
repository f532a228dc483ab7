"""Converts the colors of stored images to sRGB, as browsers show them."""

from typing import NamedTuple

import pyvips

from darkroom.images.icc import is_profile_of, is_srgb_profile

_NAMED = {"white": "#ffffff", "black": "#000000", "transparent": "#00000000"}


class RgbaColor(NamedTuple):
    """A color in sRGB, each component from 0 to 255; alpha 0 is transparent."""

    red: int
    green: int
    blue: int
    alpha: int = 255

    @property
    def on_white(self) -> list[int]:
        """Red, green and blue of this color on a white background."""
        return [round(255 - (255 - component) * self.alpha / 255) for component in self[:3]]


def parse_color(text: str) -> RgbaColor:
    """Parses a color in the forms the contracts allow: a name, #rgb, #rgba, #rrggbb or #rrggbbaa."""
    digits = _NAMED.get(text, text).removeprefix("#")
    if len(digits) < 6:
        digits = "".join(digit * 2 for digit in digits)
    return RgbaColor(*bytes.fromhex(digits))


def convert_for_display(image: pyvips.Image, *, keep_profile: bool = False) -> pyvips.Image:
    """In sRGB, or gray if it was gray, with 8 bits per channel; with `keep_profile` in its own RGB or gray.

    Of the channels that a TIFF may have beyond its colors, the first counts as alpha, and the others (spot colors,
    masks) are dropped.
    """
    gray = image.interpretation in ("b-w", "grey16")
    if image.interpretation == "cmyk" or (not keep_profile and _needs_conversion(image)):
        image = _without_profile(_to_srgb(image))
    elif not _profile_fits(image, gray=gray):
        image = _without_profile(image)
    space = "b-w" if gray else "srgb"
    image = image if image.interpretation == space else image.colourspace(space)
    max_channels = 2 if gray else 4
    if image.bands > max_channels:
        image = image.extract_band(0, n=max_channels)
    return image if image.format == "uchar" else image.cast("uchar")


def convert_to_rgb(image: pyvips.Image) -> pyvips.Image:
    """In RGB. A gray image that has kept its profile is converted by it, because an RGB image cannot have it."""
    return convert_for_display(image).colourspace("srgb") if image.interpretation == "b-w" else image


def _to_srgb(image: pyvips.Image) -> pyvips.Image:
    """Converted by the embedded profile; an invalid one is ignored, as browsers do."""
    fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
    try:
        return image.icc_transform(
            "srgb", embedded=True, input_profile=fallback, intent="relative", black_point_compensation=True
        )
    except pyvips.Error:
        return image


def _without_profile(image: pyvips.Image) -> pyvips.Image:
    """Without its profile: sRGB needs none, and an invalid one is of no use."""
    if not image.get_typeof("icc-profile-data"):
        return image
    image = image.copy()
    image.remove("icc-profile-data")
    return image


def _profile_fits(image: pyvips.Image, *, gray: bool) -> bool:
    """Whether the profile is for the color space of the result, RGB or gray. The profile of an image in Lab is not."""
    if not image.get_typeof("icc-profile-data"):
        return True
    return is_profile_of(bytes(image.get("icc-profile-data")), gray=gray)


def _needs_conversion(image: pyvips.Image) -> bool:
    """Whether the image has a profile other than sRGB, which is the most frequent and needs no conversion."""
    if not image.get_typeof("icc-profile-data"):
        return False
    return not is_srgb_profile(bytes(image.get("icc-profile-data")))
