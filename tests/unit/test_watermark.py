"""Watermarks: position, size, opacity, overlays, formats, animations, and refused overlays."""

from pathlib import Path

import pytest
from PIL import Image

from darkroom.contracts.image_params import ImageFormat, Position, WatermarkParams
from darkroom.errors import (
    ConfigurationError,
    CorruptMediaError,
    FileNotFoundInStoreError,
    InvalidRequestError,
    WrongMediaKindError,
)
from darkroom.ids import new_id
from functions.watermark import app, lettering
from functions.watermark.app import watermark
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    encode,
    encode_animation,
    encode_oriented,
    photograph,
    truncate,
)
from tests.support.image_checks import changed_box, mean_difference, open_result
from tests.support.sources import LocalSource, make_task

pytestmark = pytest.mark.usefixtures("watermark_font")

OVERLAY_ID = new_id()
POSITIONS: list[Position] = [
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


def watermarked(content: bytes, folder: Path, params: WatermarkParams, overlay: bytes | None = None) -> Image.Image:
    """`content` with a watermark; `overlay` is the file with the id `OVERLAY_ID`."""
    (folder / "source").write_bytes(content)
    (folder / "overlay").write_bytes(overlay or b"")
    task = make_task(folder / "source", folder, files={OVERLAY_ID: folder / "overlay"})
    (rendition,) = watermark(task, params)
    return open_result(rendition)


def plain(size: tuple[int, int], color: str) -> bytes:
    """A PNG of one color."""
    return encode(Image.new("RGB", size, color), "PNG")


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", ["text", "image"])
def test_only_the_requested_ninth_of_the_image_changes(tmp_path: Path, position: Position, kind: str) -> None:
    image = photograph().resize((900, 600))
    params: dict[str, object] = {"position": position, "scale": 0.2, "margin": 10, "opacity": 0.9}
    params |= {"text": "© Darkroom"} if kind == "text" else {"image_file_id": OVERLAY_ID}
    result = watermarked(
        encode(image, "PNG"), tmp_path, WatermarkParams.model_validate(params), plain((200, 100), "#00ff00")
    )
    assert result.size == image.size
    box = changed_box(result, image)
    assert box is not None
    place = POSITIONS.index(position)
    column, row = place % 3, place // 3
    assert column * 300 <= box[0] < box[2] <= column * 300 + 300
    assert row * 200 <= box[1] < box[3] <= row * 200 + 200


def test_overlay_has_the_exact_position_and_size(tmp_path: Path) -> None:
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="bottom_right", scale=0.25, margin=16, opacity=1)
    result = watermarked(plain((800, 600), "black"), tmp_path, params, plain((100, 50), "white"))
    assert changed_box(result, Image.new("RGB", (800, 600))) == (584, 484, 784, 584)
    assert result.getpixel((600, 500)) == (255, 255, 255)


def test_text_has_the_requested_width(tmp_path: Path) -> None:
    params = WatermarkParams(text="© Darkroom", position="center", scale=0.5, opacity=1)
    box = changed_box(watermarked(plain((800, 600), "gray"), tmp_path, params), Image.new("RGB", (800, 600), "gray"))
    assert box is not None
    left, _, right, _ = box
    assert 396 <= right - left <= 400
    assert abs((left + right) / 2 - 400) <= 1


@pytest.mark.parametrize(("opacity", "expected"), [(1.0, 255), (0.5, 128), (0.1, 26), (0.01, 3)])
def test_opacity_blends_the_watermark_with_the_image(tmp_path: Path, opacity: float, expected: int) -> None:
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="center", opacity=opacity)
    result = watermarked(plain((400, 300), "black"), tmp_path, params, plain((100, 100), "white"))
    level = result.convert("L").getpixel((200, 150))
    assert isinstance(level, int)
    assert abs(level - expected) <= 1


def test_transparent_overlay_stays_transparent(tmp_path: Path) -> None:
    overlay = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    overlay.paste((255, 0, 0, 128), (0, 0, 50, 100))
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="top_left", scale=0.25, margin=0, opacity=1)
    result = watermarked(plain((400, 300), "blue"), tmp_path, params, encode(overlay, "PNG"))
    assert result.getpixel((75, 50)) == (0, 0, 255)
    assert _near(result.getpixel((25, 50)), (128, 0, 127))


