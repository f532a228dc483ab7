"""Text in every script whose font is there, with its outline, turned, tiled and mixed."""

import shutil
from collections.abc import Iterator
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
from tests.image_checks import changed_box, mean_difference, open_result
from tests.media.make_images import MEDIA, animation_frames, encode, encode_animation, photograph
from tests.sources import make_task

FONT = MEDIA / "fonts" / "DejaVuSans.ttf"


@pytest.fixture(autouse=True)
def _font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(MEDIA / "fonts"))
    fonts.font_files.cache_clear()
    yield
    fonts.font_files.cache_clear()


def lettered(folder: Path, text: str, size: tuple[int, int] = (800, 400), **params: Any) -> Image.Image:
    """The text in white on black, unless told otherwise, in the middle."""
    (folder / "source").write_bytes(encode(Image.new("RGB", size, "black"), "PNG"))
    plain = {"position": "center", "opacity": 1, "scale": 0.8, "outline": 0, "format": "png"}
    task = make_task(folder / "source", folder)
    (rendition,) = watermark(task, WatermarkParams.model_validate({"text": text, **plain, **params}))
    return open_result(rendition)


def ink(image: Image.Image) -> tuple[int, int, int, int]:
    box = changed_box(image, Image.new("RGB", image.size), more_than=60)
    assert box is not None
    return box


def by_pillow(text: str, width: int) -> Image.Image:
    """The same text by another engine, laid out letter by letter from left to right, cut to its ink."""
    font = ImageFont.truetype(FONT, 100, layout_engine=ImageFont.Layout.BASIC)
    image = Image.new("L", (4000, 300))
    ImageDraw.Draw(image).text((50, 50), text, 255, font)
    cut = image.crop(image.getbbox())
    return cut.resize((width, round(cut.height * width / cut.width)), Image.Resampling.LANCZOS)


def unlike(result: Image.Image, expected: Image.Image) -> float:
    """Mean difference of the inked part of `result` and a picture of that ink."""
    cut = result.convert("L").crop(ink(result)).resize(expected.size)
    return ImageStat.Stat(ImageChops.difference(cut, expected)).mean[0]


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
def test_a_script_from_left_to_right_looks_as_another_engine_draws_it(tmp_path: Path, script: str) -> None:
    expected = by_pillow(SCRIPTS[script], 640)
    assert unlike(lettered(tmp_path, SCRIPTS[script]), expected) < 18
    assert unlike(lettered(tmp_path, SCRIPTS[script][::-1]), expected) > 25


def test_hebrew_runs_from_right_to_left(tmp_path: Path) -> None:
    expected = by_pillow("שלום"[::-1], 640)
    assert unlike(lettered(tmp_path, "שלום"), expected) < 12


def test_arabic_letters_are_joined_and_run_from_right_to_left(tmp_path: Path) -> None:
    # The same word spelled with the forms of its letters that join, in the order in which they are seen.
    seen = "\ufee2\ufef3\ufeae\ufedb"
    assert unlike(lettered(tmp_path, "\u0643\u0631\u064a\u0645"), by_pillow(seen, 640)) < 14
    assert unlike(lettered(tmp_path, "\u0643\u0631\u064a\u0645"), by_pillow("\u0645\u064a\u0631\u0643", 640)) > 25


@pytest.mark.parametrize(
    ("composed", "combined"), [("é", "e\u0301"), ("Ǖ", "U\u0308\u0304"), ("ñandú", "n\u0303andu\u0301")]
)
def test_a_mark_sits_on_its_letter(tmp_path: Path, composed: str, combined: str) -> None:
    assert mean_difference(lettered(tmp_path, composed), lettered(tmp_path, combined)) < 1.5


def test_a_mark_that_no_letter_has_sits_there_too(tmp_path: Path) -> None:
    plain, marked = ink(lettered(tmp_path, "x", scale=0.2)), ink(lettered(tmp_path, "x\u0302", scale=0.2))
    ratio = [(box[3] - box[1]) / (box[2] - box[0]) for box in (plain, marked)]
    assert 1.2 * ratio[0] < ratio[1] < 2.0 * ratio[0]


@pytest.mark.parametrize("text", ["<b>bold</b>", "<span size='999999'>x</span>", "a & b", "&lt;", "</markup>", "<"])
def test_markup_is_drawn_as_it_is_written(tmp_path: Path, text: str) -> None:
    assert unlike(lettered(tmp_path, text), by_pillow(text, 640)) < 18


@pytest.mark.parametrize("text", ["漢字", "ok ไทย", "हिन्दी", "\U0001f980", "\uf8ff", "\uffff"])
def test_letters_without_a_font_are_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"text: the font does not contain these characters: .*{text[-1]}"):
        lettered(tmp_path, text)


