"""The highest constant rate factor with which a film still looks as asked, found by encoding.

An interpolated binary search, as ab-av1 does it (https://github.com/alexheretic/ab-av1, `crf-search`), with two
differences: scores count in decibels, in which they fall almost evenly with the factor, so that a line through two of
them meets the third; and where only one side is known, the first step follows the usual slope instead of halving.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

#: So many factors are tried at most.
MAX_ATTEMPTS = 6

#: Part of the usual slope below which no slope is believed: the step that follows from it would lead nowhere.
_LEAST_SLOPE = 0.25

#: A score is near enough when it is at most so many decibels too good: less than one step of any encoder.
_NEAR_DB = 0.15

#: The best score that counts: it stands for pictures that are the same.
_SAME = 0.999999


@dataclass(frozen=True)
class Attempt:
    """One encoding: its constant rate factor, and its score from 0 to 1."""

    crf: int
    score: float

    @property
    def decibels(self) -> float:
        """The score on a scale on which it falls evenly."""
        return decibels(self.score)


def decibels(score: float) -> float:
    """How small the difference to the best possible score of 1 is, as FFmpeg's own filter tells it."""
    return -10 * math.log10(1 - min(score, _SAME))


def search(
    measure: Callable[[int], float],
    *,
    wanted: float,
    first: int,
    most: int,
    slope_db: float,
    proceed: Callable[[], bool],
) -> tuple[Attempt, int]:
    """The attempt to use, and how many were made: the highest factor that has the wanted score, else the best seen.

    `measure` returns the score of a factor; the first one tried is `first`, none lies outside 1 to `most` (0 stands for
    no loss with some encoders). `slope_db` is by how many decibels the score usually falls with each step of the
    factor. `proceed` is asked before each further attempt.
    """
    good: Attempt | None = None
    poor: Attempt | None = None
    goal, crf = decibels(wanted), first
    seen: list[Attempt] = []
    while True:
        attempt = Attempt(crf, measure(crf))
        seen.append(attempt)
        if attempt.score >= wanted:
            good = attempt
        else:
            poor = attempt
        if good is not None and good.decibels - goal <= _NEAR_DB:
            break
        following = _between(good, poor, goal) if good and poor else _beyond(seen, goal, slope_db, most)
        if following is None or len(seen) == MAX_ATTEMPTS or not proceed():
            break
        crf = following
    return good or max(seen, key=lambda attempt: attempt.score), len(seen)


def _between(good: Attempt, poor: Attempt, goal: float) -> int | None:
    """The factor to try where one is known on each side; None when there is none between them."""
    if poor.crf - good.crf <= 1:
        return None
    part = (good.decibels - goal) / (good.decibels - poor.decibels)
    return min(max(math.floor(good.crf + (poor.crf - good.crf) * part), good.crf + 1), poor.crf - 1)


def _beyond(seen: list[Attempt], goal: float, slope_db: float, most: int) -> int | None:
    """The factor to try where all `seen` lie on one side: just beyond the one expected; None at the end."""
    last = seen[-1]
    fewer_bits = last.decibels >= goal
    end = most if fewer_bits else 1
    if last.crf == end:
        return None
    if len(seen) > 2:  # it follows no slope
        return end
    if len(seen) == 2:
        earlier = seen[0]
        slope_db = max((earlier.decibels - last.decibels) / (last.crf - earlier.crf), slope_db * _LEAST_SLOPE)
    expected = last.crf + (last.decibels - goal) / slope_db
    if fewer_bits:
        return min(max(math.ceil(expected), last.crf + 1), end)
    return max(min(math.floor(expected), last.crf - 1), end)
