"""Animated PNG: chunks, areas, blending, disposal and delays, compared with Pillow's reading or the specification."""

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from darkroom.contracts.image_params import ResizeParams
from darkroom.errors import CorruptMediaError, ProcessingTimedOutError, TooLongError
from darkroom.images.png import PNG_RGBA, PngChunk, png_header, read_png_chunks, write_png
from functions.resize.app import resize
from tests.media.make_images import add_alpha, animation_frames, encode, encode_animation, photograph
from tests.support.image_checks import (
    changed_box,
    content_of,
    delays_of,
    frames_of,
    mean_difference,
    open_result,
    pixel_of,
)
from tests.support.sources import make_task, make_task_for


def resized(content: bytes, folder: Path, **params: Any) -> Image.Image:
    """The result at a width of 120 pixels unless `params` say otherwise."""
    params = {"width": 120, "quality": 95, **params}
    (rendition,) = resize(make_task_for(content, folder), ResizeParams.model_validate(params))
    return open_result(rendition)


# Writing -------------------------------------------------------------------------------------------------------------


def test_delays_of_minutes_are_kept(tmp_path: Path) -> None:
    frames = animation_frames()[:2]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[70_000, 655_350])
    assert delays_of(resized(content, tmp_path, format="png")) == [70_000, 655_350]


def test_only_the_area_that_changes_is_stored(tmp_path: Path) -> None:
    frames = [add_alpha(frame) for frame in animation_frames((400, 300), 6)]
    (rendition,) = resize(make_task_for(encode_animation("PNG", frames), tmp_path), ResizeParams(width=400))
    assert len(content_of(rendition)) < 2 * len(encode(frames[0], "PNG"))
    for one, other in zip(frames_of(open_result(rendition)), frames, strict=True):
        assert changed_box(one, other) is None


def test_frames_without_any_change_are_kept_with_their_delays(tmp_path: Path) -> None:
    still = photograph().resize((60, 40))
    result = resized(apng_of_whole_frames([still, still, still], [100, 200, 300]), tmp_path, width=60)
    assert delays_of(result) == [100, 200, 300]
    assert all(mean_difference(frame, still) < 1 for frame in frames_of(result))


def apng_of_whole_frames(frames: list[Image.Image], delays_ms: list[int]) -> bytes:
    """An animated PNG that stores every frame completely."""
    chunks: list[PngChunk] = []
    sequence = 0
    for number, (frame, delay_ms) in enumerate(zip(frames, delays_ms, strict=True)):
        header, *others = read_png_chunks(encode(frame, "PNG"))
        if number == 0:
            chunks += [header, (b"acTL", struct.pack(">II", len(frames), 0))]
        chunks.append((b"fcTL", struct.pack(">IIIIIHHBB", sequence, *frame.size, 0, 0, delay_ms, 1000, 0, 0)))
        sequence += 1
        for kind, body in others:
            if kind == b"IDAT" and number == 0:
                chunks.append((kind, body))
            elif kind == b"IDAT":
                chunks.append((b"fdAT", struct.pack(">I", sequence) + body))
                sequence += 1
    return write_png(chunks)


# Reading -------------------------------------------------------------------------------------------------------------

RED, YELLOW_HALF, GREEN, TRANSPARENT = (255, 0, 0, 255), (255, 255, 0, 128), (0, 255, 0, 255), (0, 0, 0, 0)
ORANGE = (255, 128, 0, 255)

#: What happens to an area before the next frame, and how it is drawn onto the canvas.
KEEP, CLEAR, RESTORE = 0, 1, 2
REPLACE, BLEND = 0, 1


class Area(NamedTuple):
    """A frame of an animation of 4x4 pixels: a square of one color."""

    color: tuple[int, ...]
    left: int
    top: int
    side: int
    disposal: int
    blend: int


