"""The files that the hostile ones are derived from."""

from functools import cache
from typing import NamedTuple

from PIL import Image

from darkroom.images.png import PNG_SIGNATURE, png_chunk, read_png_chunks
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    convert_profile,
    convert_to_lab,
    encode,
    encode_16_bit_png,
    encode_animation,
    encode_oriented,
    icc_profile,
    photograph,
)


class HostileImage(NamedTuple):
    """One file and the kind of attack. `may_pass` is whether operations may succeed with it."""

    kind: str
    name: str
    content: bytes
    may_pass: bool = False


@cache
def valid_images() -> dict[str, bytes]:
    """One small valid file for each way to store an image."""
    image = photograph().resize((96, 64))
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Maker", 0x8298: "(c)"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    cmyk = encode(convert_profile(image, "cmyk", "CMYK"), "JPEG", icc_profile=icc_profile("cmyk"))
    return {
        "plain.jpg": encode(image, "JPEG"),
        "progressive.jpg": encode(image, "JPEG", progressive=True),
        "metadata.jpg": encode(image, "JPEG", exif=exif.tobytes(), icc_profile=icc_profile("p3"), xmp=b"<x:xmpmeta/>"),
        "cmyk.jpg": cmyk,
        "plain.png": encode(image, "PNG"),
        "palette.png": encode(image.quantize(16), "PNG", transparency=0),
        "16-bit.png": encode_16_bit_png(image),
        "alpha.png": encode(add_alpha(image), "PNG"),
        "animation.png": encode_animation("PNG", animation_frames((48, 32))),
        "plain.webp": encode(image, "WEBP"),
        "lossless.webp": encode(add_alpha(image), "WEBP", lossless=True),
        "animation.webp": encode_animation("WEBP", animation_frames((48, 32))),
        "plain.gif": encode(image, "GIF"),
        "animation.gif": encode_animation("GIF", animation_frames((48, 32))),
        "plain.tiff": encode(image, "TIFF", exif=exif.tobytes()),
        "lzw.tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tiff": encode(image, "TIFF", compression="jpeg"),
        "deflated.tiff": encode(add_alpha(image), "TIFF", compression="tiff_adobe_deflate"),
        "lab.tiff": encode(convert_to_lab(image), "TIFF", compression="tiff_lzw"),
        "plain.bmp": encode(image, "BMP"),
        "palette.bmp": encode(image.quantize(16), "BMP"),
        "plain.avif": encode(add_alpha(image), "AVIF"),
        "rotated.avif": encode_oriented(image, 6, "AVIF"),
        "animation.avif": encode_animation("AVIF", animation_frames((48, 32))),
        "plain.heic": encode(image, "HEIF"),
        "rotated.heic": encode_oriented(add_alpha(image), 5, "HEIF"),
    }


def png_with_chunk(kind: bytes, body: bytes) -> bytes:
    """A valid PNG with one more chunk after its header."""
    content = valid_images()["plain.png"]
    header = next(read_png_chunks(content))
    start = len(PNG_SIGNATURE) + len(png_chunk(*header))
    return content[:start] + png_chunk(kind, body) + content[start:]
