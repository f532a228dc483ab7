import gc
import io
import resource
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import pyvips
from PIL import Image, ImageCms, TiffImagePlugin, TiffTags

from darkroom.contracts.image_params import MAX_FRAMES, ImageFormat
from darkroom.errors import (
    CorruptMediaError,
    EmptyFileError,
    FileTooLargeError,
    InternalError,
    MediaError,
    ProcessingTimedOutError,
    Superseded,
    TooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.images import open as image_opening
from darkroom.images import vips
from darkroom.images.encode import EncodeOptions, choose_format, encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from darkroom.media.task import Task
from tests.image_checks import mean_difference, open_result
from tests.media.make_images import (
    MEDIA,
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
    large_photo,
    photograph,
    truncate,
)
from tests.sources import LocalSource, make_task

HALF = Size(300, 200)
STILL_FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]


def task_on(content: bytes, folder: Path, declared: str | None = None) -> Task:
    """A task whose source has these bytes."""
    (folder / "source").write_bytes(content)
    return make_task(LocalSource(folder / "source", declared), folder)


def scaled(content: bytes, folder: Path, size: Size = HALF) -> Image.Image:
    """The image at `size`, 300x200 unless told otherwise, losslessly."""
    task = task_on(content, folder)
    return open_result(encode_image(open_image(task.source, task.limits).scale_to(size), "png", quality=80, task=task))


def whole(content: bytes, folder: Path, *, held: bool) -> Image.Image:
    """The image at its own size, losslessly."""
    task = task_on(content, folder)
    return open_result(
        encode_image(open_image(task.source, task.limits).full_size(task, in_memory=held), "png", quality=80, task=task)
    )


def half(image: Image.Image) -> Image.Image:
    """What `scaled` should make of a picture of 600x400."""
    return image.resize(HALF, Image.Resampling.LANCZOS)


# Orientation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_is_applied_once_and_forgotten(tmp_path: Path, fmt: str, orientation: int) -> None:
    image = photograph()
    content = encode_oriented(image, orientation, fmt, quality=95)
    task = task_on(content, tmp_path)
    assert open_image(task.source, task.limits).size == Size(600, 400)
    assert mean_difference(scaled(content, tmp_path), half(image)) < 2.5
    for held in (True, False):
        assert mean_difference(whole(content, tmp_path, held=held), image) < 3.5


# Colour ------------------------------------------------------------------------------------------------------------


def test_a_wide_gamut_picture_is_converted_to_srgb(tmp_path: Path) -> None:
    image = photograph()
    content = encode(convert_profile(image, "p3", "RGB"), "PNG", icc_profile=icc_profile("p3"))
    assert mean_difference(scaled(content, tmp_path), half(image)) < 1.5
    assert mean_difference(whole(content, tmp_path, held=True), image) < 1.5


def test_a_profile_that_says_srgb_changes_nothing(tmp_path: Path) -> None:
    image = photograph()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = whole(encode(image, "PNG", icc_profile=srgb), tmp_path, held=True)
    assert result.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    "curve",
    [b"curv" + bytes(8), b"curv" + bytes(4) + b"\0\0\0\1\1\0", b"para" + bytes(8) + b"\0\1\0\0"],
    ids=["no points", "an exponent", "a formula"],
)
def test_linear_srgb_is_not_taken_for_srgb(tmp_path: Path, curve: bytes) -> None:
    srgb = icc_profile("srgb")
    linear = srgb[:448] + curve + bytes(32 - len(curve))
    assert srgb[448:452] == b"para"
    content = encode(Image.new("RGB", (600, 400), (64, 64, 64)), "PNG", icc_profile=linear)
    for result in (scaled(content, tmp_path), whole(content, tmp_path, held=True)):
        assert result.getpixel((9, 9)) == pytest.approx((137, 137, 137), abs=1)  # a quarter of the light


