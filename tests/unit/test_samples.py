from itertools import pairwise

import pytest

from functions.video_compress.quality import PART_S, WHOLE_S, Part, parts


@pytest.mark.parametrize("duration_s", [None, 0.04, 5.0, WHOLE_S])
def test_short_video_is_one_sample(duration_s: float | None) -> None:
    assert parts(duration_s) == [Part(0.0, WHOLE_S)]


@pytest.mark.parametrize(
    ("duration_s", "count"), [(WHOLE_S + 0.1, 5), (60, 5), (300, 5), (420, 7), (600, 10), (20_000, 10)]
)
def test_samples_of_a_long_video_are_evenly_spaced_without_overlap(duration_s: float, count: int) -> None:
    found = parts(duration_s)
    gaps = [later.start_s - earlier.start_s for earlier, later in pairwise(found)]

    assert len(found) == count
    assert {part.length_s for part in found} == {PART_S}
    assert gaps == pytest.approx([duration_s / count] * (count - 1))
    assert min(gaps) > PART_S
    assert found[0].start_s > 0
    assert found[-1].start_s + PART_S < duration_s
