"""Images derived from the photographs in this folder with Pillow: one of each kind that operations must handle.

Run as a program it writes them all into a folder: `PYTHONPATH=layers/core python tests/media/make_images.py <folder>`.
"""

import io
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

import pillow_heif
import pyvips
from PIL import Image, ImageCms
from PIL.Image import Transpose

from darkroom.images.png import PNG_GRAY, PNG_RGB, png_header, write_png

pillow_heif.register_heif_opener()

MEDIA = Path(__file__).parent
PHOTOGRAPHS = ("coffee.png", "chelsea.png", "rocket.jpg")

#: Transforms an upright image into the stored one, by EXIF orientation.
_STORED: dict[int, Transpose] = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def photograph(name: str = "coffee.png") -> Image.Image:
    """One of the photographs, in RGB. coffee.png is 600x400, chelsea.png 451x300, rocket.jpg 640x427."""
    return _photograph(name).copy()


@cache
def _photograph(name: str) -> Image.Image:
    with Image.open(MEDIA / name) as image:
        return image.convert("RGB")


def large_photo(width_px: int = 4000, height_px: int = 3000, *, seed: int = 7) -> Image.Image:
    """A large image like one of a camera: the photographs side by side, enlarged, with sensor noise."""
    columns, rows = 2, 2
    tile_px = (-(-width_px // columns), -(-height_px // rows))
    canvas = Image.new("RGB", (width_px, height_px))
    for place in range(columns * rows):
        tile = photograph(PHOTOGRAPHS[place % len(PHOTOGRAPHS)]).resize(tile_px, Image.Resampling.LANCZOS)
        canvas.paste(tile, (place % columns * tile_px[0], place // columns * tile_px[1]))
    noise = Image.frombytes("RGB", canvas.size, Random(seed).randbytes(width_px * height_px * 3))
    return Image.blend(canvas, noise, 0.055)


def encode(image: Image.Image, fmt: str, **options: object) -> bytes:
    """Encodes `image` in a format that Pillow writes, optimized for speed rather than size."""
    quick = {"PNG": {"compress_level": 1}, "AVIF": {"speed": 9}}.get(fmt, {})
    buffer = io.BytesIO()
    image.save(buffer, fmt, **{**quick, **options})
    return buffer.getvalue()


def camera_jpeg(width_px: int = 4000, height_px: int = 3000, *, orientation: int = 6, seed: int = 7) -> bytes:
    """A photo as phones store it: JPEG of quality 90, 4:2:0, `width_px` x `height_px` before rotation."""
    image = large_photo(width_px, height_px, seed=seed)
    return encode(image, "JPEG", quality=90, subsampling="4:2:0", exif=_exif(orientation))


def encode_oriented(image: Image.Image, orientation: int, fmt: str, **options: object) -> bytes:
    """Encodes a file that shows `image` when its EXIF orientation (1-8) is applied."""
    stored = image.transpose(_STORED[orientation]) if orientation in _STORED else image
    # As bytes: only then pillow-heif writes the container's own orientation, which is the one that counts in HEIC.
    return encode(stored, fmt, exif=_exif(orientation).tobytes(), **options)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Darkroom"
    exif.get_ifd(0x8825)[1] = "N"  # GPS: must not be in a result
    return exif


def icc_profile(name: str) -> bytes:
    """An ICC profile of libvips: `p3`, `cmyk` or `srgb`."""
    return bytes(pyvips.Operation.call("profile_load", name))


def gray_profile() -> bytes:
    """A profile for linear gray: half of the light is half of the value. Version 2, ICC.1:2001-04."""
    white = struct.pack(">III", 63190, 65536, 54061)
    bodies = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"Gray" + bytes(80),
        b"cprt": b"text" + bytes(4) + b"none" + bytes(4),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": b"curv" + bytes(8),
    }
    table, body = struct.pack(">I", len(bodies)), b""
    for name, content in bodies.items():
        table += name + struct.pack(">II", 132 + 12 * len(bodies) + len(body), len(content))
        body += content
    head = b"lcms" + struct.pack(">I", 0x02400000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return struct.pack(">I", 132 + 12 * len(bodies) + len(body)) + head + bytes(124 - len(head)) + table + body


def convert_profile(image: Image.Image, name: str, mode: str) -> Image.Image:
    """`image` (sRGB) in the color space of a libvips profile, converted by LittleCMS through Pillow."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile(name)))
    converted = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), target, outputMode=mode)
    assert converted is not None
    return converted


def convert_to_lab(image: Image.Image) -> Image.Image:
    """`image` (sRGB) in 8-bit Lab."""
    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert converted is not None
    return converted


def encode_16_bit_png(image: Image.Image) -> bytes:
    """Encodes `image` (RGB) as a PNG with 16 bits per channel, which Pillow cannot do."""
    width, height = image.size
    pixels = image.tobytes()
    rows = (pixels[at : at + width * 3] for at in range(0, len(pixels), width * 3))
    lines = b"".join(b"\0" + bytes(half for byte in row for half in (byte, byte)) for row in rows)
    return write_png([png_header(width, height, bit_depth=16, color_type=PNG_RGB), (b"IDAT", zlib.compress(lines))])


def decompression_bomb(side_px: int = 40_000) -> bytes:
    """A valid PNG of one color: about 200 KB with 1.6 gigapixels at 40,000 pixels per side."""
    line = bytes(1 + -(-side_px // 8))
    packer = zlib.compressobj(9)
    compressed = b"".join(packer.compress(line) for _ in range(side_px)) + packer.flush()
    return write_png([png_header(side_px, side_px, bit_depth=1, color_type=PNG_GRAY), (b"IDAT", compressed)])


def add_alpha(image: Image.Image) -> Image.Image:
    """`image` with alpha: the left half opaque, then fading to transparent at the right edge."""
    width, height = image.size
    row = bytes(255 if x < width // 2 else 255 * (width - 1 - x) // (width - width // 2) for x in range(width))
    result = image.convert("RGBA")
    result.putalpha(Image.frombytes("L", (width, height), row * height))
    return result


def animation_frames(size: tuple[int, int] = (120, 80), count: int = 4) -> list[Image.Image]:
    """Frames of an animation: a white square moves down the center of a photograph."""
    background = photograph().resize(size)
    frames = []
    for number in range(count):
        frame = background.copy()
        frame.paste((255, 255, 255), (size[0] // 2 - 10, number * 15, size[0] // 2 + 10, number * 15 + 20))
        frames.append(frame)
    return frames


def encode_animation(fmt: str, images: Sequence[Image.Image], *, frame_ms: int = 80, plays: int = 4) -> bytes:
    """Encodes an animated GIF, PNG, WebP or AVIF that plays `plays` times."""
    # GIF counts repetitions, the others count plays.
    options: dict[str, object] = {"loop": plays - 1} if fmt == "GIF" else {"loop": plays}
    options |= {"lossless": True} if fmt == "WEBP" else {}
    return encode(images[0], fmt, save_all=True, append_images=list(images[1:]), duration=frame_ms, **options)


def truncate(content: bytes, share: float) -> bytes:
    """The first `share` (0 to 1) of a file."""
    return content[: int(len(content) * share)]


def all_samples() -> Iterator[tuple[str, bytes]]:
    """Name and content of one image of each kind."""
    image = photograph()
    yield "photo-12mp.jpg", camera_jpeg()
    for orientation in range(1, 9):
        yield f"orientation-{orientation}.jpg", encode_oriented(image, orientation, "JPEG", quality=90)
    yield "cmyk.jpg", encode(convert_profile(image, "cmyk", "CMYK"), "JPEG", icc_profile=icc_profile("cmyk"))
    yield "display-p3.jpg", encode(convert_profile(image, "p3", "RGB"), "JPEG", icc_profile=icc_profile("p3"))
    yield "sixteen-bit.png", encode_16_bit_png(image)
    yield "palette.png", encode(image.quantize(64), "PNG")
    yield "gray.jpg", encode(image.convert("L"), "JPEG")
    yield "alpha.png", encode(add_alpha(image), "PNG")
    yield "alpha.webp", encode(add_alpha(image), "WEBP")
    yield "photo.tiff", encode(image, "TIFF", compression="tiff_lzw")
    yield "photo.bmp", encode(image, "BMP")
    yield "photo.avif", encode(image, "AVIF")
    yield "photo.heic", encode(image, "HEIF")
    yield "animation.gif", encode_animation("GIF", animation_frames())
    yield "animation.webp", encode_animation("WEBP", animation_frames())
    yield "animation.png", encode_animation("PNG", animation_frames())
    yield "truncated.jpg", truncate(encode(image, "JPEG"), 0.5)
    yield "truncated.png", truncate(encode(image, "PNG"), 0.5)
    yield "bomb.png", decompression_bomb()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in all_samples():
        (folder / name).write_bytes(content)
