"""Text watermarks: scripts, fonts, size, color, outline, rotation, tiles, blend modes."""

import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageStat

from darkroom.contracts.image_params import WatermarkParams
from darkroom.errors import InvalidRequestError
from darkroom.media.geometry import Size
from functions.watermark import fonts
from functions.watermark.app import fit_overlay, watermark
from tests.media.make_images import MEDIA, animation_frames, encode, encode_animation, photograph
from tests.support.image_checks import changed_box, mean_difference, open_result
from tests.support.sources import make_task

pytestmark = pytest.mark.usefixtures("watermark_font")

FONT = MEDIA / "fonts" / "DejaVuSans.ttf"


def draw(folder: Path, text: str, size: tuple[int, int] = (800, 400), **params: Any) -> Image.Image:
    """The text, by default in white at the center of a black image."""
    (folder / "source").write_bytes(encode(Image.new("RGB", size, "black"), "PNG"))
    plain = {"position": "center", "opacity": 1, "scale": 0.8, "outline": 0, "format": "png"}
    task = make_task(folder / "source", folder)
    (rendition,) = watermark(task, WatermarkParams.model_validate({"text": text, **plain, **params}))
    return open_result(rendition)


def visible_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = changed_box(image, Image.new("RGB", image.size), more_than=60)
    assert box is not None
    return box


def draw_with_pillow(text: str, width: int) -> Image.Image:
    """The text drawn by Pillow, letter by letter from left to right, cropped to its visible part."""
    font = ImageFont.truetype(FONT, 100, layout_engine=ImageFont.Layout.BASIC)
    image = Image.new("L", (4000, 300))
    ImageDraw.Draw(image).text((50, 50), text, 255, font)
    visible = image.crop(image.getbbox())
    return visible.resize((width, round(visible.height * width / visible.width)), Image.Resampling.LANCZOS)


def difference_to(result: Image.Image, expected: Image.Image) -> float:
    """Mean difference of the visible part of `result` and `expected`, from 0 to 255."""
    visible = result.convert("L").crop(visible_box(result)).resize(expected.size)
    return ImageStat.Stat(ImageChops.difference(visible, expected)).mean[0]


SCRIPTS = {
    "Latin": "Darkroom ÄÖÜ ß œ ñ",
    "Greek": "Σκοτεινός θάλαμος",
    "Cyrillic": "Проявочная комната",
    "Armenian": "մութ սենյակ",
    "Georgian": "ბნელი ოთახი",
    "Tifinagh": "ⵜⵉⴼⵉⵏⴰⵖ",
    "Ogham": "ᚑᚌᚐᚋ",
    "Canadian": "ᐃᓄᒃᑎᑐᑦ",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_left_to_right_script_looks_as_drawn_by_pillow(tmp_path: Path, script: str) -> None:
    expected = draw_with_pillow(SCRIPTS[script], 640)
    assert difference_to(draw(tmp_path, SCRIPTS[script]), expected) < 18
    assert difference_to(draw(tmp_path, SCRIPTS[script][::-1]), expected) > 25


def test_hebrew_runs_from_right_to_left(tmp_path: Path) -> None:
    expected = draw_with_pillow("שלום"[::-1], 640)
    assert difference_to(draw(tmp_path, "שלום"), expected) < 12


def test_arabic_letters_are_joined_and_run_from_right_to_left(tmp_path: Path) -> None:
    # The same word in presentation forms, in visual order.
    visual = "\ufee2\ufef3\ufeae\ufedb"
    assert difference_to(draw(tmp_path, "\u0643\u0631\u064a\u0645"), draw_with_pillow(visual, 640)) < 14
    assert (
        difference_to(draw(tmp_path, "\u0643\u0631\u064a\u0645"), draw_with_pillow("\u0645\u064a\u0631\u0643", 640))
        > 25
    )


@pytest.mark.parametrize(
    ("composed", "combined"), [("é", "e\u0301"), ("Ǖ", "U\u0308\u0304"), ("ñandú", "n\u0303andu\u0301")]
)
def test_combining_mark_is_placed_like_in_the_composed_letter(tmp_path: Path, composed: str, combined: str) -> None:
    assert mean_difference(draw(tmp_path, composed), draw(tmp_path, combined)) < 1.5


def test_combining_mark_is_placed_where_no_composed_letter_exists(tmp_path: Path) -> None:
    plain, marked = visible_box(draw(tmp_path, "x", scale=0.2)), visible_box(draw(tmp_path, "x\u0302", scale=0.2))
    ratio = [(box[3] - box[1]) / (box[2] - box[0]) for box in (plain, marked)]
    assert 1.2 * ratio[0] < ratio[1] < 2.0 * ratio[0]


@pytest.mark.parametrize("text", ["<b>bold</b>", "<span size='999999'>x</span>", "a & b", "&lt;", "</markup>", "<"])
def test_markup_is_drawn_literally(tmp_path: Path, text: str) -> None:
    assert difference_to(draw(tmp_path, text), draw_with_pillow(text, 640)) < 18


@pytest.mark.parametrize("text", ["漢字", "ok ไทย", "हिन्दी", "\U0001f980", "\uf8ff", "\uffff"])
def test_characters_that_no_font_contains_are_refused_and_listed(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"text: the font does not contain these characters: .*{text[-1]}"):
        draw(tmp_path, text)


@pytest.mark.parametrize(("text", "name"), [("a\0b", "U\\+0000"), ("\a", "U\\+0007"), ("a\x7f", "U\\+007F")])
def test_control_characters_are_refused_and_listed_by_code_point(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"text: the font does not contain these characters: {name}$"):
        draw(tmp_path, text)


@pytest.mark.parametrize("text", ["a\u200db", "a\u200fb", "a\ufe0f", "a\u00adb", "a\u2028b"])
def test_layout_controls_need_no_glyph(tmp_path: Path, text: str) -> None:
    draw(tmp_path, text)


def test_added_font_is_used_for_missing_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fonts"
    folder.mkdir()
    shutil.copy(FONT, folder / "DejaVuSans.ttf")
    (folder / "Extra.ttf").write_bytes(_with_letter(FONT.read_bytes(), ord("A"), 0x6F22))
    (folder / "README.txt").write_text("not a font")
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(folder))
    fonts.font_files.cache_clear()
    assert [file.name for file in fonts.font_files()] == ["DejaVuSans.ttf", "Extra.ttf"]
    assert fonts.missing_characters("漢") == []
    assert difference_to(draw(tmp_path, "漢", scale=0.2), draw_with_pillow("A", 160)) < 14


