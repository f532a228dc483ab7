"""Files that are refused: damaged, truncated, of another type, or beyond the limits."""

import resource
import struct
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from darkroom.contracts.image_params import MAX_FRAMES
from darkroom.errors import (
    CorruptMediaError,
    EmptyFileError,
    FileTooLargeError,
    MediaError,
    TooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.images.encode import encode_image
from darkroom.images.open import MAX_FILE_BYTES, open_image
from darkroom.media.geometry import Size
from tests.media.make_images import (
    animation_frames,
    decompression_bomb,
    encode,
    encode_animation,
    photograph,
    truncate,
)
from tests.support.image_checks import decode, scale
from tests.support.sources import LocalSource, make_task, make_task_for

HALF = Size(300, 200)
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_file_is_refused_instead_of_half_decoded(tmp_path: Path, fmt: str, share: float) -> None:
    content = truncate(encode(photograph(), fmt), share)
    damaged = pytest.raises(CorruptMediaError, match=r"^The image is damaged or truncated \(.+\)\.$")
    with damaged:
        scale(content, tmp_path, HALF)
    for in_memory in (True, False):
        with damaged:
            decode(content, tmp_path, in_memory=in_memory)


@pytest.mark.parametrize("fmt", ["GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_truncated_animation_is_refused(tmp_path: Path, fmt: str, share: float) -> None:
    task = make_task_for(truncate(encode_animation(fmt, animation_frames()), share), tmp_path)
    with pytest.raises(CorruptMediaError):
        encode_image(
            open_image(task.source, task.limits, max_frames=None).scale_to(Size(60, 40)), "webp", quality=80, task=task
        )


@pytest.mark.parametrize("end", [b"", b";", b";\0\0", b"; and more"])
def test_gif_without_a_trailer_or_with_trailing_data_is_valid(tmp_path: Path, end: bytes) -> None:
    task = make_task_for(encode_animation("GIF", animation_frames()).removesuffix(b";") + end, tmp_path)
    assert open_image(task.source, task.limits, max_frames=None).frames == 4


def test_empty_file_is_refused(tmp_path: Path) -> None:
    task = make_task_for(b"", tmp_path, "image/jpeg")
    with pytest.raises(EmptyFileError):
        open_image(task.source, task.limits)


def test_text_named_jpg_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_text("This is not an image.")
    task = make_task(file, tmp_path)
    with pytest.raises(UnsupportedMediaTypeError):
        open_image(task.source, task.limits)


def test_video_is_refused_as_the_wrong_kind(tmp_path: Path) -> None:
    task = make_task_for(b"\0\0\0\x18ftypmp42", tmp_path, "video/mp4")
    with pytest.raises(WrongMediaKindError, match="video/mp4, not an image"):
        open_image(task.source, task.limits)


@pytest.mark.parametrize("compression", [50000, 34887, 33003], ids=["Zstandard", "LERC", "JPEG 2000"])
def test_tiff_with_an_unsupported_compression_is_not_reported_as_damaged(tmp_path: Path, compression: int) -> None:
    content = encode(photograph(), "TIFF", compression="tiff_lzw")
    entry = struct.pack("<HHI", 259, 3, 1)
    assert content.count(entry) == 1
    at = content.index(entry) + len(entry)
    with pytest.raises(UnsupportedMediaTypeError, match="unsupported encoding"):
        scale(content[:at] + struct.pack("<H", compression) + content[at + 2 :], tmp_path, HALF)


def test_12_bit_jpeg_is_not_reported_as_damaged(tmp_path: Path) -> None:
    content = encode(photograph(), "JPEG")
    precision_at = content.index(b"\xff\xc0") + 4
    with pytest.raises(UnsupportedMediaTypeError, match="precision 12"):
        scale(content[:precision_at] + b"\x0c" + content[precision_at + 1 :], tmp_path, HALF)


def test_unsupported_image_type_is_refused_with_the_supported_types(tmp_path: Path) -> None:
    task = make_task_for(b"\xff\x0a", tmp_path, "image/jxl")
    with pytest.raises(UnsupportedMediaTypeError, match="AVIF, BMP, GIF, HEIC, JPEG, PNG, TIFF, WEBP"):
        open_image(task.source, task.limits)


@pytest.mark.parametrize(
    "content",
    [
        encode(photograph(), "PNG"),
        b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>',
        b"1,2,3\n4,5,6\n",
    ],
)
def test_only_the_loader_of_the_detected_type_is_used(tmp_path: Path, content: bytes) -> None:
    task = make_task_for(content, tmp_path, "image/jpeg")
    with pytest.raises((UnsupportedMediaTypeError, CorruptMediaError)):
        open_image(task.source, task.limits)


def test_decompression_bomb_is_refused_by_its_header_with_both_numbers(tmp_path: Path) -> None:
    content = decompression_bomb(40_000)
    assert len(content) < 1_000_000
    task = make_task_for(content, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooManyPixelsError, match=r"40,000 x 40,000, 1,600,000,000 pixels in total; at most 250"):
        open_image(task.source, task.limits)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_decompression_bomb_within_the_limit_is_read(tmp_path: Path) -> None:
    assert scale(decompression_bomb(2_000), tmp_path, Size(10, 10)).size == (10, 10)


@pytest.mark.parametrize("fmt", ["JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_pixel_limit_applies_to_every_type(tmp_path: Path, fmt: str) -> None:
    task = make_task_for(encode(photograph(), fmt), tmp_path, pixels=239_999)
    with pytest.raises(TooManyPixelsError, match="240,000"):
        open_image(task.source, task.limits)


def test_bmp_that_declares_a_huge_size_is_refused_by_its_header(tmp_path: Path) -> None:
    content = bytearray(encode(Image.new("RGB", (10, 10)), "BMP"))
    content[18:26] = struct.pack("<ii", 60_000, 60_000)
    task = make_task_for(bytes(content), tmp_path)
    with pytest.raises(TooManyPixelsError, match="60,000 x 60,000"):
        open_image(task.source, task.limits)


def test_image_with_an_extremely_long_side_is_refused(tmp_path: Path) -> None:
    content = encode(Image.new("RGB", (100_001, 1)), "PNG")

    with pytest.raises(TooManyPixelsError, match="100,001 x 1 pixels; a side may have at most 100,000"):
        scale(content, tmp_path, Size(10, 1))


def test_pixel_limit_applies_to_all_frames_of_an_animation_together(tmp_path: Path) -> None:
    task = make_task_for(encode_animation("GIF", animation_frames((100, 100), 4)), tmp_path, pixels=39_999)
    assert open_image(task.source, task.limits).frames == 1
    with pytest.raises(TooManyPixelsError, match="100 x 100 pixels in 4 frames, 40,000 pixels in total"):
        open_image(task.source, task.limits, max_frames=None)


def test_animation_with_too_many_frames_is_refused(tmp_path: Path) -> None:
    count = MAX_FRAMES + 1
    frames = [Image.new("L", (2, 1), 255 * (number % 2)) for number in range(count)]
    task = make_task_for(encode_animation("GIF", frames), tmp_path)
    with pytest.raises(TooLongError, match="1,001 frames; at most 1,000"):
        open_image(task.source, task.limits, max_frames=None)


def test_file_too_large_for_memory_is_refused_unread(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "source", "image/tiff")
    with source.local.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(FileTooLargeError, match=r"268,435,457 bytes"):
        open_image(source, make_task(source, tmp_path).limits)
    assert source.reads == 0


@pytest.mark.parametrize("fmt", FORMATS)
def test_random_damage_causes_no_other_error_than_a_media_error(tmp_path: Path, fmt: str) -> None:
    random = Random(f"damage {fmt}")
    good = encode(photograph().resize((120, 80)), fmt)
    for _ in range(60):
        content = bytearray(good)
        for _ in range(random.choice([1, 3, 20])):
            content[random.randrange(12, len(content))] = random.randrange(256)
        with suppress(MediaError):
            scale(bytes(content), tmp_path, Size(60, 40))
