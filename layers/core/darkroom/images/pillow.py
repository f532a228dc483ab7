"""Pictures that libvips does not read, decoded by Pillow: BMP, HEIC, some TIFFs, and films in AV1, also as AVIF.

Pictures are decoded as a whole, so they have a limit of their own. Pillow is imported when one of them comes.
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

from darkroom.errors import CorruptMediaError, TooManyPixelsError
from darkroom.images.heic import Opened
from darkroom.images.heic import opened as heic_opened
from darkroom.images.vips import film
from darkroom.media.geometry import Size
from darkroom.media.task import Limits

if TYPE_CHECKING:
    from PIL.BmpImagePlugin import BmpImageFile

#: Most pixels, of all frames together, that are decoded as a whole. Each takes up to 12 bytes for a moment.
MAX_PIXELS = 80_000_000


def check_pixels(size: Size, frames: int, limit: int, subject: str) -> None:
    """Raises TooManyPixelsError with both numbers."""
    if size.pixels * frames <= limit:
        return
    shape = f"{size.width:,} x {size.height:,}" + (f" pixels in {frames:,} frames" if frames > 1 else "")
    raise TooManyPixelsError(
        f"{subject} has {shape}, {size.pixels * frames:,} pixels in all; at most {limit:,} are allowed."
    )


@dataclass(frozen=True)
class Header:
    """What a picture says before it is decoded. `mode` is Pillow's name of its kind of pixels; `size` is upright."""

    size: Size
    mode: str
    bit_depth: int
    profile: bytes = b""
    exif: bytes = b""


def bitmap_header(content: bytes, limits: Limits) -> Header:
    """That of a BMP. Raises TooManyPixelsError and CorruptMediaError."""
    with _blamed("BMP"), _bitmap(content, limits) as opened:
        # By its own name: in three modes of Pillow's a pixel has fewer than 8 bits.
        return Header(Size(*opened.size), opened.mode, 1 if opened.mode == "1" else 8)


def heic_header(content: bytes, limits: Limits) -> Header:
    """That of a HEIC. Raises TooManyPixelsError, CorruptMediaError and WorkerDiedError."""
    with _heic(content, limits) as opened:
        profile, exif = (opened.metadata.get(name, b"") for name in ("icc_profile", "exif"))
        return Header(opened.size, opened.mode, opened.bit_depth, profile, exif)


def _bitmap(content: bytes, limits: Limits) -> "BmpImageFile":
    from PIL.BmpImagePlugin import BmpImageFile

    opened = BmpImageFile(io.BytesIO(content))
    check_pixels(Size(*opened.size), 1, min(limits.pixels, MAX_PIXELS), "The picture")
    return opened


@contextmanager
def _heic(content: bytes, limits: Limits) -> Iterator[Opened]:
    with heic_opened(content) as opened:
        check_pixels(opened.size, 1, min(limits.pixels, MAX_PIXELS), "The picture")
        yield opened


def bitmap(content: bytes, limits: Limits) -> pyvips.Image:
    """A BMP. Raises TooManyPixelsError and CorruptMediaError."""
    with _blamed("BMP"), _bitmap(content, limits) as opened:
        mode = {"L": "L", "1": "L", "RGBA": "RGBA"}.get(opened.mode, "RGB")
        pixels = (opened if opened.mode == mode else opened.convert(mode)).tobytes()
        return _image(pixels, Size(*opened.size), len(mode))


def heic(content: bytes, limits: Limits) -> pyvips.Image:
    """A HEIC, upright: HEIF turns pictures by itself, and EXIF does not count. With its profile and metadata.

    Raises TooManyPixelsError, CorruptMediaError and WorkerDiedError.
    """
    with _heic(content, limits) as opened:
        size, pixels = opened.pixels()
        return _telling(_image(pixels, size, len(opened.mode)), opened.metadata)


def _telling(image: pyvips.Image, metadata: Mapping[Any, Any]) -> pyvips.Image:
    """The image with its profile, EXIF and XMP."""
    for field, name in (("icc_profile", "icc-profile-data"), ("exif", "exif-data"), ("xmp", "xmp-data")):
        if field in metadata:
            image.set_type(pyvips.GValue.blob_type, name, metadata[field])
    return image


