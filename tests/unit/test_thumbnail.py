"""Results of thumbnail: exact size, crop, orientation, format, transparency, animations."""

from pathlib import Path

import pytest
from PIL import Image

from darkroom.contracts.image_params import ImageFormat, ThumbnailParams
from functions.thumbnail.app import thumbnail
from tests.media.make_images import add_alpha, animation_frames, encode, encode_animation, encode_oriented, photograph
from tests.support.image_checks import mean_difference, open_result
from tests.support.sources import make_task


def thumbnailed(content: bytes, folder: Path, params: ThumbnailParams) -> Image.Image:
    """The thumbnail of `content`."""
    file = folder / "source"
    file.write_bytes(content)
    (rendition,) = thumbnail(make_task(file, folder), params)
    return open_result(rendition)


@pytest.mark.parametrize("source", [(600, 400), (400, 600), (299, 301), (50, 50), (1, 900), (1000, 10)])
@pytest.mark.parametrize("box", [(300, 300), (320, 180), (90, 160), (1, 1)])
def test_result_has_the_exact_size_for_any_source(
    tmp_path: Path, source: tuple[int, int], box: tuple[int, int]
) -> None:
    params = ThumbnailParams(width=box[0], height=box[1])
    assert thumbnailed(encode(photograph().resize(source), "JPEG"), tmp_path, params).size == box


def test_default_is_a_square_of_300_pixels(tmp_path: Path) -> None:
    assert thumbnailed(encode(photograph(), "JPEG"), tmp_path, ThumbnailParams()).size == (300, 300)


def test_image_is_cropped_equally_on_both_sides(tmp_path: Path) -> None:
    image = photograph()
    result = thumbnailed(encode(image, "PNG"), tmp_path, ThumbnailParams(width=200, height=200))
    middle = image.crop((100, 0, 500, 400)).resize((200, 200), Image.Resampling.LANCZOS)
    assert mean_difference(result, middle) < 1.0
    left = image.crop((0, 0, 400, 400)).resize((200, 200), Image.Resampling.LANCZOS)
    assert mean_difference(result, left) > 10.0


def test_smaller_image_is_enlarged(tmp_path: Path) -> None:
    image = photograph().resize((60, 40), Image.Resampling.LANCZOS)
    result = thumbnailed(encode(image, "PNG"), tmp_path, ThumbnailParams(width=240, height=160))
    # libvips places pixels half a pixel further to the right and down than Pillow.
    assert mean_difference(result, image.resize((240, 160), Image.Resampling.BICUBIC)) < 4.0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_image_is_cropped(tmp_path: Path, orientation: int) -> None:
    image = photograph()
    content = encode_oriented(image, orientation, "JPEG", quality=95)
    result = thumbnailed(content, tmp_path, ThumbnailParams(width=100, height=200, format="png"))
    assert mean_difference(result, image.crop((200, 0, 400, 400)).resize((100, 200), Image.Resampling.LANCZOS)) < 2.0


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
def test_every_format_can_be_requested(tmp_path: Path, fmt: ImageFormat) -> None:
    result = thumbnailed(encode(photograph(), "JPEG"), tmp_path, ThumbnailParams(width=90, height=60, format=fmt))
    assert result.format == fmt.upper()
    assert mean_difference(result, photograph().resize((90, 60), Image.Resampling.LANCZOS)) < 7.0


def test_transparency_is_kept(tmp_path: Path) -> None:
    image = add_alpha(photograph())
    result = thumbnailed(encode(image, "PNG"), tmp_path, ThumbnailParams(width=200, height=200))
    assert result.mode == "RGBA"
    assert mean_difference(result, image.crop((100, 0, 500, 400)).resize((200, 200), Image.Resampling.LANCZOS)) < 1.0


def test_every_frame_of_an_animation_is_cropped(tmp_path: Path) -> None:
    frames = animation_frames()
    result = thumbnailed(encode_animation("GIF", frames), tmp_path, ThumbnailParams(width=40, height=80, format="webp"))
    assert getattr(result, "n_frames", 1) == len(frames)
    for number, frame in enumerate(frames):
        result.seek(number)
        assert mean_difference(result, frame.crop((40, 0, 80, 80))) < 9.0