def test_an_embedded_cmyk_profile_is_obeyed(tmp_path: Path) -> None:
    source = convert_profile(photograph(), "cmyk", "CMYK")
    reference = ImageCms.profileToProfile(
        source,
        ImageCms.ImageCmsProfile(io.BytesIO(icc_profile("cmyk"))),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert reference is not None
    jpeg = encode(source, "JPEG", quality=95, icc_profile=icc_profile("cmyk"))
    tiff = encode(source, "TIFF", icc_profile=icc_profile("cmyk"))
    for content in (jpeg, tiff):
        assert mean_difference(scaled(content, tmp_path), half(reference)) < 2.5
        assert mean_difference(whole(content, tmp_path, held=True), reference) < 2.5


def test_a_large_cmyk_jpeg_is_decoded_smaller_with_the_same_colours(tmp_path: Path) -> None:
    source = photograph().resize((2400, 1600), Image.Resampling.LANCZOS)
    content = encode(convert_profile(source, "cmyk", "CMYK"), "JPEG", quality=95, icc_profile=icc_profile("cmyk"))
    small = encode(
        convert_profile(half(photograph()), "cmyk", "CMYK"), "JPEG", quality=95, icc_profile=icc_profile("cmyk")
    )
    assert mean_difference(scaled(content, tmp_path), whole(small, tmp_path, held=True)) < 3.0


def test_cmyk_without_a_profile_is_not_inverted(tmp_path: Path) -> None:
    content = encode(photograph().convert("CMYK"), "JPEG", quality=95)
    assert mean_difference(scaled(content, tmp_path), half(photograph())) < 20


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("broken", [b"not a profile" * 20, b"", icc_profile("cmyk")[:2000]])
def test_a_profile_that_nobody_can_read_is_ignored(tmp_path: Path, mode: str, broken: bytes) -> None:
    image = photograph().convert(mode)
    fmt = "TIFF" if mode == "CMYK" else "PNG"
    with_profile = scaled(encode(image, fmt, icc_profile=broken), tmp_path)
    assert mean_difference(with_profile, scaled(encode(image, fmt), tmp_path)) == 0


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    content = encode_16_bit_png(photograph())
    assert mean_difference(scaled(content, tmp_path), half(photograph())) < 1.5
    assert whole(content, tmp_path, held=True).tobytes() == photograph().tobytes()


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    grey = photograph().convert("L")
    deep = grey.convert("I").point(lambda level: level * 257).convert("I;16")
    result = whole(encode(deep, "PNG"), tmp_path, held=True)
    assert (result.mode, result.tobytes()) == ("L", grey.tobytes())


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "BMP"])
def test_grey_stays_grey(tmp_path: Path, fmt: str) -> None:
    grey = photograph().convert("L")
    result = scaled(encode(grey, fmt), tmp_path)
    assert result.mode == "L"
    assert mean_difference(result, half(grey)) < 2.0


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_pixel_reaches_every_format(tmp_path: Path, mode: str, fmt: ImageFormat) -> None:
    image = add_alpha(photograph()).convert(mode)
    task = task_on(encode(image, "PNG"), tmp_path)
    picture = open_image(task.source, task.limits)
    result = open_result(encode_image(picture.full_size(task, in_memory=False), fmt, quality=95, task=task))
    # GIF knows no half transparency and 256 colours; black and white dots are hard on the lossy formats.
    assert mean_difference(result, image) < (40 if fmt == "gif" else 8)


def with_channels(mode: str, count: int) -> bytes:
    """A TIFF with so many channels besides those of its colours, all of them full."""
    image = pyvips.Image.new_from_file(str(MEDIA / "coffee.png")).colourspace(mode)
    for _ in range(count):
        image = image.bandjoin(255)
    return bytes(image.tiffsave_buffer())


