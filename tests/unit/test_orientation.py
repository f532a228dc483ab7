"""Every EXIF orientation in every format that has one, in every operation."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.contracts.image_params import ResizeParams, ThumbnailParams, WatermarkParams
from darkroom.images.open import open_image
from darkroom.media.geometry import Box, Size, stored_box
from darkroom.media.task import Rendition
from functions.resize.app import resize
from functions.thumbnail.app import thumbnail
from functions.watermark.app import watermark
from tests.media.make_images import animation_frames, encode, encode_oriented, photograph
from tests.support.image_checks import content_of, count_frames, decode, mean_difference, open_result, scale
from tests.support.sources import make_task, make_task_for

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]
ORIENTATIONS = range(1, 9)


@cache
def rotated_photograph(fmt: str, orientation: int) -> bytes:
    """A file that shows the photograph when its orientation is applied."""
    return encode_oriented(photograph(), orientation, fmt, quality=95)


def encode_rotated_animation(shown: list[Image.Image], orientation: int, fmt: str) -> bytes:
    """An animation that shows these frames when its orientation is applied."""
    stored = [Image.open(io.BytesIO(encode_oriented(frame, orientation, "PNG"))) for frame in shown]
    options: dict[str, Any] = {"save_all": True, "append_images": stored[1:], "duration": 80}
    options |= {"lossless": True} if fmt == "WEBP" else {}
    return encode(stored[0], fmt, exif=stored[0].getexif().tobytes(), **options)


def run(content: bytes, folder: Path, operation: Callable[..., list[Rendition]], params: Any) -> Image.Image:
    (folder / "source").write_bytes(content)
    (rendition,) = operation(make_task(folder / "source", folder), params)
    return open_result(rendition)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_opened_image_is_upright_at_every_size(tmp_path: Path, fmt: str, orientation: int) -> None:
    content = rotated_photograph(fmt, orientation)
    task = make_task_for(content, tmp_path)
    assert open_image(task.source, task.limits).size == Size(600, 400)
    half = photograph().resize((300, 200), Image.Resampling.LANCZOS)
    assert mean_difference(scale(content, tmp_path, Size(300, 200)), half) < 2.5
    for in_memory in (True, False):
        assert mean_difference(decode(content, tmp_path, in_memory=in_memory), photograph()) < 3.5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_resize_rotates_the_image_upright(tmp_path: Path, fmt: str, orientation: int) -> None:
    content = rotated_photograph(fmt, orientation)
    result = run(content, tmp_path, resize, ResizeParams(width=300, format="png"))
    assert mean_difference(result, photograph().resize((300, 200), Image.Resampling.LANCZOS)) < 2.5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_region_refers_to_the_upright_image(tmp_path: Path, fmt: str, orientation: int) -> None:
    content = rotated_photograph(fmt, orientation)
    params = ResizeParams.model_validate(
        {"crop": {"left": 330, "top": 40, "width": 200, "height": 120}, "width": 100, "format": "png"}
    )
    expected = photograph().crop((330, 40, 530, 160)).resize((100, 60), Image.Resampling.LANCZOS)
    assert mean_difference(run(content, tmp_path, resize, params), expected) < 2.5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_gravity_refers_to_the_upright_image(tmp_path: Path, fmt: str, orientation: int) -> None:
    content = rotated_photograph(fmt, orientation)
    result = run(content, tmp_path, thumbnail, ThumbnailParams(width=100, height=100, gravity="right", format="png"))
    expected = photograph().crop((200, 0, 600, 400)).resize((100, 100), Image.Resampling.LANCZOS)
    assert mean_difference(result, expected) < 2.5


@pytest.mark.usefixtures("watermark_font")
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_position_of_a_watermark_refers_to_the_upright_image(tmp_path: Path, fmt: str, orientation: int) -> None:
    content = rotated_photograph(fmt, orientation)
    result = run(content, tmp_path, watermark, WatermarkParams(text="##", opacity=1, position="top_left", format="png"))
    assert mean_difference(result.crop((200, 0, 600, 400)), photograph().crop((200, 0, 600, 400))) < 3.5
    assert mean_difference(result.crop((0, 0, 200, 120)), photograph().crop((0, 0, 200, 120))) > 20


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_every_frame_of_an_animation_is_rotated(tmp_path: Path, fmt: str, orientation: int) -> None:
    shown = [frame.convert("RGB") for frame in animation_frames((120, 80))]
    content = encode_rotated_animation(shown, orientation, fmt)
    region = {"left": 30, "top": 10, "width": 60, "height": 40}
    for params in ({"width": 60}, {"width": 120}, {"crop": region}):
        (tmp_path / "source").write_bytes(content)
        resize_params = ResizeParams.model_validate({"format": "png", "metadata": "keep", **params})
        (rendition,) = resize(make_task(tmp_path / "source", tmp_path), resize_params)
        result = Image.open(io.BytesIO(content_of(rendition)))
        assert result.getexif()[0x0112] == 1
        assert (count_frames(result), result.size) == (4, (60, 40) if params != {"width": 120} else (120, 80))
        for number, frame in enumerate(shown):
            result.seek(number)
            part = frame.crop((30, 10, 90, 50)) if "crop" in params else frame
            assert mean_difference(result, part.resize(result.size, Image.Resampling.LANCZOS)) < 4


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_stored_box_agrees_with_pillow(orientation: int) -> None:
    upright = Image.new("L", (60, 40))
    upright.paste(255, (7, 5, 18, 25))
    marked = encode_oriented(upright.convert("RGB"), orientation, "PNG")
    left, top, width, height = stored_box(Box(7, 5, 11, 20), Size(60, 40), orientation)
    assert Image.open(io.BytesIO(marked)).convert("L").getbbox() == (left, top, left + width, top + height)
