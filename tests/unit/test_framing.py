"""Cropping and padding: gravity, focal point, region, background."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.contracts.image_params import FocalPoint, Gravity, Region, ResizeParams, ThumbnailParams
from darkroom.contracts.operations import Operation, parse_params
from darkroom.errors import InvalidRequestError
from darkroom.media import geometry
from darkroom.media.geometry import Size
from functions.resize.app import resize
from functions.thumbnail.app import thumbnail
from tests.media.make_images import add_alpha, animation_frames, encode, encode_animation, encode_oriented, photograph
from tests.support.image_checks import count_frames, mean_difference, open_result, pixel_of
from tests.support.sources import make_task

POSITIONS: list[Gravity] = [
    "top_left",
    "top",
    "top_right",
    "left",
    "center",
    "right",
    "bottom_left",
    "bottom",
    "bottom_right",
]


def resized(content: bytes, folder: Path, **params: Any) -> Image.Image:
    (folder / "source").write_bytes(content)
    (rendition,) = resize(make_task(folder / "source", folder), ResizeParams.model_validate(params))
    return open_result(rendition)


def quilt() -> Image.Image:
    """90x90: nine squares of increasing gray (0, 30, 60 ... 240), row by row."""
    image = Image.new("L", (90, 90))
    for place in range(9):
        image.paste(place * 30, (place % 3 * 30, place // 3 * 30, place % 3 * 30 + 30, place // 3 * 30 + 30))
    return image


@pytest.mark.parametrize("gravity", POSITIONS)
@pytest.mark.parametrize("upright", [True, False])
def test_cover_keeps_the_side_given_by_gravity(tmp_path: Path, gravity: Gravity, upright: bool) -> None:
    size = (30, 90) if upright else (90, 30)
    params = {"width": size[0], "height": size[1], "fit": "cover", "gravity": gravity, "format": "png"}
    result = resized(encode(quilt(), "PNG"), tmp_path, **params)
    place = POSITIONS.index(gravity)
    first = place % 3 if upright else place // 3 * 3
    expected = [30 * (first + step) for step in ((0, 3, 6) if upright else (0, 1, 2))]
    middles = [(15, 15 + 30 * step) if upright else (15 + 30 * step, 15) for step in range(3)]
    assert [result.convert("L").getpixel(at) for at in middles] == expected


@pytest.mark.parametrize("gravity", POSITIONS)
def test_thumbnail_keeps_the_side_given_by_gravity(tmp_path: Path, gravity: Gravity) -> None:
    (tmp_path / "source").write_bytes(encode(quilt(), "PNG"))
    params = ThumbnailParams(width=30, height=90, gravity=gravity)
    (rendition,) = thumbnail(make_task(tmp_path / "source", tmp_path), params)
    assert open_result(rendition).convert("L").getpixel((15, 15)) == POSITIONS.index(gravity) % 3 * 30


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    "position",
    [{"gravity": gravity} for gravity in POSITIONS] + [{"focal_point": {"x": 0.3, "y": y}} for y in (0.0, 0.37, 0.999)],
)
@pytest.mark.parametrize("box", [(200, 200), (301, 150)])
def test_long_image_is_cropped_before_it_is_enlarged_beyond_the_pixel_limit(
    tmp_path: Path, box: tuple[int, int], position: dict[str, Any], orientation: int
) -> None:
    long = photograph().resize((17, 700))
    (tmp_path / "source").write_bytes(encode_oriented(long, orientation, "PNG"))
    params = ThumbnailParams.model_validate({"width": box[0], "height": box[1], "format": "png", **position})
    reference, cropped_first = (
        open_result(thumbnail(make_task(tmp_path / "source", tmp_path, pixels=pixels), params)[0])
        for pixels in (250_000_000, 1_000_000)
    )
    assert mean_difference(reference, cropped_first) < 0.5


def test_every_frame_of_a_long_animation_is_cropped_before_it_is_enlarged(tmp_path: Path) -> None:
    frames = [photograph().resize((17, 700)).rotate(turn) for turn in (0, 180)]
    (tmp_path / "source").write_bytes(encode_animation("PNG", frames))
    task = make_task(tmp_path / "source", tmp_path, pixels=1_000_000)
    result = open_result(thumbnail(task, ThumbnailParams(width=200, height=200))[0])
    assert (result.size, count_frames(result)) == ((200, 200), 2)


@pytest.mark.parametrize(("x", "left"), [(0.0, 0), (0.1, 0), (0.5, 200), (0.45, 170), (0.9, 400), (1.0, 400)])
def test_focal_point_is_as_near_the_center_as_the_image_allows(tmp_path: Path, x: float, left: int) -> None:
    focal = {"x": x, "y": 0.5}
    result = resized(
        encode(photograph(), "PNG"), tmp_path, width=200, height=400, fit="cover", focal_point=focal, gravity="left"
    )
    assert mean_difference(result, photograph().crop((left, 0, left + 200, 400))) < 0.5


@given(
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_crop_around_a_focal_point_stays_inside_the_image(
    image: tuple[int, int], point: tuple[float, float], part: tuple[float, float]
) -> None:
    size = Size(*image)
    crop = Size(max(1, int(size.width * part[0])), max(1, int(size.height * part[1])))
    left, top = geometry.center_on(FocalPoint(x=point[0], y=point[1]), size, crop)
    assert 0 <= left <= size.width - crop.width
    assert 0 <= top <= size.height - crop.height


@pytest.mark.parametrize("gravity", ["smart", "entropy"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_interesting_part_is_found_on_either_side(tmp_path: Path, gravity: str, side: str) -> None:
    dull = Image.new("RGB", (600, 200), (90, 90, 90))
    start = 20 if side == "left" else 420
    dull.paste(photograph("chelsea.png").resize((160, 160)), (start, 20))
    result = resized(encode(dull, "PNG"), tmp_path, width=200, height=200, fit="cover", gravity=gravity)
    # All of the cat is in the part that is kept.
    assert 0.3 < result.tobytes().count(bytes([90, 90, 90])) / 40_000 < 0.45


def test_all_frames_are_cropped_at_the_interesting_part_of_the_first(tmp_path: Path) -> None:
    frames = []
    for start in (400, 380, 0):
        dull = Image.new("RGB", (600, 200), (90, 90, 90))
        dull.paste(photograph("chelsea.png").resize((160, 160)), (start, 20))
        frames.append(dull)
    params = {"width": 200, "height": 200, "fit": "cover", "gravity": "smart", "format": "webp", "quality": 95}
    result = resized(encode_animation("WEBP", frames), tmp_path, **params)
    result.seek(2)
    # The cat has left the area that was interesting in the first frame.
    assert mean_difference(result, Image.new("RGB", (200, 200), (90, 90, 90))) < 2


# A region ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"])
def test_region_alone_is_cropped_at_its_own_size(tmp_path: Path, fmt: str) -> None:
    region = {"left": 100, "top": 50, "width": 200, "height": 150}
    result = resized(encode(photograph(), fmt, quality=95), tmp_path, crop=region, format="png")
    assert result.size == (200, 150)
    # GIF has 256 colors.
    assert mean_difference(result, photograph().crop((100, 50, 300, 200))) < (12 if fmt == "GIF" else 4)


def test_region_in_fractions_equals_the_same_region_in_pixels(tmp_path: Path) -> None:
    fraction = {"left": 0.25, "top": 0.5, "width": 0.5, "height": 0.25, "unit": "fraction"}
    result = resized(encode(photograph(), "PNG"), tmp_path, crop=fraction)
    assert result.tobytes() == photograph().crop((150, 200, 450, 300)).tobytes()


def test_other_parameters_apply_to_the_region(tmp_path: Path) -> None:
    region = {"left": 300, "top": 0, "width": 300, "height": 400}
    params = {"crop": region, "width": 100, "height": 100, "fit": "cover", "gravity": "top"}
    result = resized(encode(photograph(), "PNG"), tmp_path, **params)
    expected = photograph().crop((300, 0, 600, 300)).resize((100, 100), Image.Resampling.LANCZOS)
    assert mean_difference(result, expected) < 2.0
    lower = photograph().crop((300, 10, 600, 310)).resize((100, 100), Image.Resampling.LANCZOS)
    assert mean_difference(result, lower) > 6.0


def test_region_is_cropped_from_every_frame(tmp_path: Path) -> None:
    frames = animation_frames((120, 80), 3)
    region = {"left": 40, "top": 10, "width": 50, "height": 60}
    result = resized(encode_animation("WEBP", frames), tmp_path, crop=region, width=25, format="webp", quality=95)
    for number, frame in enumerate(frames):
        result.seek(number)
        assert mean_difference(result, frame.crop((40, 10, 90, 70)).resize((25, 30), Image.Resampling.LANCZOS)) < 9


@pytest.mark.parametrize(
    "region",
    [{"left": 500, "width": 101, "height": 1}, {"top": 1, "width": 1, "height": 400}, {"width": 601, "height": 5}],
)
def test_region_beyond_the_image_is_refused_with_both_sizes(tmp_path: Path, region: dict[str, int]) -> None:
    with pytest.raises(InvalidRequestError, match=r"crop: the region ends at .* the image has only 600 x 400 pixels"):
        resized(encode(photograph(), "PNG"), tmp_path, crop=region)


def test_region_up_to_the_edge_is_inside(tmp_path: Path) -> None:
    region = {"left": 599, "top": 399, "width": 1, "height": 1}
    result = resized(encode(photograph(), "PNG"), tmp_path, crop=region)
    assert result.getpixel((0, 0)) == photograph().getpixel((599, 399))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.999), st.floats(0, 0.999), st.floats(0.001, 1))
def test_region_in_fractions_is_always_inside(width: int, height: int, left: float, top: float, part: float) -> None:
    region = Region(left=left, top=top, width=(1 - left) * part, height=(1 - top) * part, unit="fraction")
    box = geometry.resolve_region(region, Size(width, height))
    assert 0 <= box.left < box.left + box.width <= width
    assert 0 <= box.top < box.top + box.height <= height


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"crop": {"left": 1.5, "width": 10, "height": 10}}, "whole numbers"),
        ({"crop": {"left": 0.5, "width": 0.6, "height": 1, "unit": "fraction"}}, "outside the image"),
        ({"crop": {"width": 0, "height": 1}}, "greater than 0"),
        ({}, "give width, height or both, or a region"),
        ({"width": 10, "fit": "pad"}, "fit 'pad' needs both width and height"),
        ({"width": 10, "focal_point": {"x": 1.1, "y": 0}}, "focal_point.x"),
        ({"width": 10, "background": "#12345"}, "background"),
        ({"width": 10, "max_bytes": 10}, "max_bytes"),
        ({"width": 10, "gps": "keep", "metadata": "copyright"}, "gps 'keep' needs metadata 'keep'"),
        ({"width": 10, "max_frames": 0}, "max_frames"),
    ],
)
def test_inconsistent_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse_params(Operation.RESIZE, params)


# Padding -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gravity", "top"), [("top", 0), ("center", 50), ("bottom_right", 100), ("smart", 50)])
def test_pad_puts_the_whole_image_on_a_canvas_of_one_color(tmp_path: Path, gravity: str, top: int) -> None:
    params = {"width": 300, "height": 300, "fit": "pad", "background": "#c03060", "gravity": gravity}
    result = resized(encode(photograph(), "PNG"), tmp_path, **params)
    expected = Image.new("RGB", (300, 300), "#c03060")
    expected.paste(photograph().resize((300, 200), Image.Resampling.LANCZOS), (0, top))
    assert mean_difference(result, expected) < 1


def test_pad_has_the_exact_size_and_enlarges_the_image_only_on_request(tmp_path: Path) -> None:
    content = encode(Image.new("RGB", (20, 10), "red"), "PNG")
    params: dict[str, Any] = {"width": 100, "height": 100, "fit": "pad", "background": "black"}
    small, large = resized(content, tmp_path, **params), resized(content, tmp_path, **params, upscale=True)
    assert small.size == large.size == (100, 100)
    assert small.getbbox() == (40, 45, 60, 55)
    assert large.getbbox() == (0, 25, 100, 75)


def test_pad_can_be_transparent(tmp_path: Path) -> None:
    params = {"width": 300, "height": 300, "fit": "pad", "background": "#ff000080", "format": "png"}
    result = resized(encode(photograph(), "PNG"), tmp_path, **params)
    assert result.mode == "RGBA"
    assert result.getpixel((5, 5)) == (255, 0, 0, 128)
    assert pixel_of(result, (150, 150))[3] == 255


def test_transparent_pad_is_white_in_a_jpeg(tmp_path: Path) -> None:
    params = {"width": 300, "height": 300, "fit": "pad", "background": "transparent", "format": "jpeg"}
    assert min(pixel_of(resized(encode(photograph(), "PNG"), tmp_path, **params), (5, 5))) >= 253


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
def test_pad_has_the_requested_color_in_every_mode_and_format(tmp_path: Path, mode: str, fmt: str) -> None:
    image = add_alpha(photograph()).convert(mode)
    params = {"width": 120, "height": 120, "fit": "pad", "background": "#d02040", "format": fmt, "quality": 95}
    result = resized(encode(image, "PNG"), tmp_path, **params)
    red, green, blue = pixel_of(result.convert("RGB"), (60, 5))
    assert abs(red - 0xD0) + abs(green - 0x20) + abs(blue - 0x40) < 25


def test_every_frame_is_padded(tmp_path: Path) -> None:
    params = {"width": 120, "height": 120, "fit": "pad", "background": "#00ff00", "format": "webp", "quality": 95}
    result = resized(encode_animation("GIF", animation_frames()), tmp_path, **params)
    assert count_frames(result) == 4
    for number in range(4):
        result.seek(number)
        for row in (5, 115):
            red, green, blue = pixel_of(result.convert("RGB"), (60, row))
            assert red < 20
            assert green > 235
            assert blue < 20


def test_inside_is_the_same_as_contain(tmp_path: Path) -> None:
    content = encode(photograph(), "PNG")
    one, other = (resized(content, tmp_path, width=100, height=100, fit=fit) for fit in ("contain", "inside"))
    assert one.size == other.size == (100, 67)
    assert one.tobytes() == other.tobytes()
