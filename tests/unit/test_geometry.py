"""Sizes and positions: contain, cover, fill and the alignment of an item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.contracts.image_params import Position
from darkroom.media import geometry
from darkroom.media.geometry import ResizePlan, Size

SIZES = st.builds(Size, st.integers(1, 20_000), st.integers(1, 20_000))


@pytest.mark.parametrize(
    ("width", "height", "upscale", "expected"),
    [
        (1600, None, False, Size(1600, 1200)),
        (None, 300, False, Size(400, 300)),
        (300, 300, False, Size(300, 225)),
        (8000, None, False, Size(4000, 3000)),
        (8000, None, True, Size(8000, 6000)),
        (1, None, False, Size(1, 1)),
    ],
)
def test_contain_keeps_the_aspect_ratio(width: int | None, height: int | None, upscale: bool, expected: Size) -> None:
    assert geometry.plan_contain(Size(4000, 3000), width, height, upscale=upscale) == ResizePlan(expected, expected)


@pytest.mark.parametrize(
    ("box", "upscale", "expected"),
    [
        (Size(300, 300), False, ResizePlan(Size(400, 300), Size(300, 300))),
        (Size(400, 100), False, ResizePlan(Size(400, 300), Size(400, 100))),
        (Size(8000, 4000), True, ResizePlan(Size(8000, 6000), Size(8000, 4000))),
        (Size(8000, 4000), False, ResizePlan(Size(4000, 3000), Size(4000, 2000))),
        (Size(3000, 6000), False, ResizePlan(Size(4000, 3000), Size(1500, 3000))),
    ],
)
def test_cover_fills_the_box_or_a_smaller_one_of_its_aspect_ratio(
    box: Size, upscale: bool, expected: ResizePlan
) -> None:
    assert geometry.plan_cover(Size(4000, 3000), box, upscale=upscale) == expected


def test_fill_stretches_and_enlarges_only_on_request() -> None:
    assert geometry.plan_fill(Size(400, 300), Size(200, 250), upscale=False).result_size == Size(200, 250)
    assert geometry.plan_fill(Size(400, 300), Size(600, 600), upscale=False).result_size == Size(300, 300)
    assert geometry.plan_fill(Size(400, 300), Size(600, 600), upscale=True).result_size == Size(600, 600)


@given(SIZES, SIZES, st.booleans())
def test_plans_stay_inside_the_box_and_the_scaled_image(image: Size, box: Size, upscale: bool) -> None:
    plans = [
        geometry.plan_contain(image, *box, upscale=upscale),
        geometry.plan_cover(image, box, upscale=upscale),
        geometry.plan_fill(image, box, upscale=upscale),
    ]
    for scaled, crop in plans:
        assert 1 <= crop.width <= min(box.width, scaled.width)
        assert 1 <= crop.height <= min(box.height, scaled.height)
        assert upscale or (scaled.width <= image.width and scaled.height <= image.height)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("top_left", (5, 5)),
        ("top", (45, 5)),
        ("top_right", (85, 5)),
        ("left", (5, 40)),
        ("center", (45, 40)),
        ("right", (85, 40)),
        ("bottom_left", (5, 75)),
        ("bottom", (45, 75)),
        ("bottom_right", (85, 75)),
    ],
)
def test_item_is_aligned_at_each_of_nine_positions(position: Position, expected: tuple[int, int]) -> None:
    assert geometry.align(Size(100, 100), Size(10, 20), position, 5) == expected