@pytest.mark.parametrize("background", ["white", "black", "gray"])
def test_text_is_readable_on_light_and_dark_images(tmp_path: Path, background: str) -> None:
    result = watermarked(
        plain((600, 200), background), tmp_path, WatermarkParams(text="Darkroom", scale=0.6, opacity=0.5)
    )
    levels = result.convert("L").getextrema()
    assert isinstance(levels[0], int)
    assert isinstance(levels[1], int)
    assert levels[1] - levels[0] >= 60


def test_huge_text_is_drawn_smaller_and_scaled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = WatermarkParams(text="©", position="center", scale=0.5, opacity=1)
    exact = watermarked(plain((800, 600), "gray"), tmp_path, params)
    monkeypatch.setattr(lettering, "MAX_DRAWN_PIXELS", 10_000)
    assert 0 < mean_difference(watermarked(plain((800, 600), "gray"), tmp_path, params), exact) < 5.0


def test_text_may_have_several_lines_and_scripts(tmp_path: Path) -> None:
    one = _visible_size(tmp_path, "Ünïcödé Ωλδ Жизнь")
    two = _visible_size(tmp_path, "Ünïcödé\nΩλδ Жизнь")
    assert two[1] / two[0] > 1.7 * one[1] / one[0]


def _visible_size(folder: Path, text: str) -> tuple[int, int]:
    params = WatermarkParams(text=text, position="center", scale=0.5)
    box = changed_box(watermarked(plain((800, 600), "gray"), folder, params), Image.new("RGB", (800, 600), "gray"))
    assert box is not None
    return box[2] - box[0], box[3] - box[1]


@pytest.mark.parametrize("text", [" ", "\n\t ", "\u2800", "\u200b"])
def test_text_without_visible_characters_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequestError, match="no visible characters"):
        watermarked(plain((100, 100), "gray"), tmp_path, WatermarkParams(text=text))


@pytest.mark.parametrize("text", [".", "-", "|", "l", "·"])
@pytest.mark.parametrize("size", [(1, 1), (8, 6), (300, 200)])
def test_smallest_text_is_visible_on_the_smallest_image(tmp_path: Path, text: str, size: tuple[int, int]) -> None:
    params = WatermarkParams(text=text, position="center", scale=0.01, opacity=1, outline=0)
    assert changed_box(watermarked(plain(size, "gray"), tmp_path, params), Image.new("RGB", size, "gray"))


def test_characters_that_the_font_lacks_are_listed(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="does not contain these characters: 漢 字"):
        watermarked(plain((100, 100), "gray"), tmp_path, WatermarkParams(text="ok 漢字漢"))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (40, 30), (900, 20)])
@pytest.mark.parametrize("position", ["top_left", "center", "bottom_right"])
@pytest.mark.parametrize("kind", ["text", "image"])
def test_watermark_never_changes_the_size_of_the_image(
    tmp_path: Path, size: tuple[int, int], position: Position, kind: str
) -> None:
    params: dict[str, object] = {"position": position, "scale": 1.0, "margin": 4096, "opacity": 1.0}
    params |= {"text": "a rather long text"} if kind == "text" else {"image_file_id": OVERLAY_ID}
    overlay = encode(Image.new("RGB", (300, 400), "white"), "PNG")
    assert watermarked(plain(size, "gray"), tmp_path, WatermarkParams.model_validate(params), overlay).size == size


