"""Animations as sources and results: GIF, WebP, animated PNG and AVIF, with all or some of their frames."""

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.contracts.image_params import MAX_FRAMES, ResizeParams
from darkroom.errors import CorruptMediaError, TooLongError, TooManyPixelsError
from darkroom.images import limits
from darkroom.media.task import Rendition
from functions.resize.app import resize
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    convert_profile,
    encode,
    encode_animation,
    icc_profile,
    photograph,
)
from tests.support.image_checks import (
    content_of,
    count_frames,
    delays_of,
    frames_of,
    mean_difference,
    open_result,
    pixel_of,
)
from tests.support.sources import make_task_for

SOURCES = ["GIF", "WEBP", "PNG"]


def resize_rendition(content: bytes, folder: Path, *, pixels: int = 250_000_000, **params: Any) -> Rendition:
    """The rendition at a width of 120 pixels unless `params` say otherwise."""
    params = {"width": 120, "quality": 95, **params}
    (rendition,) = resize(make_task_for(content, folder, pixels=pixels), ResizeParams.model_validate(params))
    return rendition


def resized(content: bytes, folder: Path, *, pixels: int = 250_000_000, **params: Any) -> Image.Image:
    return open_result(resize_rendition(content, folder, pixels=pixels, **params))


def resized_with_metadata(content: bytes, folder: Path, **params: Any) -> Image.Image:
    return Image.open(io.BytesIO(content_of(resize_rendition(content, folder, **params))))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", ["gif", "webp", "png"])
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_requested_number_of_frames_is_kept(tmp_path: Path, source: str, fmt: str, count: int) -> None:
    frames = animation_frames()
    result = frames_of(resized(encode_animation(source, frames), tmp_path, format=fmt, max_frames=count))
    assert len(result) == min(count, 4)
    for one, other in zip(result, frames, strict=False):
        assert mean_difference(one, other) < 9


@pytest.mark.parametrize("source", SOURCES)
def test_animation_stays_animated_in_its_own_format(tmp_path: Path, source: str) -> None:
    result = resized(encode_animation(source, animation_frames()), tmp_path)
    assert result.format == source
    assert count_frames(result) == 4


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", ["jpeg", "avif"])
def test_formats_without_animation_show_the_first_frame(tmp_path: Path, source: str, fmt: str) -> None:
    frames = animation_frames()
    result = resized(encode_animation(source, frames), tmp_path, format=fmt)
    assert count_frames(result) == 1
    assert mean_difference(result, frames[0]) < 9 < mean_difference(result, frames[3])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", ["gif", "webp", "png"])
@pytest.mark.parametrize("plays", [0, 2, 7])
def test_plays_and_delays_of_all_frames_are_kept(tmp_path: Path, source: str, fmt: str, plays: int) -> None:
    delays_ms = [50, 200, 1000, 30]
    options: dict[str, Any] = {"loop": plays - 1 if source == "GIF" and plays else plays, "duration": delays_ms}
    frames = animation_frames()
    content = encode(frames[0], source, save_all=True, append_images=frames[1:], **options)
    result = resized(content, tmp_path, format=fmt)
    assert delays_of(result) == delays_ms
    # GIF counts repetitions, the other formats count plays.
    assert result.info["loop"] == (plays - 1 if fmt == "gif" and plays else plays)


def test_transparent_parts_of_frames_stay_transparent(tmp_path: Path) -> None:
    frames = []
    for number in range(3):
        frame = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
        frame.paste((255, 0, 0, 255), (number * 20, 0, number * 20 + 20, 40))
        frames.append(frame)
    for source in SOURCES:
        content = encode(frames[0], source, save_all=True, append_images=frames[1:], duration=80, disposal=2)
        for fmt in ("webp", "png", "gif"):
            result = frames_of(resized(content, tmp_path, width=60, format=fmt))
            for number, frame in enumerate(result):
                for column in range(3):
                    alpha = pixel_of(frame, (column * 20 + 10, 20))[3]
                    assert alpha == (255 if column == number else 0), (source, fmt, number, column)


@pytest.mark.parametrize("source", ["PNG", "WEBP"])
def test_frames_are_converted_by_the_profile(tmp_path: Path, source: str) -> None:
    frames = animation_frames()
    wide = [convert_profile(frame, "p3", "RGB") for frame in frames]
    content = encode(wide[0], source, save_all=True, append_images=wide[1:], quality=95, icc_profile=icc_profile("p3"))
    for shown, frame in zip(frames_of(resized(content, tmp_path, format="png")), frames, strict=True):
        assert mean_difference(shown, frame) < 4
    kept = resized_with_metadata(content, tmp_path, format="png", profile="keep")
    assert kept.info["icc_profile"] == icc_profile("p3")
    assert mean_difference(frames_of(kept)[0], wide[0]) < 4


