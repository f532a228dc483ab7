"""Images that libvips does not read, decoded by Pillow: BMP, HEIC, some TIFFs, and AVIF animations and video frames.

They are decoded as a whole, so they have their own pixel limit. Pillow is imported when the first of them is read.
"""

import io
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyvips

from darkroom.errors import CorruptMediaError
from darkroom.images.heic import HeicImage, open_heic
from darkroom.images.limits import check_decoded_whole
from darkroom.images.vips import animation_strip
from darkroom.media.geometry import Size
from darkroom.media.task import Limits

if TYPE_CHECKING:
    from PIL.BmpImagePlugin import BmpImageFile


@dataclass(frozen=True)
class ImageHeader:
    """The properties of an image that are known before it is decoded. `mode` is Pillow's; `size` is upright."""

    size: Size
    mode: str
    bit_depth: int
    profile: bytes = b""
    exif: bytes = b""


def read_bmp_header(content: bytes, limits: Limits) -> ImageHeader:
    """Raises TooManyPixelsError and CorruptMediaError."""
    with _as_corrupt_media("BMP"), _open_bmp(content, limits) as opened:
        return ImageHeader(Size(*opened.size), opened.mode, 1 if opened.mode == "1" else 8)


def read_heic_header(content: bytes, limits: Limits) -> ImageHeader:
    """Raises TooManyPixelsError, CorruptMediaError and WorkerDiedError."""
    with _open_heic(content, limits) as opened:
        profile, exif = (opened.metadata.get(name, b"") for name in ("icc_profile", "exif"))
        return ImageHeader(opened.size, opened.mode, opened.bit_depth, profile, exif)


def _open_bmp(content: bytes, limits: Limits) -> "BmpImageFile":
    from PIL.BmpImagePlugin import BmpImageFile

    opened = BmpImageFile(io.BytesIO(content))
    check_decoded_whole(Size(*opened.size), 1, limits)
    return opened


@contextmanager
def _open_heic(content: bytes, limits: Limits) -> Iterator[HeicImage]:
    with open_heic(content) as opened:
        check_decoded_whole(opened.size, 1, limits)
        yield opened


def decode_bmp(content: bytes, limits: Limits) -> pyvips.Image:
    """Raises TooManyPixelsError and CorruptMediaError."""
    with _as_corrupt_media("BMP"), _open_bmp(content, limits) as opened:
        mode = {"L": "L", "1": "L", "RGBA": "RGBA"}.get(opened.mode, "RGB")
        pixels = (opened if opened.mode == mode else opened.convert(mode)).tobytes()
        return _image(pixels, Size(*opened.size), len(mode))


def decode_heic(content: bytes, limits: Limits) -> pyvips.Image:
    """Upright, with its profile and metadata. HEIF has its own orientation; that of EXIF does not count.

    Raises TooManyPixelsError, CorruptMediaError and WorkerDiedError.
    """
    with _open_heic(content, limits) as opened:
        size, pixels = opened.decode()
        return _with_metadata(_image(pixels, size, len(opened.mode)), opened.metadata)


def _with_metadata(image: pyvips.Image, metadata: Mapping[Any, Any]) -> pyvips.Image:
    """The image with its profile, EXIF and XMP."""
    for field, name in (("icc_profile", "icc-profile-data"), ("exif", "exif-data"), ("xmp", "xmp-data")):
        if field in metadata:
            image.set_type(pyvips.GValue.blob_type, name, metadata[field])
    return image


_ORIENTATION = 0x0112

#: Tags of a TIFF about its colors, and the values that matter here.
_COMPRESSION, _PHOTOMETRIC, _SUBSAMPLING = 0x0103, 0x0106, 0x0212
_JPEG_COMPRESSIONS, _YCBCR, _NOT_SUBSAMPLED = (6, 7), 6, (1, 1)