def test_overlay_larger_than_the_image_is_reduced_to_fit(tmp_path: Path) -> None:
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="center", scale=1, margin=10, opacity=1)
    result = watermarked(plain((400, 200), "black"), tmp_path, params, plain((100, 100), "white"))
    assert changed_box(result, Image.new("RGB", (400, 200))) == (110, 10, 290, 190)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_watermark_is_upright_on_a_rotated_image(tmp_path: Path, orientation: int) -> None:
    image = photograph()
    content = encode_oriented(image, orientation, "JPEG", quality=95)
    result = watermarked(content, tmp_path, WatermarkParams(text="© Darkroom", opacity=1, format="png"))
    assert result.size == image.size
    assert mean_difference(result.crop((0, 0, 600, 300)), image.crop((0, 0, 600, 300))) < 3.0
    box = changed_box(result, image, more_than=100)
    assert box is not None
    assert box[0] > 400
    assert box[1] > 350


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
def test_every_format_can_be_requested(tmp_path: Path, fmt: ImageFormat) -> None:
    image = photograph()
    params = WatermarkParams(text="© Darkroom", format=fmt, quality=90)
    result = watermarked(encode(image, "PNG"), tmp_path, params)
    assert result.format == fmt.upper()
    assert mean_difference(result.crop((0, 0, 600, 300)), image.crop((0, 0, 600, 300))) < 6.0


def test_transparent_image_stays_transparent_around_the_watermark(tmp_path: Path) -> None:
    image = add_alpha(photograph())
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="right", scale=0.2, margin=0, opacity=1)
    result = watermarked(encode(image, "PNG"), tmp_path, params, plain((100, 100), "red"))
    assert result.mode == "RGBA"
    assert result.getpixel((590, 200)) == (255, 0, 0, 255)
    assert result.getpixel((599, 10)) == image.getpixel((599, 10))


def test_colored_overlay_keeps_its_color_on_a_gray_image(tmp_path: Path) -> None:
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="center", opacity=1)
    gray = encode(photograph().convert("L"), "PNG")
    assert _near(watermarked(gray, tmp_path, params, plain((50, 50), "red")).getpixel((300, 200)), (255, 0, 0))


def test_every_frame_of_an_animation_is_watermarked(tmp_path: Path) -> None:
    frames = animation_frames()
    params = WatermarkParams(image_file_id=OVERLAY_ID, position="top_left", scale=0.25, margin=5, opacity=1)
    result = watermarked(encode_animation("WEBP", frames), tmp_path, params, plain((60, 60), "#00ff00"))
    assert getattr(result, "n_frames", 1) == len(frames)
    for number, frame in enumerate(frames):
        result.seek(number)
        assert _near(result.convert("RGB").getpixel((20, 20)), (0, 255, 0), 12)
        assert mean_difference(result.crop((40, 0, 120, 80)), frame.crop((40, 0, 120, 80))) < 9.0


def test_image_too_large_for_memory_is_streamed_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = WatermarkParams(text="© Darkroom", position="center", opacity=0.7)
    content = encode(add_alpha(photograph()), "PNG")
    in_memory = watermarked(content, tmp_path, params)
    monkeypatch.setattr(app, "MAX_IN_MEMORY_BYTES", 0)
    streamed = watermarked(content, tmp_path, params)
    assert changed_box(in_memory, streamed, more_than=1) is None


def test_damaged_overlay_is_named_in_the_error(tmp_path: Path) -> None:
    params = WatermarkParams(image_file_id=OVERLAY_ID)
    broken = truncate(encode(photograph(), "JPEG"), 0.5)
    with pytest.raises(CorruptMediaError, match=r"The watermark image cannot be used\. .*damaged"):
        watermarked(plain((100, 100), "gray"), tmp_path, params, broken)


def test_overlay_that_is_a_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(plain((10, 10), "gray"))
    video = LocalSource(tmp_path / "source", declared="video/mp4")
    task = make_task(tmp_path / "source", tmp_path, files={OVERLAY_ID: video})
    with pytest.raises(WrongMediaKindError, match="video/mp4, not an image"):
        watermark(task, WatermarkParams(image_file_id=OVERLAY_ID))


def test_id_of_a_missing_overlay_is_in_the_error(tmp_path: Path) -> None:
    missing = new_id()
    with pytest.raises(FileNotFoundInStoreError, match=missing):
        watermarked(plain((10, 10), "gray"), tmp_path, WatermarkParams(image_file_id=missing))


def test_missing_font_is_a_configuration_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="nothing"):
        watermarked(plain((100, 100), "gray"), tmp_path, WatermarkParams(text="Darkroom"))


def _near(pixel: object, expected: tuple[int, ...], by: int = 2) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= by for one, other in zip(pixel, expected, strict=True))
