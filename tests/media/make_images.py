"""Pictures derived from the photographs in this folder, made with Pillow: every kind that operations must get right.

Run as a program it writes them all into a folder: `python tests/media/make_images.py <folder>`.
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

pillow_heif.register_heif_opener()

MEDIA = Path(__file__).parent
PHOTOGRAPHS = ("coffee.png", "chelsea.png", "rocket.jpg")

#: What turns a picture as shown into the one as stored, by EXIF orientation.
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
    """A large picture as a camera would take it: the photographs side by side, enlarged, with sensor noise."""
    across, down = 2, 2
    tile_px = (-(-width_px // across), -(-height_px // down))
    canvas = Image.new("RGB", (width_px, height_px))
    for place in range(across * down):
        tile = photograph(PHOTOGRAPHS[place % len(PHOTOGRAPHS)]).resize(tile_px, Image.Resampling.LANCZOS)
        canvas.paste(tile, (place % across * tile_px[0], place // across * tile_px[1]))
    noise = Image.frombytes("RGB", canvas.size, Random(seed).randbytes(width_px * height_px * 3))
    return Image.blend(canvas, noise, 0.055)


def encode(image: Image.Image, fmt: str, **options: object) -> bytes:
    """`image` in a format that Pillow writes, quickly rather than small."""
    quick = {"PNG": {"compress_level": 1}, "AVIF": {"speed": 9}}.get(fmt, {})
    buffer = io.BytesIO()
    image.save(buffer, fmt, **{**quick, **options})
    return buffer.getvalue()


def camera_jpeg(width_px: int = 4000, height_px: int = 3000, *, orientation: int = 6, seed: int = 7) -> bytes:
    """A photo as a phone stores it: JPEG of quality 90, 4:2:0, `width_px` x `height_px` as stored, turned by EXIF."""
    image = large_photo(width_px, height_px, seed=seed)
    return encode(image, "JPEG", quality=90, subsampling="4:2:0", exif=_exif(orientation))


def encode_oriented(image: Image.Image, orientation: int, fmt: str, **options: object) -> bytes:
    """A file that shows `image` when its EXIF orientation (1-8) is obeyed."""
    stored = image.transpose(_STORED[orientation]) if orientation in _STORED else image
    # As bytes: only then pillow-heif turns the picture by the container's own means, which is what counts in HEIC.
    return encode(stored, fmt, exif=_exif(orientation).tobytes(), **options)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Darkroom"
    exif.get_ifd(0x8825)[1] = "N"  # GPS: must never reach a result
    return exif


def icc_profile(name: str) -> bytes:
    """An ICC profile that libvips ships: `p3`, `cmyk`, `srgb`."""
    return bytes(pyvips.Operation.call("profile_load", name))


def gray_profile() -> bytes:
    """A profile for greys that are linear: half of the light is half of the value. Version 2, ICC.1:2001-04."""
    white = struct.pack(">III", 63190, 65536, 54061)
    bodies = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"Grey" + bytes(80),
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
    """`image` (sRGB) in the colour space of a shipped profile, by LittleCMS through Pillow."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile(name)))
    made = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), target, outputMode=mode)
    assert made is not None
    return made


def convert_to_lab(image: Image.Image) -> Image.Image:
    """`image` (sRGB) in Lab of 8 bits."""
    made = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert made is not None
    return made


def encode_16_bit_png(image: Image.Image) -> bytes:
    """`image` (RGB) as a PNG with 16 bits a channel, which Pillow cannot write."""
    width, height = image.size
    pixels = image.tobytes()
    rows = (pixels[at : at + width * 3] for at in range(0, len(pixels), width * 3))
    lines = b"".join(b"\0" + bytes(half for byte in row for half in (byte, byte)) for row in rows)
    return _png(width, height, depth=16, colour_type=2, compressed=zlib.compress(lines))


def decompression_bomb(side_px: int = 40_000) -> bytes:
    """A whole, valid PNG of one colour: some 200 KB on disk, 1.6 gigapixels at 40,000 pixels a side."""
    line = bytes(1 + -(-side_px // 8))
    packer = zlib.compressobj(9)
    compressed = b"".join(packer.compress(line) for _ in range(side_px)) + packer.flush()
    return _png(side_px, side_px, depth=1, colour_type=0, compressed=compressed)


def _png(width: int, height: int, *, depth: int, colour_type: int, compressed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", compressed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def add_alpha(image: Image.Image) -> Image.Image:
    """`image` with alpha: the left half opaque, then fading to nothing at the right edge."""
    width, height = image.size
    row = bytes(255 if x < width // 2 else 255 * (width - 1 - x) // (width - width // 2) for x in range(width))
    result = image.convert("RGBA")
    result.putalpha(Image.frombytes("L", (width, height), row * height))
    return result


def animation_frames(size: tuple[int, int] = (120, 80), count: int = 4) -> list[Image.Image]:
    """Frames of a film: a white square walks down the middle of a photograph."""
    ground = photograph().resize(size)
    made = []
    for number in range(count):
        frame = ground.copy()
        frame.paste((255, 255, 255), (size[0] // 2 - 10, number * 15, size[0] // 2 + 10, number * 15 + 20))
        made.append(frame)
    return made


def encode_animation(fmt: str, images: Sequence[Image.Image], *, frame_ms: int = 80, plays: int = 4) -> bytes:
    """An animated GIF, PNG or WebP that is shown `plays` times."""
    # GIF counts repetitions, the others count plays.
    options: dict[str, object] = {"loop": plays - 1} if fmt == "GIF" else {"loop": plays}
    options |= {"lossless": True} if fmt == "WEBP" else {}
    return encode(images[0], fmt, save_all=True, append_images=list(images[1:]), duration=frame_ms, **options)


def truncate(content: bytes, part: float) -> bytes:
    """The first `part` (0 to 1) of a file."""
    return content[: int(len(content) * part)]


def all_samples() -> Iterator[tuple[str, bytes]]:
    """Name and content of one picture of each kind."""
    image = photograph()
    yield "photo-12mp.jpg", camera_jpeg()
    for orientation in range(1, 9):
        yield f"orientation-{orientation}.jpg", encode_oriented(image, orientation, "JPEG", quality=90)
    yield "cmyk.jpg", encode(convert_profile(image, "cmyk", "CMYK"), "JPEG", icc_profile=icc_profile("cmyk"))
    yield "display-p3.jpg", encode(convert_profile(image, "p3", "RGB"), "JPEG", icc_profile=icc_profile("p3"))
    yield "sixteen-bit.png", encode_16_bit_png(image)
    yield "palette.png", encode(image.quantize(64), "PNG")
    yield "grey.jpg", encode(image.convert("L"), "JPEG")
    yield "alpha.png", encode(add_alpha(image), "PNG")
    yield "alpha.webp", encode(add_alpha(image), "WEBP")
    yield "photo.tiff", encode(image, "TIFF", compression="tiff_lzw")
    yield "photo.bmp", encode(image, "BMP")
    yield "photo.avif", encode(image, "AVIF")
    yield "photo.heic", encode(image, "HEIF")
    yield "film.gif", encode_animation("GIF", animation_frames())
    yield "film.webp", encode_animation("WEBP", animation_frames())
    yield "film.png", encode_animation("PNG", animation_frames())
    yield "truncated.jpg", truncate(encode(image, "JPEG"), 0.5)
    yield "truncated.png", truncate(encode(image, "PNG"), 0.5)
    yield "bomb.png", decompression_bomb()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in all_samples():
        (folder / name).write_bytes(content)
