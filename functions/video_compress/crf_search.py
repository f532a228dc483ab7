"""Finds the largest constant rate factor (CRF) whose encoding still reaches a score.

An interpolated binary search, like `crf-search` of ab-av1 (https://github.com/alexheretic/ab-av1), with two
differences. Scores are compared in decibels, in which they fall almost linearly with the CRF, so that the line through
two trials predicts the third. And while only one side is known, the step follows the usual slope instead of halving.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

#: Each trial encodes all samples, so their number bounds the time of the search.
MAX_CRF_TRIALS = 6

#: Fraction of the usual slope below which a measured slope is not used: the step that follows from it would overshoot.
_MIN_SLOPE_FRACTION = 0.25

#: A score at most this many decibels above the target ends the search. It is less than one step of any encoder.
_TOLERANCE_DB = 0.15

#: Scores above this count as this one: the decibels of a perfect score would be infinite.
_MAX_SCORE = 0.999999


@dataclass(frozen=True)
class CrfTrial:
    """One encoding: its CRF, and its score from 0 to 1."""

    crf: int
    score: float

    @property
    def score_db(self) -> float:
        """The score in decibels."""
        return to_decibels(self.score)


def to_decibels(score: float) -> float:
    """The distance of a score to 1 in decibels, computed like FFmpeg's `ssim` filter does."""
    return -10 * math.log10(1 - min(score, _MAX_SCORE))


def search_crf(
    measure: Callable[[int], float],
    *,
    target: float,
    first_crf: int,
    max_crf: int,
    slope_db: float,
    may_continue: Callable[[], bool],
) -> tuple[CrfTrial, int]:
    """Returns the trial to use and the number of trials: the largest CRF that reaches the target, else the best score.

    `measure` encodes with a CRF and returns the score. The search starts at `first_crf` and stays within 1 and
    `max_crf` (0 means lossless to some encoders). `slope_db` is the usual loss in decibels per step of the CRF. The
    search stops where `may_continue`, called before each further trial, returns False.
    """
    good: CrfTrial | None = None
    poor: CrfTrial | None = None
    target_db, crf = to_decibels(target), first_crf
    seen: list[CrfTrial] = []
    while True:
        trial = CrfTrial(crf, measure(crf))
        seen.append(trial)
        if trial.score >= target:
            good = trial
        else:
            poor = trial
        if good is not None and good.score_db - target_db <= _TOLERANCE_DB:
            break
        following = _interpolate(good, poor, target_db) if good and poor else _step(seen, target_db, slope_db, max_crf)
        if following is None or len(seen) == MAX_CRF_TRIALS or not may_continue():
            break
        crf = following
    return good or max(seen, key=lambda trial: trial.score), len(seen)


def _interpolate(good: CrfTrial, poor: CrfTrial, target_db: float) -> int | None:
    """The next CRF between a good and a poor one; None when there is none left."""
    if poor.crf - good.crf <= 1:
        return None
    fraction = (good.score_db - target_db) / (good.score_db - poor.score_db)
    return min(max(math.floor(good.crf + (poor.crf - good.crf) * fraction), good.crf + 1), poor.crf - 1)


def _step(seen: list[CrfTrial], target_db: float, slope_db: float, max_crf: int) -> int | None:
    """The next CRF where all trials lie on one side: slightly beyond the expected one; None at the end of the range."""
    last = seen[-1]
    upwards = last.score_db >= target_db
    end = max_crf if upwards else 1
    if last.crf == end:
        return None
    if len(seen) > 2:  # two steps along the slope have missed, so it does not describe this video
        return end
    if len(seen) == 2:
        earlier = seen[0]
        measured_db = (earlier.score_db - last.score_db) / (last.crf - earlier.crf)
        slope_db = max(measured_db, slope_db * _MIN_SLOPE_FRACTION)
    expected = last.crf + (last.score_db - target_db) / slope_db
    if upwards:
        return min(max(math.ceil(expected), last.crf + 1), end)
    return max(min(math.floor(expected), last.crf - 1), end)
