"""Animations in and out: GIF, WebP and animated PNG, all their frames, or as many as asked for."""

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.contracts.image_params import MAX_FRAMES, ResizeParams
from darkroom.errors import CorruptMediaError, ProcessingTimedOutError, TooLongError, TooManyPixelsError
from darkroom.images import pillow
from darkroom.images.png import PNG_SIGNATURE, read_png_chunks
from darkroom.media.task import Rendition
from functions.resize.app import resize
from tests.image_checks import changed_box, mean_difference, open_result
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    convert_profile,
    encode,
    encode_animation,
    icc_profile,
    photograph,
)
from tests.sources import make_task

KINDS = ["GIF", "WEBP", "PNG"]


def rendered(content: bytes, folder: Path, *, pixels: int = 250_000_000, **params: Any) -> Rendition:
    (folder / "source").write_bytes(content)
    task = make_task(folder / "source", folder, pixels=pixels)
    (rendition,) = resize(task, ResizeParams.model_validate({"width": 120, "quality": 95, **params}))
    return rendition


def resized(content: bytes, folder: Path, *, pixels: int = 250_000_000, **params: Any) -> Image.Image:
    return open_result(rendered(content, folder, pixels=pixels, **params))


def made(content: bytes, folder: Path, **params: Any) -> Image.Image:
    """A result that may tell something."""
    rendition = rendered(content, folder, **params)
    assert isinstance(rendition.content, bytes)
    return Image.open(io.BytesIO(rendition.content))


def frames_of(image: Image.Image) -> list[Image.Image]:
    """Every frame as it is shown."""
    shown = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        shown.append(image.convert("RGBA"))
    return shown


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("fmt", ["gif", "webp", "png"])
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_as_many_frames_are_kept_as_asked_for(tmp_path: Path, source: str, fmt: str, count: int) -> None:
    film = animation_frames()
    result = frames_of(resized(encode_animation(source, film), tmp_path, format=fmt, max_frames=count))
    assert len(result) == min(count, 4)
    for one, other in zip(result, film, strict=False):
        assert mean_difference(one, other) < 9


@pytest.mark.parametrize("source", KINDS)
def test_a_film_in_its_own_format_is_one_still(tmp_path: Path, source: str) -> None:
    result = resized(encode_animation(source, animation_frames()), tmp_path)
    assert result.format == source
    assert getattr(result, "n_frames", 1) == 4


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("fmt", ["jpeg", "avif"])
def test_formats_without_films_show_the_first_frame(tmp_path: Path, source: str, fmt: str) -> None:
    film = animation_frames()
    result = resized(encode_animation(source, film), tmp_path, format=fmt)
    assert getattr(result, "n_frames", 1) == 1
    assert mean_difference(result, film[0]) < 9 < mean_difference(result, film[3])


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("fmt", ["gif", "webp", "png"])
@pytest.mark.parametrize("plays", [0, 2, 7])
def test_loops_and_times_of_each_frame_survive(tmp_path: Path, source: str, fmt: str, plays: int) -> None:
    times = [50, 200, 1000, 30]
    options: dict[str, Any] = {"loop": plays - 1 if source == "GIF" and plays else plays, "duration": times}
    film = animation_frames()
    content = encode(film[0], source, save_all=True, append_images=film[1:], **options)
    result = resized(content, tmp_path, format=fmt)
    found = []
    for number in range(4):
        result.seek(number)
        result.load()
        found.append(result.info["duration"])
    assert found == times
    # Pillow says how often a GIF is repeated, and nothing of it for once.
    assert result.info["loop"] == (plays - 1 if fmt == "gif" and plays else plays)


def test_a_frame_of_a_png_film_is_shown_for_minutes_where_that_is_asked_for(tmp_path: Path) -> None:
    film = animation_frames()[:2]
    content = encode(film[0], "GIF", save_all=True, append_images=film[1:], duration=[70_000, 655_350])
    result = resized(content, tmp_path, format="png")
    for number, shown_ms in enumerate((70_000, 655_350)):
        result.seek(number)
        assert result.info["duration"] == shown_ms


def test_what_is_transparent_in_a_frame_stays_so(tmp_path: Path) -> None:
    film = []
    for number in range(3):
        frame = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
        frame.paste((255, 0, 0, 255), (number * 20, 0, number * 20 + 20, 40))
        film.append(frame)
    for source in KINDS:
        content = encode(film[0], source, save_all=True, append_images=film[1:], duration=80, disposal=2)
        for fmt in ("webp", "png", "gif"):
            result = frames_of(resized(content, tmp_path, width=60, format=fmt))
            for number, frame in enumerate(result):
                for column in range(3):
                    alpha = frame.getpixel((column * 20 + 10, 20))[3]  # type: ignore[index]
                    assert alpha == (255 if column == number else 0), (source, fmt, number, column)


