"""The search for the bit rate that fills the allowed bytes."""

from collections.abc import Callable

import pytest

from darkroom.errors import ResultTooLargeError
from functions.video_compress.size_search import MAX_SIZE_TRIALS, SizeTrial, search_bit_rate

Encode = Callable[[int], int]


def exact_size(bit_rate_bps: int) -> int:
    """Ten seconds of video at exactly this bit rate, and 2,000 bytes of audio."""
    return bit_rate_bps * 10 // 8 + 2_000


def recording(encode: Encode) -> tuple[Encode, list[int]]:
    """The same encoder, and the bit rates that are requested from it."""
    requested: list[int] = []

    def record(bit_rate_bps: int) -> int:
        requested.append(bit_rate_bps)
        return encode(bit_rate_bps)

    return record, requested


def search(encode: Encode, *, wanted_bytes: int = 100_000, other_bytes: int = 0) -> SizeTrial:
    return search_bit_rate(encode, wanted_bytes=wanted_bytes, max_bytes=100_000, other_bytes=other_bytes, duration_s=10)


def test_encoder_that_meets_the_bit_rate_needs_one_trial() -> None:
    encode, requested = recording(exact_size)

    made = search(encode, other_bytes=2_000)

    assert requested == [made.bit_rate_bps]
    assert 90_000 <= made.size_bytes <= 100_000


@pytest.mark.parametrize("factor", [0.3, 0.7, 1.2, 2.5])
def test_encoder_that_misses_the_bit_rate_is_corrected(factor: float) -> None:
    made = search(lambda bit_rate_bps: int(exact_size(bit_rate_bps) * factor), other_bytes=2_000)

    assert 90_000 <= made.size_bytes <= 100_000


def test_encoder_that_needs_no_more_bits_ends_the_search() -> None:
    encode, requested = recording(lambda bit_rate_bps: min(exact_size(bit_rate_bps), 30_000))

    assert search(encode).size_bytes == 30_000
    assert len(requested) == 2


def test_encoder_that_cannot_use_fewer_bits_ends_the_search() -> None:
    encode, requested = recording(lambda bit_rate_bps: max(exact_size(bit_rate_bps), 130_000))

    with pytest.raises(ResultTooLargeError, match="130,000 bytes"):
        search(encode)
    assert len(requested) == 2


def test_encoder_with_a_jump_in_size_still_yields_a_fitting_result() -> None:
    encode, requested = recording(lambda bit_rate_bps: 50_000 if bit_rate_bps < 75_000 else 120_000)

    made = search(encode)

    assert made == SizeTrial(max(rate for rate in requested if rate < 75_000), 50_000)
    assert len(requested) <= MAX_SIZE_TRIALS


def test_result_between_the_wanted_and_the_allowed_bytes_is_accepted() -> None:
    made = search(lambda bit_rate_bps: max(exact_size(bit_rate_bps), 60_000), wanted_bytes=50_000)

    assert made.size_bytes == 60_000
