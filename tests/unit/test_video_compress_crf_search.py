"""The search for the largest CRF that reaches an SSIM."""

from collections.abc import Callable
from random import Random

import pytest

from functions.video_compress.crf_search import MAX_CRF_TRIALS, CrfTrial, search_crf, to_decibels

#: Loss in decibels per step of the CRF that the search expects.
USUAL_SLOPE_DB = 0.55


def falling_scores(best_db: float, slope_db: float, *, noise: float = 0.0) -> Callable[[int], float]:
    """The scores of a video: `best_db` decibels at CRF 1, `slope_db` fewer with each step."""
    random = Random(1)
    scores = [1 - 10 ** -((best_db - slope_db * step + random.uniform(-noise, noise)) / 10) for step in range(63)]
    return lambda crf: scores[crf - 1]


def search(measure: Callable[[int], float], target: float, *, max_trials: int | None = None) -> tuple[CrfTrial, int]:
    """Runs the search, which stops after `max_trials`; checks the CRFs that it tries."""
    tried: list[int] = []

    def measure_once(crf: int) -> float:
        assert 1 <= crf <= 51
        assert crf not in tried, "no CRF is measured twice"
        tried.append(crf)
        return measure(crf)

    found, trials = search_crf(
        measure_once,
        target=target,
        first_crf=26,
        max_crf=51,
        slope_db=USUAL_SLOPE_DB,
        may_continue=lambda: max_trials is None or len(tried) < max_trials,
    )
    assert trials == len(tried) <= MAX_CRF_TRIALS
    return found, trials


@pytest.mark.parametrize("slope_db", [0.3, 0.45, 0.55, 0.8, 1.1])
@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 0.98])
def test_largest_crf_that_reaches_the_target_is_found(slope_db: float, target: float) -> None:
    measure = falling_scores(30, slope_db)
    largest = max(crf for crf in range(1, 52) if measure(crf) >= target)

    found, trials = search(measure, target)

    assert (found.crf, found.score) == (largest, measure(largest))
    assert trials <= 5


def test_three_trials_suffice_at_the_usual_slope() -> None:
    assert search(falling_scores(27, 0.57), 0.95)[1] <= 3
    assert search(falling_scores(27, 0.52), 0.97)[1] <= 3


def test_video_without_loss_gets_the_largest_crf() -> None:
    found, trials = search(lambda _: 1.0, 0.9)

    assert (found.crf, found.score) == (51, 1.0)
    assert trials <= 3


def test_best_score_is_used_where_no_crf_reaches_the_target() -> None:
    found, _ = search(falling_scores(20, 0.55), 0.9999)

    assert found.crf == 1


def test_search_ends_also_with_irregular_scores() -> None:
    for noise in (0.2, 1.0, 5.0):
        found, _ = search(falling_scores(25, 0.4, noise=noise), 0.95)
        assert found.score >= 0.95
    assert search(lambda crf: 0.97 if crf < 20 else 0.1, 0.95)[0].score == 0.97


def test_search_that_must_stop_uses_the_best_trial_so_far() -> None:
    good, poor = falling_scores(40, 0.5), falling_scores(16, 0.5)

    assert search(good, 0.9, max_trials=1) == (CrfTrial(26, good(26)), 1)
    assert search(poor, 0.9, max_trials=1) == (CrfTrial(26, poor(26)), 1)


def test_decibels_match_those_of_the_ssim_filter() -> None:
    assert to_decibels(0.953609) == pytest.approx(13.3356, abs=0.001)
    assert to_decibels(1.0) == pytest.approx(60, abs=0.01)