def test_a_png_film_stores_only_what_changes(tmp_path: Path) -> None:
    film = [add_alpha(frame) for frame in animation_frames((400, 300), 6)]
    (tmp_path / "source").write_bytes(encode_animation("PNG", film))
    (rendition,) = resize(make_task(tmp_path / "source", tmp_path), ResizeParams(width=400))
    assert isinstance(rendition.content, bytes)
    assert len(rendition.content) < 2 * len(encode(film[0], "PNG"))
    for one, other in zip(frames_of(open_result(rendition)), film, strict=True):
        assert changed_box(one, other) is None


def test_frames_without_any_change_are_kept_with_their_times(tmp_path: Path) -> None:
    still = photograph().resize((60, 40))
    content = _png_film([still, still, still], [100, 200, 300])
    result = resized(content, tmp_path, width=60)
    times = []
    for number in range(getattr(result, "n_frames", 1)):
        result.seek(number)
        times.append(result.info["duration"])
        assert mean_difference(result, still) < 1
    assert times == [100, 200, 300]


def _png_film(film: list[Image.Image], times: list[int]) -> bytes:
    """An animated PNG whose every frame is stored whole."""
    file = [PNG_SIGNATURE]
    sequence = 0

    def add(kind: bytes, body: bytes) -> None:
        file.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))

    for number, (frame, shown_ms) in enumerate(zip(film, times, strict=True)):
        found = list(read_png_chunks(encode(frame, "PNG")))
        if number == 0:
            add(*found[0])
            add(b"acTL", struct.pack(">II", len(film), 0))
        add(b"fcTL", struct.pack(">IIIIIHHBB", sequence, *frame.size, 0, 0, shown_ms, 1000, 0, 0))
        sequence += 1
        for kind, body in found:
            if kind == b"IDAT" and number == 0:
                add(kind, body)
            elif kind == b"IDAT":
                add(b"fdAT", struct.pack(">I", sequence) + body)
                sequence += 1
    add(b"IEND", b"")
    return b"".join(file)


@pytest.mark.parametrize("source", ["PNG", "WEBP"])
def test_the_colours_of_a_film_are_those_that_its_profile_says(tmp_path: Path, source: str) -> None:
    film = animation_frames()
    wide = [convert_profile(frame, "p3", "RGB") for frame in film]
    content = encode(wide[0], source, save_all=True, append_images=wide[1:], quality=95, icc_profile=icc_profile("p3"))
    for shown, frame in zip(frames_of(resized(content, tmp_path, format="png")), film, strict=True):
        assert mean_difference(shown, frame) < 4
    kept = made(content, tmp_path, format="png", profile="keep")
    assert kept.info["icc_profile"] == icc_profile("p3")
    assert mean_difference(frames_of(kept)[0], wide[0]) < 4


