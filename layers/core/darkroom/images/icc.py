"""Reads ICC profiles, as far as Darkroom needs them: https://www.color.org/specification/ICC.1-2022-05.pdf."""

#: The longest profile name that is returned.
_MAX_NAME_LENGTH = 200


def is_srgb_profile(profile: bytes) -> bool:
    """Whether this is the sRGB profile, judged by its name and by its tone curve."""
    # The name is in ASCII or UTF-16.
    return b"sRGB" in _tag(profile, b"desc").replace(b"\0", b"") and not _is_linear(profile)


def is_profile_of(profile: bytes, *, gray: bool) -> bool:
    """Whether the profile is for gray, or for RGB, images."""
    return profile[16:20] == (b"GRAY" if gray else b"RGB ")


def profile_name(profile: bytes) -> str | None:
    """The name of a profile, such as `Display P3`; None if it has none.

    Versions 2 and 4 of the format have it in ASCII (`desc`) and in UTF-16 for several languages (`mluc`), of which the
    first is returned: ICC.1:2022, 9.2.41 and 10.15, and ICC.1:2001-04, 6.5.17.
    """
    text = _tag(profile, b"desc")
    if text.startswith(b"desc"):
        name = text[12 : 12 + int.from_bytes(text[8:12])].partition(b"\0")[0].decode("ascii", "replace")
    elif text.startswith(b"mluc") and int.from_bytes(text[8:12]):
        size, start = int.from_bytes(text[20:24]), int.from_bytes(text[24:28])
        name = text[start : start + size].decode("utf-16-be", "replace").partition("\0")[0]
    else:
        return None
    return name.strip()[:_MAX_NAME_LENGTH] or None


def _is_linear(profile: bytes) -> bool:
    """Whether values are proportional to light, as in profiles named linear sRGB: ICC.1:2022, 10.6 and 10.18."""
    curve = _tag(profile, b"rTRC")
    if curve.startswith(b"para"):
        return curve[8:10] == b"\0\0" and curve[12:16] == b"\0\1\0\0"
    # No points, or one, which is an exponent in 256ths.
    return curve.startswith(b"curv") and (curve[8:12] == bytes(4) or curve[8:14] == b"\0\0\0\1\1\0")


def _tag(profile: bytes, name: bytes) -> bytes:
    """The content of a tag of the profile; empty if it is missing."""
    tags = (profile[at : at + 12] for at in range(132, 132 + 12 * min(64, int.from_bytes(profile[128:132])), 12))
    for tag in tags:
        if tag[:4] == name:
            start, size = int.from_bytes(tag[4:8]), int.from_bytes(tag[8:12])
            return profile[start : start + size]
    return b""