def decode_lab_or_ycbcr_tiff(content: bytes, limits: Limits) -> pyvips.Image | None:
    """A TIFF in 8-bit Lab, which libvips refuses, or in YCbCr, which it reads as RGB; None for any other.

    YCbCr with JPEG compression or subsampling is left to libvips. The image is upright. Raises TooManyPixelsError and
    CorruptMediaError.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    needs_pillow = False
    with _ignore_metadata_errors("TIFF"), TiffImageFile(io.BytesIO(content)) as opened:
        tags = opened.tag_v2
        plain = tags.get(_COMPRESSION) not in _JPEG_COMPRESSIONS and tags.get(_SUBSAMPLING) == _NOT_SUBSAMPLED
        needs_pillow = opened.mode == "LAB" or (plain and tags.get(_PHOTOMETRIC) == _YCBCR)
    if not needs_pillow:
        return None
    with _ignore_warnings(), _as_corrupt_media("TIFF"), TiffImageFile(io.BytesIO(content)) as opened:
        check_decoded_whole(Size(*opened.size), 1, limits)
        opened.load()
        lab = opened.mode == "LAB"
        image = _image((opened if lab else opened.convert("RGB")).tobytes(), Size(*opened.size), 3)
        profile = opened.info.get("icc_profile")
    image = _lab(image) if lab else image
    image.set_type(pyvips.GValue.gint_type, "bits-per-sample", 8)
    if isinstance(profile, bytes):  # in a damaged file it may be of another type
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def _lab(image: pyvips.Image) -> pyvips.Image:
    """Lab as libvips represents it, from one unsigned byte for lightness and two signed ones for color."""
    lightness, color = image.extract_band(0) * (100 / 255), image.extract_band(1, n=2).copy(format="char")
    return lightness.bandjoin(color).copy(interpretation="lab")


#: Tags of a TIFF that are EXIF rather than file layout: description, make, model, software, time, artist, copyright.
_TIFF_EXIF_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_TIFF_EXIF_DIRECTORIES = (0x8769, 0x8825)


def read_tiff_exif(content: bytes) -> bytes:
    """The EXIF of a TIFF, whose tags are among the file's own, which libvips does not read; empty if it is damaged."""
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    with _ignore_metadata_errors("TIFF"), TiffImageFile(io.BytesIO(content)) as opened:
        tags, exif = opened.getexif(), Image.Exif()
        for tag in _TIFF_EXIF_TAGS:
            if tag in tags:
                exif[tag] = tags[tag]
        for directory in _TIFF_EXIF_DIRECTORIES:
            exif.get_ifd(directory).update(tags.get_ifd(directory))
        return bytes(exif.tobytes())
    return b""


#: EXIF's directory about the exposure, and the tags that are returned. The position is never read.
_EXPOSURE_DIRECTORY = 0x8769
_MAKE, _MODEL, _LENS, _TIME, _UTC_OFFSET = 0x010F, 0x0110, 0xA434, 0x9003, 0x9011


def read_exif_tags(exif: bytes) -> dict[str, str]:
    """The tags `creation_time` (in EXIF's format), `make`, `model` and `lens_model`.

    Missing and damaged tags are left out.
    """
    from PIL import Image

    tags = Image.Exif()
    with _ignore_metadata_errors("EXIF"):
        tags.load(exif)
        exposure = tags.get_ifd(_EXPOSURE_DIRECTORY)
        values = {
            "creation_time": f"{exposure.get(_TIME, '')}{exposure.get(_UTC_OFFSET, '')}",
            "make": tags.get(_MAKE),
            "model": tags.get(_MODEL),
            "lens_model": exposure.get(_LENS),
        }
        texts = {name: value.strip("\0 ") for name, value in values.items() if isinstance(value, str)}
        return {name: text for name, text in texts.items() if text}
    return {}


# Animated AVIF -------------------------------------------------------------------------------------------------------


def is_animated_avif(content: bytes) -> bool:
    """Whether an AVIF is declared as an animation."""
    return content[8:12] == b"avis"


def count_avif_frames(content: bytes) -> int:
    """The number of frames of an animated AVIF. Raises CorruptMediaError."""
    from PIL.AvifImagePlugin import AvifImageFile

    with _ignore_warnings(), _as_corrupt_media("AVIF"), AvifImageFile(io.BytesIO(content)) as opened:
        return int(opened.n_frames)


