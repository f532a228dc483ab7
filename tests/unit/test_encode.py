"""How results are encoded: their size in bytes, the format by content, JPEG options, and the limits of the encoders."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from darkroom.contracts.image_params import ImageFormat
from darkroom.errors import ResultTooLargeError, TooManyPixelsError
from darkroom.images import encode as encoding
from darkroom.images.color import RgbaColor, parse_color
from darkroom.images.encode import EncodeOptions, choose_format, encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition
from tests.media.make_images import add_alpha, animation_frames, encode, encode_animation, large_photo, photograph
from tests.support.image_checks import content_of, mean_difference, open_result, pixel_of
from tests.support.resize import resize_rendition, resized
from tests.support.sources import make_task

FORMATS: list[ImageFormat] = ["jpeg", "png", "webp", "avif", "gif"]


def size_of(rendition: Rendition) -> int:
    return len(content_of(rendition))


# Size in bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
def test_result_never_exceeds_the_allowed_bytes(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(photograph(), "PNG")
    free = resize_rendition(content, tmp_path, format=fmt, quality=90)
    expected = photograph().resize((300, 200), Image.Resampling.LANCZOS)
    best = mean_difference(open_result(free), expected)
    for part in (1.0, 0.8, 0.5, 0.3):
        most = int(size_of(free) * part)
        fitted = resize_rendition(content, tmp_path, format=fmt, quality=90, max_bytes=most)
        assert size_of(fitted) <= most
        assert best <= mean_difference(open_result(fitted), expected) < 25
    assert fitted.width_px == 300


@pytest.mark.parametrize("fmt", ["jpeg", "webp", "avif"])
def test_result_uses_most_of_the_allowed_bytes(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(photograph(), "PNG")
    most = size_of(resize_rendition(content, tmp_path, format=fmt, quality=90)) // 2
    # One step of quality is a few per cent of the bytes.
    assert size_of(resize_rendition(content, tmp_path, format=fmt, quality=90, max_bytes=most)) > 0.9 * most


@pytest.mark.parametrize("fmt", FORMATS)
def test_result_that_fits_is_encoded_at_the_requested_quality(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(photograph(), "PNG")
    free = resize_rendition(content, tmp_path, format=fmt, quality=70)
    assert resize_rendition(content, tmp_path, format=fmt, quality=70, max_bytes=size_of(free)) == free


@pytest.mark.parametrize("fmt", FORMATS)
def test_size_that_cannot_be_reached_is_an_error_with_the_smallest_possible(tmp_path: Path, fmt: ImageFormat) -> None:
    with pytest.raises(
        ResultTooLargeError, match=rf"smallest possible {fmt} has [\d,]+ bytes; at most 100 are allowed"
    ):
        resize_rendition(encode(photograph(), "PNG"), tmp_path, format=fmt, max_bytes=100)


@pytest.mark.parametrize("fmt", ["gif", "webp", "png"])
def test_animation_is_reduced_as_a_whole_or_refused(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode_animation("GIF", animation_frames())
    free = size_of(resize_rendition(content, tmp_path, width=100, format=fmt, quality=90))
    if fmt == "png":
        with pytest.raises(ResultTooLargeError):
            resize_rendition(content, tmp_path, width=100, format=fmt, max_bytes=free // 2)
        return
    fitted = resize_rendition(content, tmp_path, width=100, format=fmt, quality=90, max_bytes=free * 2 // 3)
    assert size_of(fitted) <= free * 2 // 3
    assert getattr(open_result(fitted), "n_frames", 1) == 4


# The format ----------------------------------------------------------------------------------------------------------


def test_default_format_is_that_of_the_source_or_jpeg() -> None:
    assert [choose_format(None, f"image/{fmt}") for fmt in FORMATS] == FORMATS
    assert [choose_format(None, f"image/{fmt}") for fmt in ("tiff", "bmp", "heic")] == ["jpeg"] * 3
    assert choose_format("webp", "image/jpeg") == "webp"


@pytest.mark.parametrize("fmt", FORMATS)
def test_image_of_one_pixel_is_encoded_in_every_format(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(Image.new("RGB", (1, 1), "red"), "PNG")
    assert resized(content, tmp_path, width=1, format=fmt).size == (1, 1)


def screenshot() -> Image.Image:
    """Boxes and text on a plain background."""
    image = Image.new("RGB", (800, 600), "#f4f4f4")
    draw = ImageDraw.Draw(image)
    for row in range(12):
        draw.rectangle((40, 40 + 45 * row, 400 + 20 * row, 70 + 45 * row), fill="#3060a0", outline="black")
        draw.text((50, 45 + 45 * row), "The quick brown fox jumps over the lazy dog", fill="white")
    return image


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encode(photograph("coffee.png"), "PNG"), "AVIF"),
        (encode(photograph("chelsea.png"), "JPEG"), "AVIF"),
        (encode(photograph("rocket.jpg"), "WEBP"), "AVIF"),
        (encode(photograph().convert("L"), "JPEG"), "AVIF"),
        (encode(add_alpha(photograph()), "PNG"), "WEBP"),
        (encode(photograph().convert("RGBA"), "PNG"), "AVIF"),
        (encode(screenshot(), "PNG"), "PNG"),
        (encode(screenshot(), "JPEG", quality=95), "PNG"),
        (encode(Image.new("RGB", (10, 10), "red"), "GIF"), "PNG"),
        (encode_animation("GIF", animation_frames()), "WEBP"),
        (encode_animation("PNG", animation_frames()), "WEBP"),
    ],
)
def test_automatic_format_depends_on_the_content(tmp_path: Path, content: bytes, expected: str) -> None:
    assert resized(content, tmp_path, format="auto").format == expected


def test_automatic_format_of_a_large_photograph_is_jpeg_because_avif_is_slow(tmp_path: Path) -> None:
    content = encode(large_photo(2400, 1800), "JPEG")
    assert resized(content, tmp_path, width=2400, format="auto").format == "JPEG"
    assert resized(content, tmp_path, width=1200, format="auto").format == "AVIF"


def test_automatic_format_is_chosen_for_an_image_one_pixel_wide(tmp_path: Path) -> None:
    assert resized(encode(Image.new("RGB", (1, 5)), "PNG"), tmp_path, format="auto").size == (1, 5)


# JPEG and colors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "progressive", "expected"), [
    (300, None, True), (300, False, False), (300, True, True), (1600, None, False), (1600, True, True),
])  # fmt: skip
def test_jpeg_is_progressive_on_request_or_when_small(
    tmp_path: Path, width: int, progressive: bool | None, expected: bool
) -> None:
    content = encode(large_photo(1600, 1200), "JPEG")
    result = resized(content, tmp_path, width=width, progressive=progressive, format="jpeg")
    assert ("progressive" in result.info) == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("background", ["white", "black", "#20c040", "#F80", "#20c04080", "transparent"])
def test_transparent_parts_of_a_jpeg_get_the_background_color(tmp_path: Path, mode: str, background: str) -> None:
    image = Image.new("RGBA", (60, 60), (90, 90, 90, 255))
    image.paste((0, 0, 0, 0), (0, 0, 30, 60))
    content = encode(image, "GIF") if mode == "P" else encode(image.convert(mode), "PNG")
    result = resized(content, tmp_path, width=60, format="jpeg", background=background, quality=100)
    pixel = list(pixel_of(result.convert("RGB"), (10, 30)))
    expected = parse_color(background).on_white
    assert pixel == pytest.approx(expected, abs=4)


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("white", RgbaColor(255, 255, 255)),
        ("black", RgbaColor(0, 0, 0)),
        ("transparent", RgbaColor(0, 0, 0, 0)),
        ("#1aF", RgbaColor(0x11, 0xAA, 0xFF)),
        ("#1aF8", RgbaColor(0x11, 0xAA, 0xFF, 0x88)),
        ("#102030", RgbaColor(16, 32, 48)),
        ("#10203040", RgbaColor(16, 32, 48, 64)),
    ],
)
def test_color_is_parsed_as_in_css(text: str, color: RgbaColor) -> None:
    assert parse_color(text) == color


# Limits of the encoders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "alpha", "megapixels"),
    [("avif", False, 50), ("avif", True, 36), ("webp", True, 32), ("gif", False, 100), ("gif", True, 100)],
)
def test_result_too_large_for_its_encoder_is_refused_before_decoding(
    tmp_path: Path, fmt: ImageFormat, alpha: bool, megapixels: int
) -> None:
    side = int((megapixels * 1_000_000) ** 0.5) + 1
    content = encode(Image.new("RGBA" if alpha else "RGB", (4, 4), "red"), "PNG")
    (tmp_path / "source").write_bytes(content)
    reports: list[float] = []
    task = make_task(tmp_path / "source", tmp_path, progress=reports.append)
    image = open_image(task.source, task.limits).scale_to(Size(side, side))
    with pytest.raises(TooManyPixelsError, match=rf"at most {megapixels},000,000 can be encoded as {fmt}"):
        encode_image(image, fmt, quality=80, task=task)
    assert reports == []


def test_result_at_the_limit_of_its_encoder_is_accepted() -> None:
    for fmt, form in encoding._FORMATS.items():
        for most, alpha in ((form.max_pixels, False), (form.max_pixels_alpha, form.has_alpha)):
            side = min(int(most**0.5), form.max_side_px)
            encoding._check_size(Size(side, side), fmt, alpha=alpha)


def test_default_options_keep_no_metadata_and_have_a_white_background() -> None:
    assert EncodeOptions() == EncodeOptions(
        max_bytes=None, background=parse_color("white"), metadata="strip", gps=False
    )
