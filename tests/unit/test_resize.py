"""Results of resize: size, format, quality, transparency, animations, limits."""

from pathlib import Path
from random import Random

import pytest
from PIL import Image

from darkroom.contracts.image_params import ImageFormat, ResizeParams
from darkroom.errors import InvalidRequestError, MediaError, TooManyPixelsError
from functions.resize.app import resize
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    camera_jpeg,
    encode,
    encode_animation,
    large_photo,
    photograph,
)
from tests.support.image_checks import mean_difference, open_result
from tests.support.sources import make_task


def resized(content: bytes, folder: Path, params: ResizeParams) -> Image.Image:
    """The result for `content`, which has 600x400 pixels in most tests."""
    file = folder / "source"
    file.write_bytes(content)
    (rendition,) = resize(make_task(file, folder), params)
    return open_result(rendition)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        (ResizeParams(width=300), (300, 200)),
        (ResizeParams(height=100), (150, 100)),
        (ResizeParams(width=200, height=200), (200, 133)),
        (ResizeParams(width=200, height=200, fit="cover"), (200, 200)),
        (ResizeParams(width=200, height=200, fit="fill"), (200, 200)),
        (ResizeParams(width=1200), (600, 400)),
        (ResizeParams(width=1200, upscale=True), (1200, 800)),
        (ResizeParams(width=1200, height=600, fit="cover"), (600, 300)),
        (ResizeParams(width=1200, height=600, fit="cover", upscale=True), (1200, 600)),
        (ResizeParams(width=1, height=1), (1, 1)),
    ],
)
def test_result_has_the_requested_size_and_is_enlarged_only_on_request(
    tmp_path: Path, params: ResizeParams, size: tuple[int, int]
) -> None:
    assert resized(encode(photograph(), "PNG"), tmp_path, params).size == size


def test_result_looks_like_a_lanczos_resize(tmp_path: Path) -> None:
    image = large_photo(1600, 1200)
    result = resized(encode(image, "PNG"), tmp_path, ResizeParams(width=400))
    assert mean_difference(result, image.resize((400, 300), Image.Resampling.LANCZOS)) < 1.0


def test_jpeg_shrunk_on_load_looks_like_one_decoded_at_full_size(tmp_path: Path) -> None:
    content = camera_jpeg(2400, 1800, orientation=6)
    result = resized(content, tmp_path, ResizeParams(width=225, format="png"))
    expected = (
        large_photo(2400, 1800).transpose(Image.Transpose.ROTATE_270).resize((225, 300), Image.Resampling.LANCZOS)
    )
    assert mean_difference(result, expected) < 2.0


def test_cover_keeps_the_center_and_fill_the_whole_image(tmp_path: Path) -> None:
    image = photograph()
    cover = resized(encode(image, "PNG"), tmp_path, ResizeParams(width=200, height=200, fit="cover"))
    assert mean_difference(cover, image.crop((100, 0, 500, 400)).resize((200, 200), Image.Resampling.LANCZOS)) < 1.0
    fill = resized(encode(image, "PNG"), tmp_path, ResizeParams(width=200, height=200, fit="fill"))
    assert mean_difference(fill, image.resize((200, 200), Image.Resampling.LANCZOS)) < 1.0


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
def test_result_has_the_requested_format_and_looks_like_the_source(tmp_path: Path, fmt: ImageFormat) -> None:
    image = photograph()
    result = resized(encode(image, "PNG"), tmp_path, ResizeParams(width=300, format=fmt, quality=90))
    assert result.format == fmt.upper()
    # A GIF has at most 256 colors.
    allowed = 6.0 if fmt == "gif" else 3.0
    assert mean_difference(result, image.resize((300, 200), Image.Resampling.LANCZOS)) < allowed


@pytest.mark.parametrize(
    ("source", "expected"),
    [(own, own) for own in ("JPEG", "PNG", "WEBP", "AVIF", "GIF")] + [("TIFF", "JPEG"), ("BMP", "JPEG")],
)
def test_format_is_kept_if_it_can_be_encoded(tmp_path: Path, source: str, expected: str) -> None:
    assert resized(encode(photograph(), source), tmp_path, ResizeParams(width=100)).format == expected