@pytest.mark.parametrize("source", ["PNG", "WEBP"])
@pytest.mark.parametrize("fmt", ["png", "webp"])
def test_a_film_tells_on_request_what_its_file_told(tmp_path: Path, source: str, fmt: str) -> None:
    film, exif = animation_frames(), Image.Exif()
    exif.update({0x8298: "(c) A. Painter", 0x010F: "Darkroom"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    content = encode(film[0], source, save_all=True, append_images=film[1:], exif=exif.tobytes())
    told = made(content, tmp_path, format=fmt, metadata="keep").getexif()
    assert (told[0x8298], told[0x010F]) == ("(c) A. Painter", "Darkroom")
    assert not told.get_ifd(0x8825)


@pytest.mark.parametrize(("left", "side"), [(3, 2), (0, 5), (0, 0)])
def test_a_frame_outside_of_a_png_film_is_damage(tmp_path: Path, left: int, side: int) -> None:
    content = _laid_film([(_RED, 0, 0, 4, _NONE, _SOURCE), (_GREEN, left, 0, side, _NONE, _OVER)], in_front=False)
    with pytest.raises(CorruptMediaError, match="outside"):
        resized(content, tmp_path, width=4)


def test_a_picture_in_front_of_a_png_film_is_not_part_of_it(tmp_path: Path) -> None:
    film = animation_frames()
    content = encode(
        Image.new("RGB", film[0].size, "blue"),
        "PNG",
        save_all=True,
        append_images=film,
        default_image=True,
        duration=80,
    )
    moving = frames_of(resized(content, tmp_path))
    assert len(moving) == 4
    assert mean_difference(moving[0], film[0]) < 2
    still = resized(content, tmp_path, format="jpeg")
    assert still.getpixel((60, 40))[2] > 240  # type: ignore[index]


#: Frames of a PNG film of 4 x 4 pixels: colour, left, top, side, what becomes of it afterwards, and how it is laid.
_RED, _MIST, _GREEN, _NOTHING = (255, 0, 0, 255), (255, 255, 0, 128), (0, 255, 0, 255), (0, 0, 0, 0)
_NONE, _BACKGROUND, _PREVIOUS, _SOURCE, _OVER = 0, 1, 2, 0, 1
_MIXED = (255, 128, 0, 255)


@pytest.mark.parametrize("fmt", ["png", "gif"])
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([(_RED, 0, 0, 4, _NONE, _SOURCE), (_MIST, 1, 1, 2, _NONE, _OVER)], [[_RED, _RED], [_RED, _MIXED]]),
        ([(_RED, 0, 0, 4, _NONE, _SOURCE), (_NOTHING, 1, 1, 2, _NONE, _SOURCE)], [[_RED, _RED], [_RED, _NOTHING]]),
        (
            [(_RED, 0, 0, 4, _NONE, _SOURCE), (_GREEN, 1, 1, 2, _BACKGROUND, _OVER), (_RED, 0, 0, 1, _NONE, _OVER)],
            [[_RED, _RED], [_RED, _GREEN], [_RED, _NOTHING]],
        ),
        (
            [(_RED, 0, 0, 4, _NONE, _SOURCE), (_GREEN, 1, 1, 2, _PREVIOUS, _SOURCE), (_GREEN, 0, 0, 1, _NONE, _OVER)],
            [[_RED, _RED], [_RED, _GREEN], [_GREEN, _RED]],
        ),
        ([(_RED, 0, 0, 4, _PREVIOUS, _SOURCE), (_GREEN, 1, 1, 2, _NONE, _OVER)], [[_RED, _RED], [_NOTHING, _GREEN]]),
    ],
    ids=[
        "mixed with what is below",
        "in its place",
        "taken away again",
        "as it was before",
        "nothing before the first",
    ],
)
@pytest.mark.parametrize("in_front", [False, True])
def test_the_frames_of_a_png_film_are_laid_as_the_format_says(
    tmp_path: Path,
    stored: list[tuple[tuple[int, ...], int, int, int, int, int]],
    expected: list[list[tuple[int, ...]]],
    in_front: bool,
    fmt: str,
) -> None:
    shown = frames_of(resized(_laid_film(stored, in_front=in_front), tmp_path, width=4, format=fmt))
    found = [[frame.convert("RGBA").getpixel(at) for at in ((0, 0), (1, 1))] for frame in shown]
    for frame, wanted in zip(found, expected, strict=True):
        for pixel, ink in zip(frame, wanted, strict=True):
            assert isinstance(pixel, tuple)
            assert pixel[3] == ink[3]
            assert pixel[3] == 0 or pixel == pytest.approx(ink, abs=1)


def _laid_film(stored: list[tuple[tuple[int, ...], int, int, int, int, int]], *, in_front: bool) -> bytes:
    """A PNG film of plain squares; `in_front` is whether a blue picture that is none of its frames comes first."""
    file, sequence, begun = [PNG_SIGNATURE], 0, in_front

    def add(kind: bytes, body: bytes) -> None:
        file.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))

    def pixels(ink: tuple[int, ...], side: int) -> bytes:
        return zlib.compress((b"\0" + bytes(ink) * side) * side)

    add(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 6, 0, 0, 0))
    add(b"acTL", struct.pack(">II", len(stored), 0))
    if in_front:
        add(b"IDAT", pixels((0, 0, 255, 255), 4))
    for ink, left, top, side, disposal, blend in stored:
        add(b"fcTL", struct.pack(">IIIIIHHBB", sequence, side, side, left, top, 1, 10, disposal, blend))
        sequence += 1
        if begun:
            add(b"fdAT", struct.pack(">I", sequence) + pixels(ink, side))
            sequence += 1
        else:
            add(b"IDAT", pixels(ink, side))
            begun = True
    add(b"IEND", b"")
    return b"".join(file)