@pytest.mark.parametrize("mode", ["srgb", "b-w", "cmyk"])
@pytest.mark.parametrize("fmt", ["jpeg", "png"])
def test_spot_colours_and_masks_are_left_out(tmp_path: Path, mode: str, fmt: ImageFormat) -> None:
    def result(count: int) -> Image.Image:
        task = task_on(with_channels(mode, count), tmp_path)
        return open_result(
            encode_image(open_image(task.source, task.limits).scale_to(HALF), fmt, quality=95, task=task)
        )

    assert mean_difference(result(3).convert("RGB"), result(0).convert("RGB")) < 2


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["LAB", "YCbCr"])
def test_a_tiff_shows_its_colours_whatever_they_are_stored_as(tmp_path: Path, mode: str, compression: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = (convert_to_lab(photograph()) if mode == "LAB" else photograph().convert(mode)).transpose(
        Image.Transpose.ROTATE_180
    )
    content = encode(stored, "TIFF", compression=compression, exif=exif.tobytes())
    assert mean_difference(scaled(content, tmp_path), half(photograph())) < 2.5
    with pytest.raises(CorruptMediaError):
        scaled(truncate(content, 0.5), tmp_path)


def test_a_profile_in_a_tiff_that_is_none_is_ignored(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[34675] = TiffTags.SHORT
    tags[34675] = 1
    content = encode(photograph().convert("YCbCr"), "TIFF", tiffinfo=tags)
    assert mean_difference(scaled(content, tmp_path), half(photograph())) < 2.5


def test_a_profile_for_lab_is_not_kept_with_rgb(tmp_path: Path) -> None:
    content = encode(convert_to_lab(photograph()), "TIFF")
    assert b"acsp" in content
    task = task_on(content, tmp_path)
    image = open_image(task.source, task.limits, keep_profile=True).scale_to(HALF)
    finish = EncodeOptions(keep_profile=True)
    assert "icc_profile" not in open_result(encode_image(image, "png", quality=80, task=task, options=finish)).info


def test_a_picture_of_too_many_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="13 channels; at most 12 are"):
        scaled(with_channels("srgb", 10), tmp_path)


def test_a_palette_with_a_transparent_colour_keeps_it(tmp_path: Path) -> None:
    image = photograph().quantize(16)
    image.paste(0, (0, 0, 300, 400))
    result = whole(encode(image, "PNG", transparency=0), tmp_path, held=True)
    assert result.mode == "RGBA"
    assert result.getpixel((10, 10))[3] == 0  # type: ignore[index]


def test_a_bitmap_is_read_in_every_depth(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        image = photograph().convert(mode)
        result = whole(encode(image, "BMP"), tmp_path, held=False)
        assert mean_difference(result, image) == 0, mode


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
def test_the_smallest_picture_is_written_in_every_format(tmp_path: Path, fmt: ImageFormat) -> None:
    task = task_on(encode(Image.new("RGB", (1, 1), "red"), "PNG"), tmp_path)
    assert open_result(
        encode_image(open_image(task.source, task.limits).scale_to(Size(1, 1)), fmt, quality=80, task=task)
    )


def test_the_default_format_is_the_own_one_or_jpeg() -> None:
    own = {f"image/{fmt}": choose_format(None, f"image/{fmt}") for fmt in ("jpeg", "png", "webp", "avif", "gif")}
    assert own == {f"image/{fmt}": fmt for fmt in ("jpeg", "png", "webp", "avif", "gif")}
    assert [choose_format(None, f"image/{fmt}") for fmt in ("tiff", "bmp", "heic")] == ["jpeg"] * 3
    assert choose_format("webp", "image/jpeg") == "webp"


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", STILL_FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_reported_and_not_half_drawn(tmp_path: Path, fmt: str, part: float) -> None:
    content = truncate(encode(photograph(), fmt), part)
    for attempt in (scaled, lambda *args: whole(*args, held=True), lambda *args: whole(*args, held=False)):
        with pytest.raises(CorruptMediaError, match=r"^The image is damaged or truncated \(.+\)\.$"):
            attempt(content, tmp_path)


@pytest.mark.parametrize("fmt", ["GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_an_animation_cut_short_is_reported(tmp_path: Path, fmt: str, part: float) -> None:
    task = task_on(truncate(encode_animation(fmt, animation_frames()), part), tmp_path)
    with pytest.raises(CorruptMediaError):
        encode_image(
            open_image(task.source, task.limits, max_frames=None).scale_to(Size(60, 40)), "webp", quality=80, task=task
        )


@pytest.mark.parametrize("end", [b"", b";", b";\0\0", b"; and more"])
def test_a_gif_without_its_last_byte_or_with_more_behind_it_is_whole(tmp_path: Path, end: bytes) -> None:
    task = task_on(encode_animation("GIF", animation_frames()).removesuffix(b";") + end, tmp_path)
    assert open_image(task.source, task.limits, max_frames=None).frames == 4


def test_the_error_of_one_job_does_not_leak_into_the_next(tmp_path: Path) -> None:
    vips.set_up()
    pyvips.Image.thumbnail_buffer(truncate(encode(photograph(), "JPEG"), 0.5), 20).avg()
    assert b"JPEG" in pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())
    with pytest.raises(CorruptMediaError) as caught:
        whole(truncate(encode(photograph(), "PNG"), 0.5), tmp_path, held=True)
    assert "JPEG" not in caught.value.message


def test_an_empty_file_is_reported(tmp_path: Path) -> None:
    task = task_on(b"", tmp_path, "image/jpeg")
    with pytest.raises(EmptyFileError):
        open_image(task.source, task.limits)


def test_a_text_named_jpg_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_text("This is not an image.")
    task = make_task(file, tmp_path)
    with pytest.raises(UnsupportedMediaTypeError):
        open_image(task.source, task.limits)


def test_a_video_is_not_a_picture(tmp_path: Path) -> None:
    task = task_on(b"\0\0\0\x18ftypmp42", tmp_path, "video/mp4")
    with pytest.raises(WrongMediaKindError, match="video/mp4, not an image"):
        open_image(task.source, task.limits)


@pytest.mark.parametrize("compression", [50000, 34887, 33003], ids=["Zstandard", "LERC", "JPEG 2000"])
def test_a_tiff_in_a_compression_that_nobody_decodes_is_not_called_damaged(tmp_path: Path, compression: int) -> None:
    content = encode(photograph(), "TIFF", compression="tiff_lzw")
    entry = struct.pack("<HHI", 259, 3, 1)
    assert content.count(entry) == 1
    at = content.index(entry) + len(entry)
    with pytest.raises(UnsupportedMediaTypeError, match="unsupported encoding"):
        scaled(content[:at] + struct.pack("<H", compression) + content[at + 2 :], tmp_path)


def test_a_jpeg_of_twelve_bits_is_not_called_damaged(tmp_path: Path) -> None:
    content = encode(photograph(), "JPEG")
    precision_at = content.index(b"\xff\xc0") + 4
    with pytest.raises(UnsupportedMediaTypeError, match="precision 12"):
        scaled(content[:precision_at] + b"\x0c" + content[precision_at + 1 :], tmp_path)


def test_another_kind_of_picture_is_refused_with_what_can_be_sent_instead(tmp_path: Path) -> None:
    task = task_on(b"\xff\x0a", tmp_path, "image/jxl")
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
def test_only_the_loader_of_the_sniffed_type_is_used(tmp_path: Path, content: bytes) -> None:
    task = task_on(content, tmp_path, "image/jpeg")
    with pytest.raises((UnsupportedMediaTypeError, CorruptMediaError)):
        open_image(task.source, task.limits)


@pytest.mark.parametrize("call", ["svgload_buffer", "uhdrload_buffer"])
def test_loaders_that_nobody_needs_are_blocked(call: str) -> None:
    vips.set_up()
    with pytest.raises(pyvips.Error, match="blocked"):
        getattr(pyvips.Image, call)(encode(photograph(), "JPEG"))


def test_a_bomb_is_refused_by_its_header_with_both_numbers(tmp_path: Path) -> None:
    content = decompression_bomb(40_000)
    assert len(content) < 1_000_000
    task = task_on(content, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooManyPixelsError, match=r"40,000 x 40,000, 1,600,000,000 pixels in total; at most 250"):
        open_image(task.source, task.limits)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_bomb_within_the_limit_would_have_been_read(tmp_path: Path) -> None:
    assert scaled(decompression_bomb(2_000), tmp_path, Size(10, 10)).size == (10, 10)


@pytest.mark.parametrize("fmt", ["JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_the_pixel_limit_holds_for_every_type(tmp_path: Path, fmt: str) -> None:
    (tmp_path / "source").write_bytes(encode(photograph(), fmt))
    task = make_task(tmp_path / "source", tmp_path, pixels=239_999)
    with pytest.raises(TooManyPixelsError, match="240,000"):
        open_image(task.source, task.limits)


def test_a_bitmap_that_only_claims_to_be_huge_is_refused_by_its_header(tmp_path: Path) -> None:
    content = bytearray(encode(Image.new("RGB", (10, 10)), "BMP"))
    content[18:26] = struct.pack("<ii", 60_000, 60_000)
    task = task_on(bytes(content), tmp_path)
    with pytest.raises(TooManyPixelsError, match="60,000 x 60,000"):
        open_image(task.source, task.limits)


def test_a_picture_with_a_side_of_extreme_length_is_refused(tmp_path: Path) -> None:
    content = encode(Image.new("RGB", (100_001, 1)), "PNG")

    with pytest.raises(TooManyPixelsError, match="100,001 x 1 pixels; a side may have at most 100,000"):
        scaled(content, tmp_path, Size(10, 1))


def test_the_pixels_of_an_animation_count_together(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode_animation("GIF", animation_frames((100, 100), 4)))
    task = make_task(tmp_path / "source", tmp_path, pixels=39_999)
    assert open_image(task.source, task.limits).frames == 1
    with pytest.raises(TooManyPixelsError, match="100 x 100 pixels in 4 frames, 40,000 pixels in total"):
        open_image(task.source, task.limits, max_frames=None)


def test_an_animation_of_too_many_frames_is_refused(tmp_path: Path) -> None:
    count = MAX_FRAMES + 1
    film = [Image.new("L", (2, 1), 255 * (number % 2)) for number in range(count)]
    task = task_on(encode_animation("GIF", film), tmp_path)
    with pytest.raises(TooLongError, match="1,001 frames; at most 1,000"):
        open_image(task.source, task.limits, max_frames=None)


def test_a_file_too_large_to_hold_is_refused_unread(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "source", "image/tiff")
    with source.local.open("wb") as file:
        file.truncate(image_opening.MAX_FILE_BYTES + 1)
    with pytest.raises(FileTooLargeError, match=r"268,435,457 bytes"):
        open_image(source, make_task(source, tmp_path).limits)
    assert source.reads == 0


@pytest.mark.parametrize("fmt", STILL_FORMATS)
def test_damage_anywhere_is_a_fault_of_the_file_or_none(tmp_path: Path, fmt: str) -> None:
    chance = Random(f"damage {fmt}")
    good = encode(photograph().resize((120, 80)), fmt)
    for _ in range(60):
        content = bytearray(good)
        for _ in range(chance.choice([1, 3, 20])):
            content[chance.randrange(12, len(content))] = chance.randrange(256)
        with suppress(MediaError):
            scaled(bytes(content), tmp_path, Size(60, 40))


def test_a_text_that_is_none_is_the_files_fault() -> None:
    with pytest.raises(CorruptMediaError), vips.map_vips_errors():
        b"exif-\xff".decode()


def test_a_defect_of_ours_is_not_blamed_on_the_file() -> None:
    with pytest.raises(InternalError, match="extract_area"), vips.map_vips_errors():
        pyvips.Image.black(10, 10).crop(0, 0, 20, 20)


# The process lives on ----------------------------------------------------------------------------------------------

WARNING_WITHIN_A_WARNING = """
import gc, logging, sys
import pyvips
from darkroom.images.vips import set_up

jpeg, png = (open(name, "rb").read() for name in sys.argv[1:])
set_up()
kept = []


class Collector(logging.Handler):
    def emit(self, record):
        kept.clear()
        gc.collect()


logging.getLogger("pyvips").addHandler(Collector())
for _ in range(5):
    picture = pyvips.Image.thumbnail_buffer(jpeg, 20)
    picture.avg()
    kept.append(picture)
    del picture
    pyvips.Image.thumbnail_buffer(png, 20).avg()
"""


def test_a_warning_within_a_warning_does_not_end_the_process(tmp_path: Path) -> None:
    files = [tmp_path / "cut.jpg", tmp_path / "cut.png"]
    for file, fmt in zip(files, ("JPEG", "PNG"), strict=True):
        file.write_bytes(truncate(encode(photograph(), fmt), 0.5))
    code = f"import sys; sys.path.insert(0, {str(MEDIA.parents[1] / 'layers' / 'core')!r})" + WARNING_WITHIN_A_WARNING
    run = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_pixels_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    task = task_on(encode(large_photo(2000, 1500), "PNG"), tmp_path)

    def work() -> None:
        image = open_image(task.source, task.limits).full_size(task, in_memory=True)
        encode_image(image.crop(0, 0, 10, 10), "png", quality=80, task=task)

    work()
    gc.disable()
    try:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(8):
            work()
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    finally:
        gc.enable()
    assert grown_kib < 40_000  # one picture has 9 MB


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_the_bytes_of_a_picture_live_as_long_as_what_is_made_of_them(tmp_path: Path, fmt: str) -> None:
    (tmp_path / "source").write_bytes(encode(photograph(), fmt, **({"quality": 95} if fmt != "PNG" else {})))
    task = make_task(tmp_path / "source", tmp_path)

    def made(size: Size) -> pyvips.Image:
        return open_image(task.source, task.limits).scale_to(size).flip("horizontal")

    for size in (HALF, Size(60, 40)):
        image = made(size)
        gc.collect()
        junk = [bytes([255]) * 200_000 for _ in range(50)]
        result = open_result(encode_image(image, "png", quality=80, task=task))
        expected = photograph().resize(size, Image.Resampling.LANCZOS).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert mean_difference(result, expected) < 10
        assert len(junk) == 50


@pytest.mark.parametrize("held", [True, False])
def test_work_past_its_deadline_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0)
    (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, deadline_s=-1)
    picture = open_image(task.source, task.limits)
    with pytest.raises(ProcessingTimedOutError):
        encode_image(picture.full_size(task, in_memory=held), "png", quality=80, task=task)


def test_a_canceled_job_stops_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0)
    seen: list[float] = []

    def cancel(fraction: float) -> None:
        seen.append(fraction)
        if len(seen) == 3:
            raise Superseded

    (tmp_path / "source").write_bytes(encode(large_photo(1600, 1200), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=cancel)
    picture = open_image(task.source, task.limits)
    with pytest.raises(Superseded):
        encode_image(picture.full_size(task, in_memory=False), "png", quality=80, task=task)
    assert len(seen) == 3


def test_progress_never_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0)
    seen: list[float] = []
    (tmp_path / "source").write_bytes(encode(large_photo(1600, 1200), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=seen.append)
    encode_image(open_image(task.source, task.limits).full_size(task, in_memory=True), "png", quality=80, task=task)
    assert seen == sorted(seen)
    assert 0 <= seen[0] < 0.5 < seen[-1] <= 1
    assert len(set(seen)) > 4


def test_progress_is_told_now_and_then_and_not_always(tmp_path: Path) -> None:
    seen: list[float] = []
    (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=seen.append)
    begun = time.monotonic()
    encode_image(open_image(task.source, task.limits).full_size(task, in_memory=True), "png", quality=80, task=task)
    assert len(seen) <= (time.monotonic() - begun) / vips.PROGRESS_PERIOD_S
