"""Colors of results: color spaces, profiles, bit depths, channels."""

import io
from pathlib import Path

import pytest
import pyvips
from PIL import Image, ImageCms, TiffImagePlugin, TiffTags

from darkroom.contracts.image_params import ImageFormat
from darkroom.errors import CorruptMediaError, UnsupportedMediaTypeError
from darkroom.images.encode import EncodeOptions, encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from tests.media.make_images import (
    MEDIA,
    add_alpha,
    convert_profile,
    convert_to_lab,
    encode,
    encode_16_bit_png,
    icc_profile,
    photograph,
    truncate,
)
from tests.support.image_checks import decode, mean_difference, open_result, pixel_of, scale
from tests.support.sources import make_task_for

HALF = Size(300, 200)


def half(image: Image.Image) -> Image.Image:
    """An image of 600x400 pixels, scaled to `HALF`."""
    return image.resize(HALF, Image.Resampling.LANCZOS)


def test_wide_gamut_image_is_converted_to_srgb(tmp_path: Path) -> None:
    image = photograph()
    content = encode(convert_profile(image, "p3", "RGB"), "PNG", icc_profile=icc_profile("p3"))
    assert mean_difference(scale(content, tmp_path, HALF), half(image)) < 1.5
    assert mean_difference(decode(content, tmp_path, in_memory=True), image) < 1.5


def test_srgb_profile_changes_no_pixel(tmp_path: Path) -> None:
    image = photograph()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = decode(encode(image, "PNG", icc_profile=srgb), tmp_path, in_memory=True)
    assert result.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    "curve",
    [b"curv" + bytes(8), b"curv" + bytes(4) + b"\0\0\0\1\1\0", b"para" + bytes(8) + b"\0\1\0\0"],
    ids=["no points", "exponent", "formula"],
)
def test_linear_srgb_is_converted(tmp_path: Path, curve: bytes) -> None:
    srgb = icc_profile("srgb")
    linear = srgb[:448] + curve + bytes(32 - len(curve))
    assert srgb[448:452] == b"para"
    content = encode(Image.new("RGB", (600, 400), (64, 64, 64)), "PNG", icc_profile=linear)
    for result in (scale(content, tmp_path, HALF), decode(content, tmp_path, in_memory=True)):
        assert result.getpixel((9, 9)) == pytest.approx((137, 137, 137), abs=1)  # a quarter of the light


def test_cmyk_is_converted_by_its_profile(tmp_path: Path) -> None:
    source = convert_profile(photograph(), "cmyk", "CMYK")
    reference = ImageCms.profileToProfile(
        source,
        ImageCms.ImageCmsProfile(io.BytesIO(icc_profile("cmyk"))),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert reference is not None
    jpeg = encode(source, "JPEG", quality=95, icc_profile=icc_profile("cmyk"))
    tiff = encode(source, "TIFF", icc_profile=icc_profile("cmyk"))
    for content in (jpeg, tiff):
        assert mean_difference(scale(content, tmp_path, HALF), half(reference)) < 2.5
        assert mean_difference(decode(content, tmp_path, in_memory=True), reference) < 2.5


def test_large_cmyk_jpeg_is_shrunk_on_load_with_the_same_colors(tmp_path: Path) -> None:
    source = photograph().resize((2400, 1600), Image.Resampling.LANCZOS)
    content = encode(convert_profile(source, "cmyk", "CMYK"), "JPEG", quality=95, icc_profile=icc_profile("cmyk"))
    small = encode(
        convert_profile(half(photograph()), "cmyk", "CMYK"), "JPEG", quality=95, icc_profile=icc_profile("cmyk")
    )
    assert mean_difference(scale(content, tmp_path, HALF), decode(small, tmp_path, in_memory=True)) < 3.0


def test_cmyk_without_a_profile_is_not_inverted(tmp_path: Path) -> None:
    content = encode(photograph().convert("CMYK"), "JPEG", quality=95)
    assert mean_difference(scale(content, tmp_path, HALF), half(photograph())) < 20


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("broken", [b"not a profile" * 20, b"", icc_profile("cmyk")[:2000]])
def test_invalid_profile_is_ignored(tmp_path: Path, mode: str, broken: bytes) -> None:
    image = photograph().convert(mode)
    fmt = "TIFF" if mode == "CMYK" else "PNG"
    with_profile = scale(encode(image, fmt, icc_profile=broken), tmp_path, HALF)
    assert mean_difference(with_profile, scale(encode(image, fmt), tmp_path, HALF)) == 0


def test_16_bits_become_8(tmp_path: Path) -> None:
    content = encode_16_bit_png(photograph())
    assert mean_difference(scale(content, tmp_path, HALF), half(photograph())) < 1.5
    assert decode(content, tmp_path, in_memory=True).tobytes() == photograph().tobytes()


def test_16_bits_of_gray_become_8(tmp_path: Path) -> None:
    gray = photograph().convert("L")
    deep = gray.convert("I").point(lambda level: level * 257).convert("I;16")
    result = decode(encode(deep, "PNG"), tmp_path, in_memory=True)
    assert (result.mode, result.tobytes()) == ("L", gray.tobytes())


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "BMP"])
def test_gray_stays_gray(tmp_path: Path, fmt: str) -> None:
    gray = photograph().convert("L")
    result = scale(encode(gray, fmt), tmp_path, HALF)
    assert result.mode == "L"
    assert mean_difference(result, half(gray)) < 2.0


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_pixel_format_can_be_encoded_in_every_format(tmp_path: Path, mode: str, fmt: ImageFormat) -> None:
    image = add_alpha(photograph()).convert(mode)
    task = make_task_for(encode(image, "PNG"), tmp_path)
    source = open_image(task.source, task.limits)
    result = open_result(encode_image(source.full_size(task, in_memory=False), fmt, quality=95, task=task))
    # GIF has no partial transparency and 256 colors; black and white dots compress badly in lossy formats.
    assert mean_difference(result, image) < (40 if fmt == "gif" else 8)