@pytest.mark.parametrize("fmt", ["png", "gif"])
@pytest.mark.parametrize("default_image", [False, True])
@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([Area(RED, 0, 0, 4, KEEP, REPLACE), Area(YELLOW_HALF, 1, 1, 2, KEEP, BLEND)], [[RED, RED], [RED, ORANGE]]),
        (
            [Area(RED, 0, 0, 4, KEEP, REPLACE), Area(TRANSPARENT, 1, 1, 2, KEEP, REPLACE)],
            [[RED, RED], [RED, TRANSPARENT]],
        ),
        (
            [
                Area(RED, 0, 0, 4, KEEP, REPLACE),
                Area(GREEN, 1, 1, 2, CLEAR, BLEND),
                Area(RED, 0, 0, 1, KEEP, BLEND),
            ],
            [[RED, RED], [RED, GREEN], [RED, TRANSPARENT]],
        ),
        (
            [
                Area(RED, 0, 0, 4, KEEP, REPLACE),
                Area(GREEN, 1, 1, 2, RESTORE, REPLACE),
                Area(GREEN, 0, 0, 1, KEEP, BLEND),
            ],
            [[RED, RED], [RED, GREEN], [GREEN, RED]],
        ),
        (
            [Area(RED, 0, 0, 4, RESTORE, REPLACE), Area(GREEN, 1, 1, 2, KEEP, BLEND)],
            [[RED, RED], [TRANSPARENT, GREEN]],
        ),
    ],
    ids=["blend", "replace", "clear", "restore", "restore the first"],
)
def test_areas_are_blended_and_disposed_as_the_format_specifies(
    tmp_path: Path, areas: list[Area], expected: list[list[tuple[int, ...]]], default_image: bool, fmt: str
) -> None:
    result = resized(apng_of_areas(areas, default_image=default_image), tmp_path, width=4, format=fmt)
    for frame, colors in zip(frames_of(result), expected, strict=True):
        for place, color in zip(((0, 0), (1, 1)), colors, strict=True):
            pixel = pixel_of(frame, place)
            assert pixel[3] == color[3]
            assert pixel[3] == 0 or pixel == pytest.approx(color, abs=1)


def apng_of_areas(areas: list[Area], *, default_image: bool) -> bytes:
    """An animated PNG; its default image, if any, is blue and not one of its frames."""

    def pixels(color: tuple[int, ...], side: int) -> bytes:
        return zlib.compress((b"\0" + bytes(color) * side) * side)

    chunks: list[PngChunk] = [png_header(4, 4, bit_depth=8, color_type=PNG_RGBA)]
    chunks.append((b"acTL", struct.pack(">II", len(areas), 0)))
    if default_image:
        chunks.append((b"IDAT", pixels((0, 0, 255, 255), 4)))
    sequence, has_image = 0, default_image
    for color, left, top, side, disposal, blend in areas:
        control = struct.pack(">IIIIIHHBB", sequence, side, side, left, top, 1, 10, disposal, blend)
        chunks.append((b"fcTL", control))
        sequence += 1
        if has_image:
            chunks.append((b"fdAT", struct.pack(">I", sequence) + pixels(color, side)))
            sequence += 1
        else:
            chunks.append((b"IDAT", pixels(color, side)))
            has_image = True
    return write_png(chunks)


@pytest.mark.parametrize(("left", "side"), [(3, 2), (0, 5), (0, 0)])
def test_area_outside_the_image_is_refused_as_damage(tmp_path: Path, left: int, side: int) -> None:
    areas = [Area(RED, 0, 0, 4, KEEP, REPLACE), Area(GREEN, left, 0, side, KEEP, BLEND)]
    with pytest.raises(CorruptMediaError, match="outside"):
        resized(apng_of_areas(areas, default_image=False), tmp_path, width=4)


def test_default_image_is_not_a_frame(tmp_path: Path) -> None:
    frames = animation_frames()
    blue = Image.new("RGB", frames[0].size, "blue")
    content = encode(blue, "PNG", save_all=True, append_images=frames, default_image=True, duration=80)
    animated = frames_of(resized(content, tmp_path))
    assert len(animated) == 4
    assert mean_difference(animated[0], frames[0]) < 2
    assert pixel_of(resized(content, tmp_path, format="jpeg"), (60, 40))[2] > 240


def test_wrong_number_of_frames_is_refused(tmp_path: Path) -> None:
    content = encode_animation("PNG", animation_frames())
    for declared in (5, 900):
        with pytest.raises(CorruptMediaError):
            resized(with_declared_frames(content, declared), tmp_path)
    for declared in (1001, 2**31 - 1, 2**32 - 1):
        with pytest.raises((TooLongError, CorruptMediaError)):
            resized(with_declared_frames(content, declared), tmp_path)


def with_declared_frames(content: bytes, count: int) -> bytes:
    """The file with another number of frames in its acTL chunk."""
    chunks = [chunk for chunk in read_png_chunks(content) if chunk[0] != b"IEND"]
    return write_png((k, struct.pack(">I", count) + body[4:] if k == b"acTL" else body) for k, body in chunks)


def test_deadline_applies_while_an_animated_png_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode_animation("PNG", animation_frames()))
    task = make_task(tmp_path / "source", tmp_path, deadline_s=-1)
    with pytest.raises(ProcessingTimedOutError):
        resize(task, ResizeParams(width=10))