_ORIENTATION = 0x0112

#: Tags of a TIFF that say how colours are stored, and what they say.
_COMPRESSION, _COLOURS, _SHARING = 0x0103, 0x0106, 0x0212
_JPEGS, _YCBCR, _UNSHARED = (6, 7), 6, (1, 1)


def tiff(content: bytes, limits: Limits) -> pyvips.Image | None:
    """A TIFF in Lab of 8 bits, which libvips refuses, or in plain YCbCr, which it takes for RGB; None for any other.

    It comes upright. Raises TooManyPixelsError and CorruptMediaError.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    misread = False
    with _unheeded("TIFF"), TiffImageFile(io.BytesIO(content)) as opened:
        tags = opened.tag_v2
        plain = tags.get(_COMPRESSION) not in _JPEGS and tags.get(_SHARING) == _UNSHARED
        misread = opened.mode == "LAB" or (plain and tags.get(_COLOURS) == _YCBCR)
    if not misread:
        return None
    with _unwarned(), _blamed("TIFF"), TiffImageFile(io.BytesIO(content)) as opened:
        check_pixels(Size(*opened.size), 1, min(limits.pixels, MAX_PIXELS), "The picture")
        opened.load()
        lab = opened.mode == "LAB"
        image = _image((opened if lab else opened.convert("RGB")).tobytes(), Size(*opened.size), 3)
        profile = opened.info.get("icc_profile")
    image = _lab(image) if lab else image
    image.set_type(pyvips.GValue.gint_type, "bits-per-sample", 8)
    if isinstance(profile, bytes):  # damage may make something else of it
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def _lab(image: pyvips.Image) -> pyvips.Image:
    """Lab as libvips has it, from one byte for the lightness and two with a sign for the colours."""
    lightness, colours = image.extract_band(0) * (100 / 255), image.extract_band(1, n=2).copy(format="char")
    return lightness.bandjoin(colours).copy(interpretation="lab")


#: What of a TIFF's tags is EXIF and not the file's own layout: description, camera, software, time, artist, copyright.
_TIFF_EXIF_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_TIFF_EXIF_FOLDERS = (0x8769, 0x8825)


def tiff_exif(content: bytes) -> bytes:
    """The EXIF of a TIFF, whose tags stand among the file's own, which libvips does not read; none if it is damaged."""
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    with _unheeded("TIFF"), TiffImageFile(io.BytesIO(content)) as opened:
        there, exif = opened.getexif(), Image.Exif()
        for tag in _TIFF_EXIF_TAGS:
            if tag in there:
                exif[tag] = there[tag]
        for folder in _TIFF_EXIF_FOLDERS:
            exif.get_ifd(folder).update(there.get_ifd(folder))
        return bytes(exif.tobytes())
    return b""


#: EXIF's folder about the taking of a picture, and what is told of it and of the camera. The position is never read.
_TAKEN_FOLDER = 0x8769
_MAKE, _MODEL, _LENS, _TAKEN_AT, _TAKEN_OFFSET = 0x010F, 0x0110, 0xA434, 0x9003, 0x9011


def exif_tags(exif: bytes) -> dict[str, str]:
    """When and with what a picture was taken: `creation_time` as EXIF writes it, `make`, `model`, `lens_model`.

    What is missing or damaged is left out.
    """
    from PIL import Image

    found = Image.Exif()
    with _unheeded("EXIF"):
        found.load(exif)
        taken = found.get_ifd(_TAKEN_FOLDER)
        time = f"{taken.get(_TAKEN_AT, '')}{taken.get(_TAKEN_OFFSET, '')}"
        told = {"creation_time": time, "make": found.get(_MAKE), "model": found.get(_MODEL)}
        told["lens_model"] = taken.get(_LENS)
        return {
            name: value.strip("\0 ") for name, value in told.items() if isinstance(value, str) and value.strip("\0 ")
        }
    return {}


# Animated AVIF -----------------------------------------------------------------------------------------------------


def is_avif_film(content: bytes) -> bool:
    """Whether an AVIF says of itself that it is an animation."""
    return content[8:12] == b"avis"