@pytest.mark.parametrize("fmt", ["jpeg", "webp", "avif"])
def test_lower_quality_gives_a_smaller_file(tmp_path: Path, fmt: ImageFormat) -> None:
    file = tmp_path / "source"
    file.write_bytes(encode(photograph(), "PNG"))
    sizes = []
    for quality in (20, 60, 95):
        (rendition,) = resize(make_task(file, tmp_path), ResizeParams(width=300, format=fmt, quality=quality))
        assert isinstance(rendition.content, bytes)
        sizes.append(len(rendition.content))
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("fmt", ["png", "webp", "avif"])
def test_transparency_is_kept_if_the_format_has_it(tmp_path: Path, fmt: ImageFormat) -> None:
    image = add_alpha(photograph())
    result = resized(encode(image, "PNG"), tmp_path, ResizeParams(width=300, format=fmt, quality=90))
    assert result.mode == "RGBA"
    alpha = result.getchannel("A")
    assert alpha.getpixel((10, 100)) == 255
    assert mean_difference(alpha, image.getchannel("A").resize((300, 200))) < 2.0
    assert mean_difference(result, image.resize((300, 200), Image.Resampling.LANCZOS)) < 3.0


def test_transparency_becomes_white_in_a_jpeg(tmp_path: Path) -> None:
    image = add_alpha(photograph())
    result = resized(encode(image, "PNG"), tmp_path, ResizeParams(width=300, format="jpeg", quality=90))
    assert result.mode == "RGB"
    assert min(result.crop((298, 0, 300, 200)).tobytes()) >= 250
    assert mean_difference(result, image.resize((300, 200), Image.Resampling.LANCZOS)) < 3.0


@pytest.mark.parametrize(
    ("source", "fmt"), [(source, fmt) for source in ("GIF", "WEBP", "PNG") for fmt in ("gif", "webp", "png")]
)
@pytest.mark.parametrize("fit", ["contain", "cover"])
def test_animation_keeps_its_frames_and_delays(tmp_path: Path, source: str, fmt: ImageFormat, fit: str) -> None:
    frames = animation_frames()
    params = ResizeParams.model_validate({"width": 60, "height": 40, "fit": fit, "format": fmt, "quality": 95})
    result = resized(encode_animation(source, frames, frame_ms=80, plays=4), tmp_path, params)
    assert getattr(result, "n_frames", 1) == len(frames)
    # GIF counts repetitions, WebP and PNG count plays.
    assert result.info["loop"] == (3 if fmt == "gif" else 4)
    for number, frame in enumerate(frames):
        result.seek(number)
        assert mean_difference(result, frame.resize((60, 40), Image.Resampling.LANCZOS)) < 9.0
        assert result.info["duration"] == 80


def test_every_frame_is_cropped(tmp_path: Path) -> None:
    frames = animation_frames((120, 80), 3)
    params = ResizeParams(width=40, height=80, fit="cover", format="webp", quality=95)
    result = resized(encode_animation("WEBP", frames), tmp_path, params)
    for number, frame in enumerate(frames):
        result.seek(number)
        assert mean_difference(result, frame.crop((40, 0, 80, 80))) < 9.0


@pytest.mark.parametrize("fmt", ["GIF", "WEBP"])
def test_random_damage_in_an_animation_causes_no_other_error_than_a_media_error(tmp_path: Path, fmt: str) -> None:
    random = Random(f"damaged frames {fmt}")
    good = encode_animation(fmt, animation_frames())
    outcomes = set()
    for _ in range(40):
        content = bytearray(good)
        for _ in range(10):
            content[random.randrange(20, len(content))] = random.randrange(256)
        try:
            resized(bytes(content), tmp_path, ResizeParams(width=30, height=40, fit="cover", format="webp"))
            outcomes.add("made")
        except MediaError as error:
            outcomes.add(error.code)
    assert outcomes <= {"made", "corrupt_media", "too_many_pixels"}
    assert "corrupt_media" in outcomes


def test_format_without_animation_shows_the_first_frame(tmp_path: Path) -> None:
    frames = animation_frames()
    result = resized(encode_animation("GIF", frames), tmp_path, ResizeParams(width=60, format="jpeg"))
    assert mean_difference(result, frames[0].resize((60, 40), Image.Resampling.LANCZOS)) < 9.0


def test_result_too_large_for_the_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    narrow = Image.new("RGB", (10, 2000))
    with pytest.raises(InvalidRequestError, match=r"20,000 pixels; webp allows at most 16,383"):
        resized(encode(narrow, "PNG"), tmp_path, ResizeParams(width=100, upscale=True, format="webp"))


def test_result_with_too_many_pixels_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    with pytest.raises(TooManyPixelsError, match="The result has"):
        resized(encode(Image.new("RGB", (1, 16_000)), "PNG"), tmp_path, ResizeParams(width=16_000, upscale=True))
