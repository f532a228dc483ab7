"""Colours as a browser shows them, whatever a picture was stored in."""

import pyvips


def displayable(image: pyvips.Image) -> pyvips.Image:
    """In sRGB, or grey where it was grey, with 8 bits a channel."""
    grey = image.interpretation in ("b-w", "grey16")
    if image.interpretation == "cmyk" or _has_own_colours(image):
        image = _colour_managed(image)
    space = "b-w" if grey else "srgb"
    image = image if image.interpretation == space else image.colourspace(space)
    return image if image.format == "uchar" else image.cast("uchar")


def _colour_managed(image: pyvips.Image) -> pyvips.Image:
    """Converted by the profile inside the picture; one that nobody can read is ignored, as browsers do."""
    fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
    try:
        return image.icc_transform(
            "srgb", embedded=True, input_profile=fallback, intent="relative", black_point_compensation=True
        )
    except pyvips.Error:
        return image


def _has_own_colours(image: pyvips.Image) -> bool:
    """Whether the picture brings a profile other than sRGB, which is the most frequent and needs no conversion."""
    if not image.get_typeof("icc-profile-data"):
        return False
    profile = bytes(image.get("icc-profile-data"))
    tags = (profile[at : at + 12] for at in range(132, 132 + 12 * min(64, int.from_bytes(profile[128:132])), 12))
    for tag in tags:
        if tag[:4] == b"desc":
            start, size = int.from_bytes(tag[4:8]), int.from_bytes(tag[8:12])
            # The name stands there in ASCII or in UTF-16.
            return b"sRGB" not in profile[start : start + size].replace(b"\0", b"")
    return True
