"""The document of video_metadata about images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.contracts.video_params import VideoMetadataParams
from darkroom.errors import TooManyPixelsError
from functions.video_metadata.app import video_metadata
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    convert_profile,
    convert_to_lab,
    decompression_bomb,
    encode,
    encode_16_bit_png,
    encode_animation,
    encode_oriented,
    icc_profile,
    photograph,
)
from tests.support.sources import make_task
from tests.support.video_metadata import describe, only_entry
from tests.support.videos import Clips


def describe_image(content: bytes, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document about an image, and its one stream."""
    file = folder / "image"
    file.write_bytes(content)
    document = describe(file, folder)
    return document, only_entry(document, "image")


def camera_exif(**more: str) -> bytes:
    """EXIF as a camera writes it, with the location."""
    exif = Image.Exif()
    exif.update({0x010F: "Maker ", 0x0110: "Model 1", 0x0112: 6})
    names = {"lens": 0xA434, "at": 0x9003, "offset": 0x9011}
    exif.get_ifd(0x8769).update({names[name]: value for name, value in more.items()})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0), 29: "2021:05:01"})
    return exif.tobytes()


CAMERA_EXIF = camera_exif(lens="Lens 50 mm", at="2021:05:01 12:30:00", offset="+02:00")


def test_image_is_described_in_the_same_shape_as_a_video(clips: Clips, tmp_path: Path) -> None:
    video = describe(clips("video.mp4"), tmp_path)
    document, stream = describe_image(
        encode(photograph(), "JPEG", exif=CAMERA_EXIF, icc_profile=icc_profile("p3")), tmp_path
    )

    assert document.keys() == video.keys()
    assert only_entry(video, "video").keys() | {"orientation", "alpha", "icc_profile", "plays"} == stream.keys()
    assert (document["kind"], document["media_type"], document["container"]) == ("image", "image/jpeg", "JPEG")
    assert document["size_bytes"] == (tmp_path / "image").stat().st_size
    assert (document["duration_s"], document["bit_rate_bps"], document["chapters"]) == (None, None, [])
    assert (stream["width_px"], stream["height_px"]) == (400, 600)
    assert (stream["coded_width_px"], stream["coded_height_px"]) == (600, 400)
    assert (stream["orientation"], stream["rotation_degrees"]) == (6, 90)
    assert (stream["codec"], stream["bit_depth"], stream["color_space"]) == ("jpeg", 8, "rgb")
    assert (stream["alpha"], stream["icc_profile"], stream["frame_count"]) == (False, "sP3C", 1)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_time_and_the_camera_of_an_image_are_included_and_the_location_is_not(tmp_path: Path, fmt: str) -> None:
    document, _ = describe_image(encode(photograph(), fmt, exif=CAMERA_EXIF), tmp_path)

    assert document["tags"] == {
        "creation_time": "2021-05-01T12:30:00+02:00",
        "make": "Maker",
        "model": "Model 1",
        "lens_model": "Lens 50 mm",
    }
    assert not any(part in json.dumps(document) for part in ("48.0", "51.0", "GPS", "gps"))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2021:05:01 12:30:00", "2021-05-01T12:30:00"),
        ("0000:00:00 00:00:00", None),
        ("2021-05-01", None),
        ("    :  :     :  :  ", None),
        ("", None),
    ],
)
def test_only_a_valid_time_is_included(tmp_path: Path, at: str, expected: str | None) -> None:
    document, _ = describe_image(encode(photograph(), "JPEG", exif=camera_exif(at=at)), tmp_path)

    assert document["tags"].get("creation_time") == expected


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", CAMERA_EXIF[:60], CAMERA_EXIF[:20] + b"\xff" * 90]
)
def test_damaged_exif_is_ignored(tmp_path: Path, exif: bytes) -> None:
    document, _ = describe_image(encode(photograph(), "PNG", exif=exif), tmp_path)

    assert "creation_time" not in document["tags"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda image: encode(image, "PNG"), ("PNG", "png", 8, "rgb", False)),
        (lambda image: encode(add_alpha(image), "PNG"), ("PNG", "png", 8, "rgb", True)),
        (lambda image: encode(image.convert("L"), "PNG"), ("PNG", "png", 8, "gray", False)),
        (encode_16_bit_png, ("PNG", "png", 16, "rgb", False)),
        (lambda image: encode(image.quantize(16), "PNG"), ("PNG", "png", 4, "rgb", False)),
        (lambda image: encode(add_alpha(image), "WEBP"), ("WebP", "webp", 8, "rgb", True)),
        (lambda image: encode(image, "GIF"), ("GIF", "gif", 8, "rgb", False)),
        (lambda image: encode(image, "TIFF"), ("TIFF", "tiff", 8, "rgb", False)),
        (lambda image: encode(image.convert("YCbCr"), "TIFF"), ("TIFF", "tiff", 8, "rgb", False)),
        (lambda image: encode(convert_to_lab(image), "TIFF"), ("TIFF", "tiff", 8, "lab", False)),
        (lambda image: encode(convert_profile(image, "cmyk", "CMYK"), "TIFF"), ("TIFF", "tiff", 8, "cmyk", False)),
        (lambda image: encode(image, "BMP"), ("BMP", "bmp", 8, "rgb", False)),
        (lambda image: encode(image.convert("1"), "BMP"), ("BMP", "bmp", 1, "gray", False)),
        (lambda image: encode(image, "AVIF"), ("AVIF", "av1", 8, "rgb", False)),
        (lambda image: encode(add_alpha(image), "HEIF"), ("HEIC", "hevc", 8, "rgb", True)),
    ],
)
def test_every_kind_of_image_is_recognized(
    tmp_path: Path, content: Callable[[Image.Image], bytes], expected: tuple[object, ...]
) -> None:
    document, stream = describe_image(content(photograph()), tmp_path)

    assert (
        document["container"],
        stream["codec"],
        stream["bit_depth"],
        stream["color_space"],
        stream["alpha"],
    ) == expected
    assert (stream["width_px"], stream["height_px"]) == (600, 400)
    assert (stream["frame_count"], stream["plays"], document["duration_s"]) == (1, None, None)


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_of_an_image_is_that_as_displayed(tmp_path: Path, fmt: str, orientation: int) -> None:
    _, stream = describe_image(encode_oriented(photograph(), orientation, fmt), tmp_path)

    assert (stream["width_px"], stream["height_px"]) == (600, 400)
    if fmt in ("JPEG", "TIFF"):
        assert stream["orientation"] == orientation
        assert stream["rotation_degrees"] == [0, 0, 180, 180, 270, 90, 90, 270][orientation - 1]


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG"])
def test_animation_has_frames_a_duration_and_a_rate(tmp_path: Path, fmt: str) -> None:
    document, stream = describe_image(encode_animation(fmt, animation_frames((48, 32))), tmp_path)

    assert (stream["frame_count"], stream["frame_rate"], stream["plays"]) == (4, 12.5, 4)
    assert document["duration_s"] == stream["duration_s"] == pytest.approx(0.32)
    assert (stream["width_px"], stream["height_px"]) == (48, 32)