@pytest.mark.parametrize("source", ["PNG", "WEBP"])
@pytest.mark.parametrize("fmt", ["png", "webp"])
def test_metadata_of_an_animation_is_kept_on_request(tmp_path: Path, source: str, fmt: str) -> None:
    frames, exif = animation_frames(), Image.Exif()
    exif.update({0x8298: "(c) A. Painter", 0x010F: "Darkroom"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    content = encode(frames[0], source, save_all=True, append_images=frames[1:], exif=exif.tobytes())
    kept = resized_with_metadata(content, tmp_path, format=fmt, metadata="keep").getexif()
    assert (kept[0x8298], kept[0x010F]) == ("(c) A. Painter", "Darkroom")
    assert not kept.get_ifd(0x8825)


# Animated AVIF -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["gif", "webp", "png", "jpeg", None])
@pytest.mark.parametrize("convert", [lambda frame: frame, add_alpha], ids=["opaque", "with alpha"])
def test_animated_avif_is_read_with_all_frames(
    tmp_path: Path, fmt: str | None, convert: Callable[[Image.Image], Image.Image]
) -> None:
    frames = [convert(frame) for frame in animation_frames()]
    result = resized(encode_animation("AVIF", frames), tmp_path, format=fmt)
    assert result.format == (fmt or "avif").upper()
    count = 4 if fmt in ("gif", "webp", "png") else 1
    assert count_frames(result) == count
    for number in range(count):
        result.seek(number)
        result.load()
        assert mean_difference(result, frames[number]) < (25 if fmt == "gif" else 8)  # GIF has no partial transparency
        assert count == 1 or result.info["duration"] == 80


@pytest.mark.parametrize("count", [1, 3])
def test_requested_number_of_frames_of_an_avif_is_kept(tmp_path: Path, count: int) -> None:
    content = encode_animation("AVIF", animation_frames())
    assert len(frames_of(resized(content, tmp_path, format="webp", max_frames=count))) == count
    with pytest.raises(TooManyPixelsError, match="120 x 80 pixels in 4 frames"):
        resized(content, tmp_path, format="webp", pixels=38_399)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_animated_avif_is_refused(tmp_path: Path, share: float) -> None:
    content = encode_animation("AVIF", animation_frames())
    with pytest.raises(CorruptMediaError):
        resized(content[: int(len(content) * share)], tmp_path, format="webp")


# Limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_animation_with_too_many_frames_is_refused_unless_some_are_requested(tmp_path: Path, source: str) -> None:
    frames = [Image.new("L", (2, 1), 255 * (number % 2)) for number in range(MAX_FRAMES + 1)]
    content = encode_animation(source, frames)
    with pytest.raises(TooLongError, match="1,001 frames; at most 1,000"):
        resized(content, tmp_path, width=2)
    assert len(frames_of(resized(content, tmp_path, width=2, max_frames=20))) == 20


def test_gif_with_100000_frames_is_refused_quickly(tmp_path: Path) -> None:
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    content = head + frame * 100_000 + b";"
    started = time.process_time()
    with pytest.raises(TooLongError, match="100,000 frames"):
        resized(content, tmp_path, width=1)
    assert time.process_time() - started < 5
    assert len(frames_of(resized(content, tmp_path, width=1, format="webp", max_frames=1))) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_pixel_limit_applies_to_all_frames_together(tmp_path: Path, source: str) -> None:
    content = encode_animation(source, animation_frames((100, 100), 4))
    with pytest.raises(TooManyPixelsError, match="100 x 100 pixels in 4 frames, 40,000 pixels in total"):
        resized(content, tmp_path, pixels=39_999, width=10)
    assert len(frames_of(resized(content, tmp_path, pixels=39_999, width=10, max_frames=3))) == 3


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("source", SOURCES)
def test_truncated_animation_is_refused(tmp_path: Path, source: str, share: float) -> None:
    content = encode_animation(source, animation_frames())
    with pytest.raises(CorruptMediaError):
        resized(content[: int(len(content) * share)], tmp_path, format="png")


@pytest.mark.parametrize("fmt", ["BMP", "HEIF"])
def test_images_that_are_decoded_as_a_whole_have_a_pixel_limit_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    content = encode(photograph(), fmt)
    monkeypatch.setattr(limits, "MAX_WHOLE_PIXELS", 239_999)
    with pytest.raises(TooManyPixelsError, match="240,000 pixels in total; at most 239,999"):
        resized(content, tmp_path)
    monkeypatch.setattr(limits, "MAX_WHOLE_PIXELS", 240_000)
    assert resized(content, tmp_path).size == (120, 80)


def test_pillow_reads_all_frames_of_the_samples() -> None:
    for source in SOURCES:
        assert getattr(Image.open(io.BytesIO(encode_animation(source, animation_frames()))), "n_frames", 1) == 4
