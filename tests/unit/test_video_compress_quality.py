"""The samples of a video at which video_compress measures quality."""

from itertools import pairwise

import pytest

from functions.video_compress.quality import SAMPLE_S, WHOLE_MAX_S, SampleRange, choose_samples


@pytest.mark.parametrize("duration_s", [None, 0.04, 5.0, WHOLE_MAX_S])
def test_short_video_is_its_own_sample(duration_s: float | None) -> None:
    assert choose_samples(duration_s) == [SampleRange(0.0, WHOLE_MAX_S)]


@pytest.mark.parametrize(
    ("duration_s", "count"), [(WHOLE_MAX_S + 0.1, 5), (60, 5), (300, 5), (420, 7), (600, 10), (20_000, 10)]
)
def test_samples_of_a_long_video_are_evenly_spaced_and_do_not_overlap(duration_s: float, count: int) -> None:
    found = choose_samples(duration_s)
    gaps = [later.start_s - earlier.start_s for earlier, later in pairwise(found)]

    assert len(found) == count
    assert {sample.length_s for sample in found} == {SAMPLE_S}
    assert gaps == pytest.approx([duration_s / count] * (count - 1))
    assert min(gaps) > SAMPLE_S
    assert found[0].start_s > 0
    assert found[-1].start_s + SAMPLE_S < duration_s
