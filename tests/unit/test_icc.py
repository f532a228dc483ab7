"""ICC profiles: which results keep that of their source, how the others are converted by it, and profile names."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from darkroom.contracts.image_params import ImageFormat
from darkroom.images.icc import profile_name
from darkroom.media.task import Rendition
from tests.media.make_images import convert_profile, encode, gray_profile, icc_profile, photograph
from tests.support.image_checks import content_of, mean_difference
from tests.support.resize import resize_rendition, resized


def open_with_profile(rendition: Rendition) -> Image.Image:
    return Image.open(io.BytesIO(content_of(rendition)))


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_kept_profile_is_embedded_and_the_values_are_unchanged(tmp_path: Path, source: str, fmt: ImageFormat) -> None:
    wide = convert_profile(photograph(), "p3", "RGB")
    content = encode(wide, source, icc_profile=icc_profile("p3"), quality=95)
    rendition = resize_rendition(content, tmp_path, format=fmt, profile="keep", quality=95)
    result = open_with_profile(rendition)
    assert result.info["icc_profile"] == icc_profile("p3")
    assert mean_difference(result, wide.resize((300, 200), Image.Resampling.LANCZOS)) < 3.5
    plain = resized(content, tmp_path, format=fmt, quality=95)
    assert mean_difference(plain, photograph().resize((300, 200), Image.Resampling.LANCZOS)) < 3.5
    assert mean_difference(result, plain) > 4


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp"])
def test_cmyk_is_converted_even_if_profiles_are_kept(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(convert_profile(photograph(), "cmyk", "CMYK"), "JPEG", icc_profile=icc_profile("cmyk"), quality=95)
    kept, plain = (resized(content, tmp_path, format=fmt, profile=which) for which in ("keep", "srgb"))
    assert "icc_profile" not in kept.info
    assert kept.tobytes() == plain.tobytes()


def test_gif_has_no_profile_and_is_srgb(tmp_path: Path) -> None:
    content = encode(convert_profile(photograph(), "p3", "RGB"), "PNG", icc_profile=icc_profile("p3"))
    kept, plain = (resized(content, tmp_path, format="gif", profile=which) for which in ("keep", "srgb"))
    assert kept.tobytes() == plain.tobytes()


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize(
    ("params", "is_kept"),
    [
        ({"format": "png"}, True),
        ({"format": "jpeg"}, True),
        ({"format": "webp"}, False),
        ({"format": "avif"}, False),
        ({"format": "png", "height": 300, "fit": "pad", "background": "#f00"}, False),
    ],
)
def test_gray_profile_is_kept_in_gray_results_and_applied_in_others(
    tmp_path: Path, mode: str, params: dict[str, Any], is_kept: bool
) -> None:
    content = encode(Image.new("L", (300, 200), 64).convert(mode), "PNG", icc_profile=gray_profile())
    rendition = resize_rendition(content, tmp_path, profile="keep", **params)
    result = open_with_profile(rendition)
    assert ("icc_profile" in result.info) == is_kept
    middle = result.convert("L").getpixel((150, result.height // 2))
    assert middle == pytest.approx(64 if is_kept else 137, abs=2)  # a quarter of the light is 137 in sRGB


def test_kept_profile_shows_the_original_colors(tmp_path: Path) -> None:
    wide = convert_profile(photograph(), "p3", "RGB")
    rendition = resize_rendition(
        encode(wide, "PNG", icc_profile=icc_profile("p3")), tmp_path, profile="keep", format="png"
    )
    result = open_with_profile(rendition)
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"]))
    shown = ImageCms.profileToProfile(result, embedded, ImageCms.createProfile("sRGB"))
    assert shown is not None
    assert mean_difference(shown, photograph().resize((300, 200), Image.Resampling.LANCZOS)) < 2


@pytest.mark.parametrize(("name", "expected"), [("p3", "sP3C"), ("srgb", "sRGB"), ("cmyk", "Chemical proof")])
def test_profile_is_described_by_its_own_name(name: str, expected: str) -> None:
    assert expected in (profile_name(icc_profile(name)) or "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 200,
        icc_profile("p3")[:140],
        b"\0" * 128 + b"\0\0\0\x01desc\0\0\0\x90\0\0\xff\xff" + b"mluc" + b"\xff" * 40,
    ],
)
def test_profile_without_a_name_has_none(content: bytes) -> None:
    assert profile_name(content) is None
