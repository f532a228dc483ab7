"""Finds the bit rate whose encoding fills a number of bytes without exceeding it.

Proportional steps until there is one result on each side of the limit, then linear interpolation between the two
(regula falsi), kept away from both ends.
"""

from collections.abc import Callable
from dataclasses import dataclass

from darkroom.errors import ResultTooLargeError

#: Each trial encodes the whole video, so their number bounds the time of the search.
MAX_SIZE_TRIALS = 7

#: Fractions of the wanted bytes: the aim, below 1 because encoders overshoot, and what is enough to stop.
_AIM = 0.965
_ENOUGH = 0.92

#: Bits per second below which no encoder goes.
_MIN_BIT_RATE_BPS = 1_000

#: Largest factor between two bit rates while only one side is known.
_MAX_STEP = 4.0

#: Fraction of the interval between two trials that the next one keeps away from either.
_MARGIN = 0.1

#: Relative change in size below which the encoder has not followed the bit rate.
_MIN_CHANGE = 0.02


@dataclass(frozen=True)
class SizeTrial:
    """One encoding: the requested bit rate, and the bytes of the whole file."""

    bit_rate_bps: int
    size_bytes: int


def search_bit_rate(
    encode: Callable[[int], int], *, wanted_bytes: int, max_bytes: int, other_bytes: int, duration_s: float
) -> SizeTrial:
    """Returns the largest trial that fits into `max_bytes`.

    `encode` encodes with a bit rate and returns the file's size. The search aims at `wanted_bytes`, at most
    `max_bytes`; `other_bytes` of the file are not video. It ends early when the encoder does not use more bits or
    cannot use fewer. Raises ResultTooLargeError when nothing fits.
    """
    aim_bytes = wanted_bytes * _AIM
    rate_bps = max(int((aim_bytes - other_bytes) * 8 / duration_s), _MIN_BIT_RATE_BPS)
    fits: SizeTrial | None = None
    over: SizeTrial | None = None
    for _ in range(MAX_SIZE_TRIALS):
        trial = SizeTrial(rate_bps, encode(rate_bps))
        if trial.size_bytes <= max_bytes:
            saturated = fits is not None and trial.size_bytes < fits.size_bytes * (1 + _MIN_CHANGE)
            fits = trial if fits is None or trial.size_bytes >= fits.size_bytes else fits
            if trial.size_bytes >= wanted_bytes * _ENOUGH or (saturated and over is None):
                break
        else:
            stuck = over is not None and fits is None and trial.size_bytes > over.size_bytes * (1 - _MIN_CHANGE)
            over = trial
            if rate_bps == _MIN_BIT_RATE_BPS or stuck:
                break
        rate_bps = _next_bit_rate(fits, over, aim_bytes, other_bytes)
        if rate_bps in (fits and fits.bit_rate_bps, over and over.bit_rate_bps):
            break
    if fits is None:
        smallest_bytes = over.size_bytes if over else 0
        raise ResultTooLargeError(
            f"The smallest result has {smallest_bytes:,} bytes, more than the {max_bytes:,} allowed. Lower the width, "
            "the height, the frame rate or the audio bit rate."
        )
    return fits


def _next_bit_rate(fits: SizeTrial | None, over: SizeTrial | None, aim_bytes: float, other_bytes: int) -> int:
    """Interpolates between two trials; scales in proportion from one."""
    if fits and over:
        fraction = (aim_bytes - fits.size_bytes) / (over.size_bytes - fits.size_bytes)
        step_bps = (over.bit_rate_bps - fits.bit_rate_bps) * min(max(fraction, _MARGIN), 1 - _MARGIN)
        return round(fits.bit_rate_bps + step_bps)
    known = fits or over or SizeTrial(_MIN_BIT_RATE_BPS, other_bytes)
    factor = max(aim_bytes - other_bytes, 1) / max(known.size_bytes - other_bytes, 1)
    return max(round(known.bit_rate_bps * min(max(factor, 1 / _MAX_STEP), _MAX_STEP)), _MIN_BIT_RATE_BPS)