# Animated AVIF -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["gif", "webp", "png", "jpeg", None])
@pytest.mark.parametrize("see", [lambda frame: frame, add_alpha], ids=["opaque", "see-through"])
def test_an_animated_avif_is_read_with_all_its_frames(
    tmp_path: Path, fmt: str | None, see: Callable[[Image.Image], Image.Image]
) -> None:
    film = [see(frame) for frame in animation_frames()]
    result = resized(encode_animation("AVIF", film), tmp_path, format=fmt)
    assert result.format == (fmt or "avif").upper()
    count = 4 if fmt in ("gif", "webp", "png") else 1
    assert getattr(result, "n_frames", 1) == count
    for number in range(count):
        result.seek(number)
        result.load()
        assert mean_difference(result, film[number]) < (25 if fmt == "gif" else 8)  # GIF is see-through or not
        assert count == 1 or result.info["duration"] == 80


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_frames_of_an_avif_are_kept_as_asked_for(tmp_path: Path, count: int) -> None:
    content = encode_animation("AVIF", animation_frames())
    assert len(frames_of(resized(content, tmp_path, format="webp", max_frames=count))) == count
    with pytest.raises(TooManyPixelsError, match="120 x 80 pixels in 4 frames"):
        resized(content, tmp_path, format="webp", pixels=38_399)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_an_animated_avif_cut_short_is_reported(tmp_path: Path, part: float) -> None:
    content = encode_animation("AVIF", animation_frames())
    with pytest.raises(CorruptMediaError):
        resized(content[: int(len(content) * part)], tmp_path, format="webp")


# Limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", KINDS)
def test_a_film_of_too_many_frames_is_refused_or_cut(tmp_path: Path, source: str) -> None:
    film = [Image.new("L", (2, 1), 255 * (number % 2)) for number in range(MAX_FRAMES + 1)]
    content = encode_animation(source, film)
    with pytest.raises(TooLongError, match="1,001 frames; at most 1,000"):
        resized(content, tmp_path, width=2)
    assert len(frames_of(resized(content, tmp_path, width=2, max_frames=20))) == 20


def test_a_gif_of_a_hundred_thousand_frames_is_refused_at_once(tmp_path: Path) -> None:
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    content = head + frame * 100_000 + b";"
    begun = time.process_time()
    with pytest.raises(TooLongError, match="100,000 frames"):
        resized(content, tmp_path, width=1)
    assert time.process_time() - begun < 5
    assert len(frames_of(resized(content, tmp_path, width=1, format="webp", max_frames=1))) == 1


@pytest.mark.parametrize("source", KINDS)
def test_the_pixels_of_all_frames_count_together(tmp_path: Path, source: str) -> None:
    content = encode_animation(source, animation_frames((100, 100), 4))
    with pytest.raises(TooManyPixelsError, match="100 x 100 pixels in 4 frames, 40,000 pixels in total"):
        resized(content, tmp_path, pixels=39_999, width=10)
    assert len(frames_of(resized(content, tmp_path, pixels=39_999, width=10, max_frames=3))) == 3


def test_a_png_that_only_claims_to_have_frames_is_damaged_or_refused(tmp_path: Path) -> None:
    content = encode_animation("PNG", animation_frames())
    at = content.index(b"acTL") + 4
    for claimed in (5, 900):
        with pytest.raises(CorruptMediaError):
            resized(_reckoned(content, at, claimed), tmp_path)
    for claimed in (1001, 2**31 - 1, 2**32 - 1):
        with pytest.raises((TooLongError, CorruptMediaError)):
            resized(_reckoned(content, at, claimed), tmp_path)


def _reckoned(content: bytes, at: int, frames: int) -> bytes:
    """With another number of frames, and a checksum that agrees."""
    body = struct.pack(">I", frames) + content[at + 4 : at + 8]
    return content[:at] + body + struct.pack(">I", zlib.crc32(b"acTL" + body)) + content[at + 12 :]


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("source", KINDS)
def test_a_film_cut_short_is_reported(tmp_path: Path, source: str, part: float) -> None:
    content = encode_animation(source, animation_frames())
    with pytest.raises(CorruptMediaError):
        resized(content[: int(len(content) * part)], tmp_path, format="png")


@pytest.mark.parametrize("fmt", ["BMP", "HEIF"])
def test_pictures_that_are_decoded_as_a_whole_have_a_limit_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    content = encode(photograph(), fmt)
    monkeypatch.setattr(pillow, "MAX_PIXELS", 239_999)
    with pytest.raises(TooManyPixelsError, match="240,000 pixels in total; at most 239,999"):
        resized(content, tmp_path)
    monkeypatch.setattr(pillow, "MAX_PIXELS", 240_000)
    assert resized(content, tmp_path).size == (120, 80)


def test_the_deadline_holds_while_a_png_film_is_read(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode_animation("PNG", animation_frames()))
    task = make_task(tmp_path / "source", tmp_path, deadline_s=-1)
    with pytest.raises(ProcessingTimedOutError):
        resize(task, ResizeParams(width=10))


def test_a_film_is_what_pillow_says_it_is() -> None:
    for source in KINDS:
        assert getattr(Image.open(io.BytesIO(encode_animation(source, animation_frames()))), "n_frames", 1) == 4