def with_channels(mode: str, count: int) -> bytes:
    """A TIFF with `count` channels in addition to its colors, all of them at full value."""
    image = pyvips.Image.new_from_file(str(MEDIA / "coffee.png")).colourspace(mode)
    for _ in range(count):
        image = image.bandjoin(255)
    return bytes(image.tiffsave_buffer())


@pytest.mark.parametrize("mode", ["srgb", "b-w", "cmyk"])
@pytest.mark.parametrize("fmt", ["jpeg", "png"])
def test_spot_colors_and_masks_are_dropped(tmp_path: Path, mode: str, fmt: ImageFormat) -> None:
    def result(count: int) -> Image.Image:
        task = make_task_for(with_channels(mode, count), tmp_path)
        return open_result(
            encode_image(open_image(task.source, task.limits).scale_to(HALF), fmt, quality=95, task=task)
        )

    assert mean_difference(result(3).convert("RGB"), result(0).convert("RGB")) < 2


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["LAB", "YCbCr"])
def test_tiff_in_lab_or_ycbcr_has_the_right_colors(tmp_path: Path, mode: str, compression: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = (convert_to_lab(photograph()) if mode == "LAB" else photograph().convert(mode)).transpose(
        Image.Transpose.ROTATE_180
    )
    content = encode(stored, "TIFF", compression=compression, exif=exif.tobytes())
    assert mean_difference(scale(content, tmp_path, HALF), half(photograph())) < 2.5
    with pytest.raises(CorruptMediaError):
        scale(truncate(content, 0.5), tmp_path, HALF)


def test_tiff_tag_that_is_not_a_profile_is_ignored(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[34675] = TiffTags.SHORT
    tags[34675] = 1
    content = encode(photograph().convert("YCbCr"), "TIFF", tiffinfo=tags)
    assert mean_difference(scale(content, tmp_path, HALF), half(photograph())) < 2.5


def test_profile_for_lab_is_not_kept(tmp_path: Path) -> None:
    content = encode(convert_to_lab(photograph()), "TIFF")
    assert b"acsp" in content
    task = make_task_for(content, tmp_path)
    image = open_image(task.source, task.limits, keep_profile=True).scale_to(HALF)
    options = EncodeOptions(keep_profile=True)
    assert "icc_profile" not in open_result(encode_image(image, "png", quality=80, task=task, options=options)).info


def test_image_with_too_many_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="13 channels; at most 12 are"):
        scale(with_channels("srgb", 10), tmp_path, HALF)


def test_transparent_color_of_a_palette_stays_transparent(tmp_path: Path) -> None:
    image = photograph().quantize(16)
    image.paste(0, (0, 0, 300, 400))
    result = decode(encode(image, "PNG", transparency=0), tmp_path, in_memory=True)
    assert result.mode == "RGBA"
    assert pixel_of(result, (10, 10))[3] == 0


def test_bmp_is_read_in_every_bit_depth(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        image = photograph().convert(mode)
        result = decode(encode(image, "BMP"), tmp_path, in_memory=False)
        assert mean_difference(result, image) == 0, mode