@pytest.mark.parametrize(("text", "name"), [("a\0b", "U\\+0000"), ("\a", "U\\+0007"), ("a\x7f", "U\\+007F")])
def test_control_characters_are_refused_by_number(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"text: the font does not contain these characters: {name}$"):
        lettered(tmp_path, text)


@pytest.mark.parametrize("text", ["a\u200db", "a\u200fb", "a\ufe0f", "a\u00adb", "a\u2028b"])
def test_signs_that_steer_the_layout_need_no_letter(tmp_path: Path, text: str) -> None:
    lettered(tmp_path, text)


def test_a_font_that_an_operator_adds_is_used_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fonts"
    folder.mkdir()
    shutil.copy(FONT, folder / "DejaVuSans.ttf")
    (folder / "Extra.ttf").write_bytes(_with_letter(FONT.read_bytes(), ord("A"), 0x6F22))
    (folder / "README.txt").write_text("not a font")
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(folder))
    fonts.font_files.cache_clear()
    assert [file.name for file in fonts.font_files()] == ["DejaVuSans.ttf", "Extra.ttf"]
    assert fonts.missing_characters("漢") == []
    assert unlike(lettered(tmp_path, "漢", scale=0.2), by_pillow("A", 160)) < 14


def _with_letter(font: bytes, letter: int, code: int) -> bytes:
    """A font of another name that has one character: `code`, drawn as `letter` is in this one."""
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
    """The number of a letter's shape, by the font's table of form 4."""
    for number in range(int.from_bytes(font[cmap + 2 : cmap + 4])):
        at = cmap + int.from_bytes(font[cmap + 8 + 8 * number : cmap + 12 + 8 * number])
        if int.from_bytes(font[at : at + 2]) != 4:
            continue
        count = int.from_bytes(font[at + 6 : at + 8]) // 2
        for index in range(count):
            read = lambda where, index=index: int.from_bytes(font[where + 2 * index : where + 2 * index + 2])  # noqa: E731
            end, start, delta = read(at + 14), read(at + 16 + 2 * count), read(at + 16 + 4 * count)
            offset_at = at + 16 + 6 * count
            if start <= letter <= end:
                offset = read(offset_at)
                if offset == 0:
                    return (letter + delta) % 65536
                where = offset_at + 2 * index + offset + 2 * (letter - start)
                return int.from_bytes(font[where : where + 2])
    raise LookupError(letter)


# Size, colour, outline ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("font_px", [20, 40, 120])
def test_a_font_size_is_that_of_the_letters(tmp_path: Path, font_px: int) -> None:
    # The capital X of DejaVu Sans is 1493 of 2048 units high.
    _, top, _, bottom = ink(lettered(tmp_path, "X", font_size=font_px))
    assert abs((bottom - top) - 1493 / 2048 * font_px) <= 1.5


def test_letters_too_large_for_the_picture_are_made_smaller(tmp_path: Path) -> None:
    left, top, right, bottom = ink(lettered(tmp_path, "Darkroom", font_size=2000, margin=10))
    assert 10 <= left <= 16
    assert 784 <= right <= 790
    assert top + bottom == pytest.approx(400, abs=2)


def test_letters_have_the_colour_asked_for_and_so_has_their_outline(tmp_path: Path) -> None:
    image = lettered(tmp_path, "I", color="#ff8000", outline_color="#0000ff", outline=0.2, font_size=150)
    found = {pixel for _, pixel in image.getcolors(1_000_000) or []}
    assert (255, 128, 0) in found
    assert (0, 0, 255) in found