def avif_frames(content: bytes) -> int:
    """How many frames an animated AVIF has. Raises CorruptMediaError."""
    from PIL.AvifImagePlugin import AvifImageFile

    with _unwarned(), _blamed("AVIF"), AvifImageFile(io.BytesIO(content)) as opened:
        return int(opened.n_frames)


def avif_film(content: bytes, count: int, limits: Limits) -> pyvips.Image:
    """The first frames of an animated AVIF below each other, with their times. Pillow does not tell how often it plays.

    Raises TooManyPixelsError and CorruptMediaError.
    """
    from PIL.AvifImagePlugin import AvifImageFile

    with _unwarned(), _blamed("AVIF"), AvifImageFile(io.BytesIO(content)) as opened:
        size = Size(*opened.size)
        check_pixels(size, count, min(limits.pixels, MAX_PIXELS), "The picture")
        mode = "RGBA" if opened.mode == "RGBA" else "RGB"
        images, delays_ms = [], []
        for number in range(count):
            opened.seek(number)
            images.append(_image(opened.convert(mode).tobytes(), size, len(mode)))
            delays_ms.append(opened.info["duration"])
        strip = _telling(film(images, delays_ms, 0) if count > 1 else images[0], opened.info)
        strip.set_type(pyvips.GValue.gint_type, "orientation", opened.getexif().get(_ORIENTATION, 1))
        return strip


# Films --------------------------------------------------------------------------------------------------------------


def write_brightness(sequence: Path, target: Path, *, most_bytes: int, look: Callable[[], None]) -> int:
    """Writes the brightness of an AVIF sequence's pictures, a byte for each pixel, from 0 to 255.

    Where that would be more than `most_bytes`, only of every so many; returns of which. That is an odd number, as
    encoders spend their bits in a rhythm of powers of two. `look` is called after each picture.
    Exact where the colours are said to be those of BT.601, as Pillow has no other. Raises CorruptMediaError.
    """
    from PIL.AvifImagePlugin import AvifImageFile

    with _blamed("AVIF"), AvifImageFile(sequence) as opened, target.open("wb") as file:
        step: int = -(-opened.n_frames * Size(*opened.size).pixels // most_bytes) // 2 * 2 + 1
        for number in range(0, opened.n_frames, step):
            opened.seek(number)
            file.write(opened.convert("L").tobytes())
            look()
        return step


#: Side, in pixels, of the squares to which pictures are shrunk before their brightest spot is sought.
_SHRUNK_PX = 32


def brightest(sequence: Path, count: int | None, *, look: Callable[[], None]) -> int:
    """The brightest spot, from 0 to 255, in the first or all pictures of an AVIF sequence; no single pixel is one.

    `look` is called after each picture. Raises CorruptMediaError.
    """
    from PIL import Image
    from PIL.AvifImagePlugin import AvifImageFile

    found = 0
    with _blamed("AVIF"), AvifImageFile(sequence) as opened:
        for number in range(opened.n_frames)[:count]:
            opened.seek(number)
            small = opened.convert("L").resize((_SHRUNK_PX, _SHRUNK_PX), Image.Resampling.BOX)
            found = max(found, *small.tobytes())
            look()
    return found


def _image(pixels: bytes, size: Size, bands: int) -> pyvips.Image:
    image = pyvips.Image.new_from_memory(pixels, *size, bands, "uchar")
    return image.copy(interpretation="b-w" if bands < 3 else "srgb")


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Turns what Pillow raises on damaged files into an error of ours."""
    try:
        yield
    except (OSError, ValueError, TypeError, SyntaxError, LookupError, EOFError, RuntimeError, struct.error) as error:
        raise CorruptMediaError(f"The picture is damaged or cut short ({name}).") from error


@contextmanager
def _unheeded(name: str) -> Iterator[None]:
    """Passes over what Pillow raises on damaged metadata."""
    with _unwarned(), suppress(CorruptMediaError), _blamed(name):
        yield


def _unwarned() -> AbstractContextManager[object]:
    """Drops what Pillow warns of while it passes over damaged metadata."""
    return warnings.catch_warnings(action="ignore")
