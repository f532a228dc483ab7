"""The bit rate with which a film fills a number of bytes, found by encoding."""

from collections.abc import Callable
from dataclasses import dataclass

from darkroom.errors import ResultTooLargeError

#: Parts of the bytes allowed: what is aimed at, and what is enough.
_AIM = 0.965
_ENOUGH = 0.92

#: The film is encoded so often at most.
MAX_ATTEMPTS = 7

#: Bits a second below which no encoder goes.
_LEAST_BPS = 1_000

#: By how much a bit rate changes at most in one step when only one side of it is known.
_LARGEST_STEP = 4.0

#: Part by which a result must change for the encoder to have followed the bit rate.
_FOLLOWS = 0.02


@dataclass(frozen=True)
class Attempt:
    """One encoding: the bit rate asked for, and the bytes of the whole file that came of it."""

    bit_rate_bps: int
    size_bytes: int


def search(
    encode: Callable[[int], int], *, wanted_bytes: int, most_bytes: int, other_bytes: int, duration_s: float
) -> Attempt:
    """The largest attempt that fits into `most_bytes`; `encode` makes one of a bit rate and returns the file's size.

    `wanted_bytes`, at most as many, are aimed at; `other_bytes` is what will not be pictures. Ends early when the
    encoder needs no more bits, or cannot do with less. Raises ResultTooLargeError when nothing fits.
    """
    aim = wanted_bytes * _AIM
    rate = max(int((aim - other_bytes) * 8 / duration_s), _LEAST_BPS)
    fits: Attempt | None = None
    over: Attempt | None = None
    for _ in range(MAX_ATTEMPTS):
        made = Attempt(rate, encode(rate))
        if made.size_bytes <= most_bytes:
            content = fits is not None and made.size_bytes < fits.size_bytes * (1 + _FOLLOWS)
            fits = made if fits is None or made.size_bytes >= fits.size_bytes else fits
            if made.size_bytes >= wanted_bytes * _ENOUGH or (content and over is None):
                break
        else:
            stuck = over is not None and fits is None and made.size_bytes > over.size_bytes * (1 - _FOLLOWS)
            over = made
            if rate == _LEAST_BPS or stuck:
                break
        rate = _next(fits, over, aim, other_bytes)
        if rate in (fits and fits.bit_rate_bps, over and over.bit_rate_bps):
            break
    if fits is None:
        smallest = over.size_bytes if over else 0
        raise ResultTooLargeError(
            f"The smallest result has {smallest:,} bytes, more than the {most_bytes:,} allowed. Lower the width, the "
            "height, the frame rate or the sound's bit rate."
        )
    return fits


def _next(fits: Attempt | None, over: Attempt | None, aim: float, other_bytes: int) -> int:
    """Between two attempts, by the line through them; beyond one, in proportion."""
    if fits and over:
        part = (aim - fits.size_bytes) / (over.size_bytes - fits.size_bytes)
        return round(fits.bit_rate_bps + (over.bit_rate_bps - fits.bit_rate_bps) * min(max(part, 0.1), 0.9))
    known = fits or over or Attempt(_LEAST_BPS, other_bytes)
    step = max(aim - other_bytes, 1) / max(known.size_bytes - other_bytes, 1)
    return max(round(known.bit_rate_bps * min(max(step, 1 / _LARGEST_STEP), _LARGEST_STEP)), _LEAST_BPS)
