"""Colours as a browser shows them, whatever a picture was stored in."""

from typing import NamedTuple

import pyvips

#: The most of a profile's name that is told.
_NAME_CHARACTERS = 200

_NAMED = {"white": "#ffffff", "black": "#000000", "transparent": "#00000000"}


class Colour(NamedTuple):
    """A colour in sRGB, each part from 0 to 255; an alpha of 0 is see-through."""

    red: int
    green: int
    blue: int
    alpha: int = 255

    @property
    def opaque(self) -> list[int]:
        """Red, green and blue; what is see-through counts as white, as paper would show it."""
        return [round(255 - (255 - part) * self.alpha / 255) for part in self[:3]]


def parse_colour(text: str) -> Colour:
    """A colour as the contracts allow it: a name, #rgb, #rgba, #rrggbb or #rrggbbaa."""
    digits = _NAMED.get(text, text).removeprefix("#")
    if len(digits) < 6:
        digits = "".join(digit * 2 for digit in digits)
    return Colour(*bytes.fromhex(digits))


def displayable(image: pyvips.Image, *, keep_profile: bool = False) -> pyvips.Image:
    """In sRGB, or grey where it was grey, with 8 bits a channel; with `keep_profile` in its own RGB or grey.

    Of the channels that a TIFF may have beyond its colours, the first counts as alpha, and the others (spot colours,
    masks) are left out.
    """
    grey = image.interpretation in ("b-w", "grey16")
    if image.interpretation == "cmyk" or (not keep_profile and _has_own_colours(image)):
        image = _without_profile(_colour_managed(image))
    elif not _fits(image, grey=grey):
        image = _without_profile(image)
    space = "b-w" if grey else "srgb"
    image = image if image.interpretation == space else image.colourspace(space)
    shown = 2 if grey else 4
    if image.bands > shown:
        image = image.extract_band(0, n=shown)
    return image if image.format == "uchar" else image.cast("uchar")


def coloured(image: pyvips.Image) -> pyvips.Image:
    """In RGB. A grey picture that has kept its profile is converted by it, since RGB cannot have it."""
    return displayable(image).colourspace("srgb") if image.interpretation == "b-w" else image


def _colour_managed(image: pyvips.Image) -> pyvips.Image:
    """Converted by the profile inside the picture; one that nobody can read is ignored, as browsers do."""
    fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
    try:
        return image.icc_transform(
            "srgb", embedded=True, input_profile=fallback, intent="relative", black_point_compensation=True
        )
    except pyvips.Error:
        return image


def _without_profile(image: pyvips.Image) -> pyvips.Image:
    """Not labelled any more with a profile: sRGB needs none, and one that nobody can read helps nobody."""
    if not image.get_typeof("icc-profile-data"):
        return image
    image = image.copy()
    image.remove("icc-profile-data")
    return image


def _fits(image: pyvips.Image, *, grey: bool) -> bool:
    """Whether a profile is one of RGB or of grey, as the picture will be: Lab may have one too, and says all itself."""
    if not image.get_typeof("icc-profile-data"):
        return True
    return bytes(image.get("icc-profile-data"))[16:20] == (b"GRAY" if grey else b"RGB ")


def _has_own_colours(image: pyvips.Image) -> bool:
    """Whether the picture brings a profile other than sRGB, which is the most frequent and needs no conversion."""
    if not image.get_typeof("icc-profile-data"):
        return False
    profile = bytes(image.get("icc-profile-data"))
    # The name stands there in ASCII or in UTF-16.
    return b"sRGB" not in _tag(profile, b"desc").replace(b"\0", b"") or _is_linear(profile)


def _is_linear(profile: bytes) -> bool:
    """Whether values are amounts of light, as those called linear sRGB: ICC.1:2022, 10.6 and 10.18."""
    curve = _tag(profile, b"rTRC")
    if curve.startswith(b"para"):
        return curve[8:10] == b"\0\0" and curve[12:16] == b"\0\1\0\0"
    # No points, or one that is an exponent in 256ths.
    return curve.startswith(b"curv") and (curve[8:12] == bytes(4) or curve[8:14] == b"\0\0\0\1\1\0")


def profile_name(profile: bytes) -> str | None:
    """What an ICC profile calls itself, such as `Display P3`; None where it does not say.

    Versions 2 and 4 of the format have it in ASCII (`desc`) and in UTF-16 for several languages (`mluc`), of which the
    first is taken: ICC.1:2022, 9.2.41 and 10.15, and ICC.1:2001-04, 6.5.17.
    """
    text = _tag(profile, b"desc")
    if text.startswith(b"desc"):
        name = text[12 : 12 + int.from_bytes(text[8:12])].partition(b"\0")[0].decode("ascii", "replace")
    elif text.startswith(b"mluc") and int.from_bytes(text[8:12]):
        size, start = int.from_bytes(text[20:24]), int.from_bytes(text[24:28])
        name = text[start : start + size].decode("utf-16-be", "replace").partition("\0")[0]
    else:
        return None
    return name.strip()[:_NAME_CHARACTERS] or None


def _tag(profile: bytes, name: bytes) -> bytes:
    """What stands in a profile under this name; empty where nothing does."""
    tags = (profile[at : at + 12] for at in range(132, 132 + 12 * min(64, int.from_bytes(profile[128:132])), 12))
    for tag in tags:
        if tag[:4] == name:
            start, size = int.from_bytes(tag[4:8]), int.from_bytes(tag[8:12])
            return profile[start : start + size]
    return b""