def decode_animated_avif(content: bytes, count: int, limits: Limits) -> pyvips.Image:
    """The first `count` frames as an animation strip with their delays. Pillow does not read the number of plays.

    Raises TooManyPixelsError and CorruptMediaError.
    """
    from PIL.AvifImagePlugin import AvifImageFile

    with _ignore_warnings(), _as_corrupt_media("AVIF"), AvifImageFile(io.BytesIO(content)) as opened:
        size = Size(*opened.size)
        check_decoded_whole(size, count, limits)
        mode = "RGBA" if opened.mode == "RGBA" else "RGB"
        frames, delays_ms = [], []
        for number in range(count):
            opened.seek(number)
            frames.append(_image(opened.convert(mode).tobytes(), size, len(mode)))
            delays_ms.append(opened.info["duration"])
        strip = animation_strip(frames, delays_ms, 0) if count > 1 else frames[0]
        strip = _with_metadata(strip, opened.info)
        strip.set_type(pyvips.GValue.gint_type, "orientation", opened.getexif().get(_ORIENTATION, 1))
        return strip


# Video frames in an AVIF sequence ------------------------------------------------------------------------------------


def write_brightness(sequence: Path, target: Path, *, max_bytes: int, on_frame: Callable[[], None]) -> int:
    """Writes the brightness of the frames of an AVIF sequence, one byte per pixel, from 0 to 255.

    If that exceeds `max_bytes`, only every n-th frame is written; returns n. It is odd, because encoders distribute
    bits in patterns of powers of two. `on_frame` is called after each frame. Exact only if the sequence declares BT.601
    colors, the only ones Pillow converts. Raises CorruptMediaError.
    """
    from PIL.AvifImagePlugin import AvifImageFile

    with _as_corrupt_media("AVIF"), AvifImageFile(sequence) as opened, target.open("wb") as file:
        step: int = -(-opened.n_frames * Size(*opened.size).pixels // max_bytes) // 2 * 2 + 1
        for number in range(0, opened.n_frames, step):
            opened.seek(number)
            file.write(opened.convert("L").tobytes())
            on_frame()
        return step


#: Frames are averaged to squares of this side before their maximum is taken, so that single pixels do not count.
_AVERAGED_PX = 32


def max_brightness(sequence: Path, count: int | None, *, on_frame: Callable[[], None]) -> int:
    """The maximum brightness, from 0 to 255, of the first `count` or of all frames of an AVIF sequence.

    `on_frame` is called after each frame. Raises CorruptMediaError.
    """
    from PIL import Image
    from PIL.AvifImagePlugin import AvifImageFile

    maximum = 0
    with _as_corrupt_media("AVIF"), AvifImageFile(sequence) as opened:
        for number in range(opened.n_frames)[:count]:
            opened.seek(number)
            small = opened.convert("L").resize((_AVERAGED_PX, _AVERAGED_PX), Image.Resampling.BOX)
            maximum = max(maximum, *small.tobytes())
            on_frame()
    return maximum


def _image(pixels: bytes, size: Size, bands: int) -> pyvips.Image:
    image = pyvips.Image.new_from_memory(pixels, *size, bands, "uchar")
    return image.copy(interpretation="b-w" if bands < 3 else "srgb")


@contextmanager
def _as_corrupt_media(name: str) -> Iterator[None]:
    """Maps what Pillow raises on damaged files to CorruptMediaError."""
    try:
        yield
    except (OSError, ValueError, TypeError, SyntaxError, LookupError, EOFError, RuntimeError, struct.error) as error:
        raise CorruptMediaError(f"The image is damaged or truncated ({name}).") from error


@contextmanager
def _ignore_metadata_errors(name: str) -> Iterator[None]:
    """Suppresses what Pillow raises on damaged metadata."""
    with _ignore_warnings(), suppress(CorruptMediaError), _as_corrupt_media(name):
        yield


def _ignore_warnings() -> AbstractContextManager[object]:
    """Suppresses Pillow's warnings about damaged metadata."""
    return warnings.catch_warnings(action="ignore")
