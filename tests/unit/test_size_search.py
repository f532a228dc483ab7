import pytest

from darkroom.errors import ResultTooLargeError
from functions.video_compress.size_search import MAX_ATTEMPTS, Attempt, search


def obedient(rate: int) -> int:
    """Ten seconds of pictures, 2,000 bytes of sound."""
    return rate * 10 // 8 + 2_000


def test_an_encoder_that_does_as_told_is_asked_once():
    rates = []

    def encode(rate):
        rates.append(rate)
        return obedient(rate)

    made = search(encode, wanted_bytes=100_000, most_bytes=100_000, other_bytes=2_000, duration_s=10)

    assert rates == [made.bit_rate_bps]
    assert 90_000 <= made.size_bytes <= 100_000


@pytest.mark.parametrize("part", [0.3, 0.7, 1.2, 2.5])
def test_an_encoder_that_misses_is_corrected(part):
    made = search(
        lambda rate: int(obedient(rate) * part),
        wanted_bytes=100_000,
        most_bytes=100_000,
        other_bytes=2_000,
        duration_s=10,
    )

    assert 90_000 <= made.size_bytes <= 100_000


def test_an_encoder_that_needs_no_more_is_not_asked_for_ever():
    asked = []

    def encode(rate):
        asked.append(rate)
        return min(obedient(rate), 30_000)

    assert search(encode, wanted_bytes=100_000, most_bytes=100_000, other_bytes=0, duration_s=10).size_bytes == 30_000
    assert len(asked) == 2


def test_an_encoder_that_cannot_do_with_less_ends_the_search():
    asked = []

    def encode(rate):
        asked.append(rate)
        return max(obedient(rate), 130_000)

    with pytest.raises(ResultTooLargeError, match="130,000 bytes"):
        search(encode, wanted_bytes=100_000, most_bytes=100_000, other_bytes=0, duration_s=10)
    assert len(asked) == 2


def test_an_encoder_that_jumps_still_ends_with_something_that_fits():
    asked = []

    def encode(rate):
        asked.append(rate)
        return 50_000 if rate < 75_000 else 120_000

    assert search(encode, wanted_bytes=100_000, most_bytes=100_000, other_bytes=0, duration_s=10) == Attempt(
        max(rate for rate in asked if rate < 75_000), 50_000
    )
    assert len(asked) <= MAX_ATTEMPTS


def test_more_than_wanted_counts_where_it_is_allowed():
    def encode(rate):
        return max(obedient(rate), 60_000)

    assert search(encode, wanted_bytes=50_000, most_bytes=100_000, other_bytes=0, duration_s=10).size_bytes == 60_000