@pytest.mark.parametrize("outline", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("font_px", [30, 150])
def test_an_outline_is_as_thick_as_asked_for(tmp_path: Path, outline: float, font_px: int) -> None:
    plain = ink(lettered(tmp_path, "I", font_size=font_px, outline=0))
    thick = ink(lettered(tmp_path, "I", font_size=font_px, outline=outline, outline_color="white"))
    grown = ((thick[2] - thick[0]) - (plain[2] - plain[0])) / 2
    assert abs(grown - outline * font_px) <= max(1.0, 0.12 * outline * font_px)


def test_a_half_transparent_colour_is_half_transparent(tmp_path: Path) -> None:
    levels = lettered(tmp_path, "█", color="#ffffff80", font_size=100).convert("L").getextrema()
    assert levels == (0, 128)


# Turned, tiled, mixed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rotation", "like"), [(90, -90), (180, 180), (-90, 90), (-180, 180)])
def test_a_quarter_turn_is_exact(tmp_path: Path, rotation: int, like: int) -> None:
    straight = lettered(tmp_path, "Rg", size=(401, 401), font_size=80)
    turned = lettered(tmp_path, "Rg", size=(401, 401), font_size=80, rotation=rotation)
    expected = straight.rotate(like)
    cut = [image.convert("L").crop(ink(image)).resize((80, 80)) for image in (turned, expected)]
    assert ImageStat.Stat(ImageChops.difference(*cut)).mean[0] < 6


@pytest.mark.parametrize("rotation", [-170, -45, -30, 15, 60, 135])
@pytest.mark.parametrize("position", ["top_left", "center", "bottom_right"])
def test_what_is_turned_stays_inside_and_is_turned_clockwise(tmp_path: Path, rotation: int, position: str) -> None:
    image = lettered(tmp_path, "I" * 20, rotation=rotation, position=position, margin=10, scale=0.5)
    left, top, right, bottom = ink(image)
    assert min(left, top) >= 9
    assert right <= 791
    assert bottom <= 391
    # A slope downwards to the right has its upper left and its lower right corner inked.
    grey = image.convert("L").crop((left, top, right, bottom))
    half_x, half_y = grey.width // 2, grey.height // 2
    falling = sum(_mean(grey, box) for box in ((0, 0, half_x, half_y), (half_x, half_y, grey.width, grey.height)))
    rising = sum(_mean(grey, box) for box in ((half_x, 0, grey.width, half_y), (0, half_y, half_x, grey.height)))
    assert (falling > 2 * rising) if rotation % 180 < 90 else (rising > 2 * falling)


def _mean(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    return ImageStat.Stat(image.crop(box)).mean[0]


@pytest.mark.parametrize("rotation", [0, 30, 90, -45])
@pytest.mark.parametrize("own", [(1, 1), (500, 3), (3, 500), (1000, 1000)])
def test_a_turned_watermark_is_fitted_into_its_room(rotation: float, own: tuple[int, int]) -> None:
    size = fit_overlay(Size(*own), 5.0, Size(300, 200), rotation)
    assert size.width >= 1
    assert size.height >= 1
    if not rotation:
        assert size.width <= 300
        assert size.height <= 200


def test_tiles_cover_the_picture_at_even_distances(tmp_path: Path) -> None:
    image = lettered(tmp_path, "█", size=(600, 600), font_size=40, tile=True, tile_gap=1, position="center")
    row = image.convert("L").crop((0, 300, 600, 301)).tobytes()
    starts = [at for at in range(1, 600) if row[at] > 128 >= row[at - 1]]
    assert len(starts) > 5
    assert len({after - before for before, after in pairwise(starts)}) == 1
    for corner in ((0, 0), (400, 0), (0, 400), (400, 400)):
        assert image.crop((*corner, corner[0] + 200, corner[1] + 200)).getbbox() is not None


@pytest.mark.parametrize(("position", "corner"), [("top_left", (0, 0)), ("bottom_right", (590, 590))])
def test_one_of_the_tiles_lies_where_the_position_says(tmp_path: Path, position: str, corner: tuple[int, int]) -> None:
    image = lettered(
        tmp_path, "█", size=(600, 600), font_size=40, tile=True, tile_gap=5, position=position, margin=10
    ).convert("L")
    left, top = corner
    edge = image.crop((left, top, left + 10, top + 10))
    assert edge.getextrema() == (0, 0), "the margin"
    inside = (12, 12) if position == "top_left" else (588, 588)
    assert image.crop((*inside, inside[0] + 1, inside[1] + 1)).getextrema()[0] > 200


def test_tiles_without_a_gap_touch(tmp_path: Path) -> None:
    image = lettered(tmp_path, "█", size=(300, 300), font_size=40, tile=True, tile_gap=0)
    assert _mean(image.convert("L"), (0, 0, 300, 300)) > 240


def test_tiles_lie_on_every_frame(tmp_path: Path) -> None:
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
def test_colours_mix_as_another_engine_mixes_them(tmp_path: Path, blend: str) -> None:
    mark_id = "01900000-0000-7000-8000-000000000000"
    below, above = photograph().resize((300, 200)), photograph("chelsea.png").resize((300, 200))
    (tmp_path / "source").write_bytes(encode(below, "PNG"))
    (tmp_path / "mark").write_bytes(encode(above, "PNG"))
    params = WatermarkParams.model_validate(
        {"image_file_id": mark_id, "scale": 1, "margin": 0, "opacity": 1, "blend": blend}
    )
    task = make_task(tmp_path / "source", tmp_path, files={mark_id: tmp_path / "mark"})
    (rendition,) = watermark(task, params)
    assert mean_difference(open_result(rendition), BLENDS[blend](below, above)) < 1.5


@pytest.mark.parametrize("blend", ["color_dodge", "color_burn", "soft_light", "exclusion"])
def test_every_way_to_mix_changes_the_picture_in_its_own(tmp_path: Path, blend: str) -> None:
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


def test_a_font_size_is_only_for_text() -> None:
    with pytest.raises(ValueError, match="font_size is for text"):
        WatermarkParams(image_file_id="01900000-0000-7000-8000-000000000000", font_size=10)