def test_duration_of_an_animation_is_rounded(tmp_path: Path) -> None:
    document, _ = describe_image(encode_animation("PNG", animation_frames((48, 32), 3), frame_ms=100), tmp_path)

    assert repr(document["duration_s"]) == "0.3"


def test_animated_avif_has_frames(tmp_path: Path) -> None:
    _, stream = describe_image(encode_animation("AVIF", animation_frames((48, 32))), tmp_path)

    assert (stream["frame_count"], stream["width_px"], stream["height_px"]) == (4, 48, 32)
    assert (stream["codec"], stream["alpha"], stream["duration_s"]) == ("av1", False, None)


def test_image_is_described_by_its_header_alone(tmp_path: Path) -> None:
    whole = encode(photograph(), "PNG")
    _, stream = describe_image(whole[: len(whole) // 2], tmp_path)

    assert (stream["width_px"], stream["height_px"]) == (600, 400)


@pytest.mark.parametrize("content", [decompression_bomb(), encode(photograph(), "BMP"), encode(photograph(), "HEIF")])
def test_image_beyond_the_pixel_limit_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "image"
    file.write_bytes(content)

    with pytest.raises(TooManyPixelsError):
        video_metadata(make_task(file, tmp_path, pixels=600 * 400 - 1), VideoMetadataParams())