def _with_letter(font: bytes, letter: int, code: int) -> bytes:
    """A font of another name with one character, `code`, which looks like `letter` in this one."""
    tables = int.from_bytes(font[4:6])
    found = {font[at : at + 4]: font[at + 8 : at + 16] for at in range(12, 12 + 16 * tables, 16)}
    glyph = _glyph(font, int.from_bytes(found[b"cmap"][:4]), letter)
    group = b"".join(part.to_bytes(4) for part in (code, code, glyph))
    subtable = (12).to_bytes(2) + bytes(2) + (28).to_bytes(4) + bytes(4) + (1).to_bytes(4) + group
    cmap = (0).to_bytes(2) + (1).to_bytes(2) + (3).to_bytes(2) + (10).to_bytes(2) + (12).to_bytes(4) + subtable
    renamed = bytearray(font.replace("DejaVu Sans".encode("utf-16-be"), "Another Fnt".encode("utf-16-be")))
    renamed = bytearray(bytes(renamed).replace(b"DejaVu Sans", b"Another Fnt").replace(b"DejaVuSans", b"AnotherFnt"))
    at = next(at for at in range(12, 12 + 16 * tables, 16) if renamed[at : at + 4] == b"cmap")
    renamed[at + 8 : at + 16] = len(renamed).to_bytes(4) + len(cmap).to_bytes(4)
    return bytes(renamed) + cmap


def _glyph(font: bytes, cmap: int, letter: int) -> int:
    """The glyph index of a letter by the font's character map of format 4."""
    for number in range(int.from_bytes(font[cmap + 2 : cmap + 4])):
        at = cmap + int.from_bytes(font[cmap + 8 + 8 * number : cmap + 12 + 8 * number])
        if int.from_bytes(font[at : at + 2]) != 4:
            continue
        count = int.from_bytes(font[at + 6 : at + 8]) // 2
        for index in range(count):
            end, start, delta = (
                int.from_bytes(font[place + 2 * index : place + 2 * index + 2])
                for place in (at + 14, at + 16 + 2 * count, at + 16 + 4 * count)
            )
            offset_at = at + 16 + 6 * count
            if start <= letter <= end:
                offset = int.from_bytes(font[offset_at + 2 * index : offset_at + 2 * index + 2])
                if offset == 0:
                    return (letter + delta) % 65536
                where = offset_at + 2 * index + offset + 2 * (letter - start)
                return int.from_bytes(font[where : where + 2])
    raise LookupError(letter)


