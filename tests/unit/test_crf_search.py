from collections.abc import Callable
from random import Random

import pytest

from functions.video_compress import crf_search

USUAL = 0.55


def falling(best_db: float, slope_db: float, *, noise: float = 0.0) -> Callable[[int], float]:
    """A film's scores: so many decibels at factor 1, fewer with each step."""
    random = Random(1)
    scores = [1 - 10 ** -((best_db - slope_db * step + random.uniform(-noise, noise)) / 10) for step in range(63)]
    return lambda factor: scores[factor - 1]


def searched(
    measure: Callable[[int], float], wanted: float, *, rounds: int | None = None
) -> tuple[crf_search.Attempt, int]:
    """The search, which may be told to stop after some rounds."""
    asked: list[int] = []

    def counted(factor: int) -> float:
        assert 1 <= factor <= 51
        assert factor not in asked, "nothing is measured twice"
        asked.append(factor)
        return measure(factor)

    found = crf_search.search(
        counted, wanted=wanted, first=26, most=51, slope_db=USUAL, proceed=lambda: rounds is None or len(asked) < rounds
    )
    assert found[1] == len(asked) <= crf_search.MAX_ATTEMPTS
    return found


@pytest.mark.parametrize("slope_db", [0.3, 0.45, 0.55, 0.8, 1.1])
@pytest.mark.parametrize("wanted", [0.8, 0.9, 0.95, 0.98])
def test_the_largest_factor_that_will_do_is_found(slope_db: float, wanted: float) -> None:
    measure = falling(30, slope_db)
    fitting = max(factor for factor in range(1, 52) if measure(factor) >= wanted)

    found, rounds = searched(measure, wanted)

    assert (found.crf, found.score) == (fitting, measure(fitting))
    assert rounds <= 5


def test_three_rounds_suffice_where_scores_fall_as_usual() -> None:
    assert searched(falling(27, 0.57), 0.95)[1] <= 3
    assert searched(falling(27, 0.52), 0.97)[1] <= 3


def test_a_film_that_always_looks_the_same_gets_the_largest_factor() -> None:
    found, rounds = searched(lambda _: 1.0, 0.9)

    assert (found.crf, found.score) == (51, 1.0)
    assert rounds <= 3


def test_the_best_seen_is_taken_where_none_will_do() -> None:
    found, _ = searched(falling(20, 0.55), 0.9999)

    assert found.crf == 1


def test_scores_that_do_not_fall_evenly_end_the_search_as_well() -> None:
    for noise in (0.2, 1.0, 5.0):
        found, _ = searched(falling(25, 0.4, noise=noise), 0.95)
        assert found.score >= 0.95
    assert searched(lambda factor: 0.97 if factor < 20 else 0.1, 0.95)[0].score == 0.97


def test_a_search_that_may_not_go_on_takes_what_it_has() -> None:
    good, poor = falling(40, 0.5), falling(16, 0.5)

    assert searched(good, 0.9, rounds=1) == (crf_search.Attempt(26, good(26)), 1)
    assert searched(poor, 0.9, rounds=1) == (crf_search.Attempt(26, poor(26)), 1)


def test_decibels_are_those_of_the_filter() -> None:
    assert crf_search.decibels(0.953609) == pytest.approx(13.3356, abs=0.001)
    assert crf_search.decibels(1.0) == pytest.approx(60, abs=0.01)
