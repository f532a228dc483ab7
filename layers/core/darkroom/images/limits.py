"""Limits on the pixels of images."""

from darkroom.errors import TooManyPixelsError
from darkroom.media.geometry import Size
from darkroom.media.task import Limits

#: Most pixels, of all frames together, of an image that is decoded as a whole. Each takes up to 12 bytes temporarily.
MAX_WHOLE_PIXELS = 80_000_000


def check_pixel_count(size: Size, frames: int, limit: int, subject: str) -> None:
    """Raises TooManyPixelsError, with both numbers, if all frames together have more than `limit` pixels."""
    if size.pixels * frames <= limit:
        return
    shape = f"{size.width:,} x {size.height:,}" + (f" pixels in {frames:,} frames" if frames > 1 else "")
    raise TooManyPixelsError(
        f"{subject} has {shape}, {size.pixels * frames:,} pixels in total; at most {limit:,} are allowed."
    )


def check_decoded_whole(size: Size, frames: int, limits: Limits) -> None:
    """The same for an image of which all pixels are in memory at once; its limit is `MAX_WHOLE_PIXELS` or lower."""
    check_pixel_count(size, frames, min(limits.pixels, MAX_WHOLE_PIXELS), "The image")