# Size, color, outline ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("font_px", [20, 40, 120])
def test_font_size_is_the_size_of_the_letters(tmp_path: Path, font_px: int) -> None:
    # The capital X of DejaVu Sans is 1493 of 2048 units high.
    _, top, _, bottom = visible_box(draw(tmp_path, "X", font_size=font_px))
    assert abs((bottom - top) - 1493 / 2048 * font_px) <= 1.5


def test_text_too_large_for_the_image_is_reduced(tmp_path: Path) -> None:
    left, top, right, bottom = visible_box(draw(tmp_path, "Darkroom", font_size=2000, margin=10))
    assert 10 <= left <= 16
    assert 784 <= right <= 790
    assert top + bottom == pytest.approx(400, abs=2)


def test_text_and_outline_have_the_requested_colors(tmp_path: Path) -> None:
    image = draw(tmp_path, "I", color="#ff8000", outline_color="#0000ff", outline=0.2, font_size=150)
    colors = {pixel for _, pixel in image.getcolors(1_000_000) or []}
    assert (255, 128, 0) in colors
    assert (0, 0, 255) in colors


@pytest.mark.parametrize("outline", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("font_px", [30, 150])
def test_outline_has_the_requested_thickness(tmp_path: Path, outline: float, font_px: int) -> None:
    plain = visible_box(draw(tmp_path, "I", font_size=font_px, outline=0))
    thick = visible_box(draw(tmp_path, "I", font_size=font_px, outline=outline, outline_color="white"))
    grown = ((thick[2] - thick[0]) - (plain[2] - plain[0])) / 2
    assert abs(grown - outline * font_px) <= max(1.0, 0.12 * outline * font_px)


def test_translucent_color_is_translucent(tmp_path: Path) -> None:
    levels = draw(tmp_path, "█", color="#ffffff80", font_size=100).convert("L").getextrema()
    assert levels == (0, 128)


# Rotation, tiles, blend modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rotation", "pillow_rotation"), [(90, -90), (180, 180), (-90, 90), (-180, 180)])
def test_rotation_by_90_degrees_is_exact(tmp_path: Path, rotation: int, pillow_rotation: int) -> None:
    straight = draw(tmp_path, "Rg", size=(401, 401), font_size=80)
    rotated = draw(tmp_path, "Rg", size=(401, 401), font_size=80, rotation=rotation)
    expected = straight.rotate(pillow_rotation)
    visible = [image.convert("L").crop(visible_box(image)).resize((80, 80)) for image in (rotated, expected)]
    assert ImageStat.Stat(ImageChops.difference(*visible)).mean[0] < 6


@pytest.mark.parametrize("rotation", [-170, -45, -30, 15, 60, 135])
@pytest.mark.parametrize("position", ["top_left", "center", "bottom_right"])
def test_rotated_text_stays_inside_and_is_rotated_clockwise(tmp_path: Path, rotation: int, position: str) -> None:
    image = draw(tmp_path, "I" * 20, rotation=rotation, position=position, margin=10, scale=0.5)
    left, top, right, bottom = visible_box(image)
    assert min(left, top) >= 9
    assert right <= 791
    assert bottom <= 391
    # Text that slopes downwards to the right fills the upper left and the lower right quarter.
    gray = image.convert("L").crop((left, top, right, bottom))
    half_x, half_y = gray.width // 2, gray.height // 2
    falling = sum(_mean(gray, box) for box in ((0, 0, half_x, half_y), (half_x, half_y, gray.width, gray.height)))
    rising = sum(_mean(gray, box) for box in ((half_x, 0, gray.width, half_y), (0, half_y, half_x, gray.height)))
    assert (falling > 2 * rising) if rotation % 180 < 90 else (rising > 2 * falling)


def _mean(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    return ImageStat.Stat(image.crop(box)).mean[0]


@pytest.mark.parametrize("rotation", [0, 30, 90, -45])
@pytest.mark.parametrize("size", [(1, 1), (500, 3), (3, 500), (1000, 1000)])
def test_rotated_overlay_fits_into_its_room(rotation: float, size: tuple[int, int]) -> None:
    fitted = fit_overlay(Size(*size), 5.0, Size(300, 200), rotation)
    cos, sin = abs(math.cos(math.radians(rotation))), abs(math.sin(math.radians(rotation)))
    assert fitted.width >= 1
    assert fitted.height >= 1
    assert fitted.width * cos + fitted.height * sin <= 300 + 1.5  # the sides are rounded to whole pixels
    assert fitted.width * sin + fitted.height * cos <= 200 + 1.5
    if not rotation:
        assert fitted.width <= 300
        assert fitted.height <= 200


def test_tiles_cover_the_image_at_equal_distances(tmp_path: Path) -> None:
    image = draw(tmp_path, "█", size=(600, 600), font_size=40, tile=True, tile_gap=1, position="center")
    row = image.convert("L").crop((0, 300, 600, 301)).tobytes()
    starts = [at for at in range(1, 600) if row[at] > 128 >= row[at - 1]]
    assert len(starts) > 5
    assert len({after - before for before, after in pairwise(starts)}) == 1
    for corner in ((0, 0), (400, 0), (0, 400), (400, 400)):
        assert image.crop((*corner, corner[0] + 200, corner[1] + 200)).getbbox() is not None


@pytest.mark.parametrize(("position", "corner"), [("top_left", (0, 0)), ("bottom_right", (590, 590))])
def test_one_of_the_tiles_is_at_the_requested_position(tmp_path: Path, position: str, corner: tuple[int, int]) -> None:
    image = draw(
        tmp_path, "█", size=(600, 600), font_size=40, tile=True, tile_gap=5, position=position, margin=10
    ).convert("L")
    left, top = corner
    edge = image.crop((left, top, left + 10, top + 10))
    assert edge.getextrema() == (0, 0), "the margin"
    inside = (12, 12) if position == "top_left" else (588, 588)
    level = image.getpixel(inside)
    assert isinstance(level, int)
    assert level > 200


def test_tiles_without_a_gap_touch(tmp_path: Path) -> None:
    image = draw(tmp_path, "█", size=(300, 300), font_size=40, tile=True, tile_gap=0)
    assert _mean(image.convert("L"), (0, 0, 300, 300)) > 240


def test_tiles_are_on_every_frame(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode_animation("WEBP", animation_frames()))
    params = WatermarkParams(text="#", tile=True, scale=0.1, opacity=1, quality=95)
    (rendition,) = watermark(make_task(tmp_path / "source", tmp_path), params)
    result = open_result(rendition)
    for number, frame in enumerate(animation_frames()):
        result.seek(number)
        for box in ((0, 0, 60, 40), (60, 40, 120, 80)):
            assert mean_difference(result.convert("RGB").crop(box), frame.crop(box)) > 8


BLENDS: dict[str, Any] = {
    "normal": lambda _below, above: above,
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "darken": ImageChops.darker,
    "lighten": ImageChops.lighter,
    "difference": ImageChops.difference,
    "hard_light": ImageChops.hard_light,
    "overlay": ImageChops.overlay,
}


@pytest.mark.parametrize("blend", BLENDS)
def test_blend_mode_gives_the_same_result_as_pillow(tmp_path: Path, blend: str) -> None:
    overlay_id = "01900000-0000-7000-8000-000000000000"
    below, above = photograph().resize((300, 200)), photograph("chelsea.png").resize((300, 200))
    (tmp_path / "source").write_bytes(encode(below, "PNG"))
    (tmp_path / "overlay").write_bytes(encode(above, "PNG"))
    params = WatermarkParams.model_validate(
        {"image_file_id": overlay_id, "scale": 1, "margin": 0, "opacity": 1, "blend": blend}
    )
    task = make_task(tmp_path / "source", tmp_path, files={overlay_id: tmp_path / "overlay"})
    (rendition,) = watermark(task, params)
    assert mean_difference(open_result(rendition), BLENDS[blend](below, above)) < 1.5


@pytest.mark.parametrize("blend", ["color_dodge", "color_burn", "soft_light", "exclusion"])
def test_every_blend_mode_has_an_effect_of_its_own(tmp_path: Path, blend: str) -> None:
    images = []
    for which in ("normal", blend):
        (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
        params = WatermarkParams.model_validate(
            {"text": "█", "color": "#808040", "outline": 0, "opacity": 1, "blend": which, "scale": 0.5}
        )
        (rendition,) = watermark(make_task(tmp_path / "source", tmp_path), params)
        images.append(open_result(rendition))
    assert mean_difference(images[0], images[1]) > 1
    assert mean_difference(images[1], photograph()) > 1


def test_font_size_is_only_for_text() -> None:
    with pytest.raises(ValueError, match="font_size is for text"):
        WatermarkParams(image_file_id="01900000-0000-7000-8000-000000000000", font_size=10)
