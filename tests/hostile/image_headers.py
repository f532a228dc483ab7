"""Images whose header is the attack: decompression bombs, and sizes, counts and tables that are false."""

import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise

import pyvips

from darkroom.images.png import PNG_RGB, png_chunk, png_header, read_png_chunks, write_png
from tests.hostile.image_samples import HostileImage, png_with_chunk, valid_images
from tests.media.make_images import decompression_bomb, encode, photograph


def _zeros(megabytes: int) -> bytes:
    """Zeros, compressed to a thousandth of their size."""
    packer = zlib.compressobj(9)
    part = bytes(1_000_000)
    return b"".join(packer.compress(part) for _ in range(megabytes)) + packer.flush()


def _gif(width: int, height: int, frames: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frames + b";"


_GIF_PIXEL = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"


def _tiff(width: int, height: int, *, strip: bytes, compression: int = 1, rows: int | None = None) -> bytes:
    """A gray TIFF that declares this size, with one strip."""
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1, 1),
        (278, 4, 1, rows or height),
        (279, 4, 1, len(strip)),
    ]
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + struct.pack("<I", tag[3]) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + strip


def _webp_header(width: int, height: int) -> bytes:
    """An extended header that declares this size, and the pixels of a small image."""
    body = bytes([0x10, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    inner = valid_images()["plain.webp"][12:]
    chunks = b"VP8X" + struct.pack("<I", 10) + body + inner
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def bombs() -> Iterator[HostileImage]:
    """Small files with many pixels, frames or much metadata."""
    yield HostileImage("bomb", "png-40000.png", decompression_bomb(40_000))
    yield HostileImage("bomb", "png-15000.png", decompression_bomb(15_000), may_pass=True)
    deflated = zlib.compress(bytes(16_000 * 1_000), 9)
    yield HostileImage("bomb", "rotated-at-the-limit.jpg", _rotated(15_810), may_pass=True)
    yield HostileImage("bomb", "rotated-beyond-the-limit.jpg", _rotated(15_812))
    yield HostileImage("bomb", "tiff-60000.tiff", _tiff(60_000, 60_000, strip=deflated, compression=8))
    yield HostileImage("bomb", "tiff-strip.tiff", _tiff(10, 10, strip=_zeros(300), compression=8), may_pass=True)
    yield HostileImage("bomb", "tiff-rows.tiff", _tiff(16_000, 15_000, strip=deflated, compression=8, rows=2**31 - 1))
    yield HostileImage("bomb", "gif-65535.gif", _gif(65_535, 65_535, _GIF_PIXEL), may_pass=True)
    yield HostileImage("bomb", "gif-15000.gif", _gif(15_000, 15_000, _GIF_PIXEL), may_pass=True)
    yield HostileImage("bomb", "gif-100000-frames.gif", _gif(1, 1, _GIF_PIXEL * 100_000))
    yield HostileImage("bomb", "gif-1000-large-frames.gif", _gif(5_000, 5_000, _GIF_PIXEL * 1_000), may_pass=True)
    yield HostileImage("bomb", "webp-16384.webp", _webp_header(16_384, 16_384))
    yield HostileImage("bomb", "webp-16777216.webp", _webp_header(1 << 24, 1 << 24))
    yield HostileImage("bomb", "bmp-runs.bmp", _bmp(30_000, 30_000))
    yield HostileImage("bomb", "bmp-runs-small.bmp", _bmp(9_000, 9_000), may_pass=True)
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        header = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\x01\0\0\0", b"iCCP": b"profile\0\0"}[kind]
        yield HostileImage(
            "bomb", f"png-{kind.decode()}.png", png_with_chunk(kind, header + _zeros(400)), may_pass=True
        )
    text = b"Comment\0\0" + _zeros(5)
    more = b"".join(png_chunk(b"zTXt", text) for _ in range(199))
    content = png_with_chunk(b"zTXt", text).replace(png_chunk(b"zTXt", text), png_chunk(b"zTXt", text) + more)
    yield HostileImage("bomb", "png-many-zTXt.png", content, may_pass=True)
    xmp = b"XML:com.adobe.xmp\0\x01\0\0\0" + _zeros(400)
    yield HostileImage("bomb", "png-xmp.png", png_with_chunk(b"iTXt", xmp), may_pass=True)
    entities = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghij"))
    laughs = f'<!DOCTYPE x [<!ENTITY a "ha">{entities}]><x>&j;</x>'.encode()
    yield HostileImage("bomb", "xmp-entities.jpg", encode(photograph(), "JPEG", xmp=laughs), may_pass=True)
    nested = b"<x>" * 8_000 + b"</x>" * 8_000
    yield HostileImage("bomb", "xmp-nested.jpg", encode(photograph(), "JPEG", xmp=nested), may_pass=True)
    elements = b"<x>" + b"<a/>" * 1_000_000 + b"</x>"
    yield HostileImage("bomb", "xmp-elements.webp", encode(photograph(), "WEBP", xmp=elements), may_pass=True)
    yield HostileImage("bomb", "png-exif.png", png_with_chunk(b"eXIf", bytes(20_000_000)), may_pass=True)


def _rotated(side_px: int) -> bytes:
    """A JPEG of one color that has to be rotated, which takes all its pixels into memory."""
    image = pyvips.Image.black(side_px, side_px, bands=3).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    return bytes(image.jpegsave_buffer(Q=50))


def _bmp(width: int, height: int) -> bytes:
    """A run-length encoded BMP that declares this size and has no pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    at = 14 + len(info) + 1024
    return b"BM" + struct.pack("<IHHI", at + 2, 0, 0, at) + info + bytes(1024) + b"\0\x01"


# False headers -------------------------------------------------------------------------------------------------------


def _overwrite(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def _png_sized(width: int, height: int) -> bytes:
    _, *others = read_png_chunks(valid_images()["plain.png"])
    return write_png([png_header(width, height, bit_depth=8, color_type=PNG_RGB), *others[:-1]])


def false_headers() -> Iterator[HostileImage]:
    """Headers that contradict the content or themselves."""
    jpeg, gif, bmp = valid_images()["plain.jpg"], valid_images()["plain.gif"], valid_images()["plain.bmp"]
    frame = jpeg.index(b"\xff\xc0") + 5
    for size in ((0, 0), (0, 64), (65_535, 65_535), (65_500, 1), (1, 65_535), (15_000, 15_000)):
        content = _overwrite(jpeg, frame, struct.pack(">HH", *size[::-1]))
        # libjpeg fills missing data with gray and only warns, as browsers do.
        yield HostileImage(
            "false header", f"jpeg-{size}.jpg", content, may_pass=size in ((65_500, 1), (15_000, 15_000))
        )
    for size in ((0, 0), (0, 1), (65_535, 65_535), (2**31 - 1, 1), (2**32 - 1, 2**32 - 1), (96, 2_000_000)):
        yield HostileImage("false header", f"png-{size}.png", _png_sized(*size))
    for size in ((0, 0), (0, 64), (65_535, 65_535)):
        changed = _overwrite(gif, 6, struct.pack("<HH", *size))
        yield HostileImage("false header", f"gif-{size}.gif", changed, may_pass=True)
    for size in ((0, 0), (-1, -1), (2**31 - 1, 2**31 - 1), (-(2**31), 1), (65_535, 65_535)):
        yield HostileImage("false header", f"bmp-{size}.bmp", _overwrite(bmp, 18, struct.pack("<ii", *size)))
    for size in ((0, 0), (65_535, 65_535), (2**32 - 1, 2**32 - 1), (2**31, 1)):
        yield HostileImage("false header", f"tiff-{size}.tiff", _tiff(*size, strip=b"\0" * 100))
    for name in ("plain.avif", "plain.heic"):
        at = valid_images()[name].index(b"ispe") + 8
        for size in ((0, 0), (65_535, 65_535), (2**32 - 1, 2**32 - 1), (1, 1)):
            changed = valid_images()[name].replace(valid_images()[name][at : at + 8], struct.pack(">II", *size))
            yield HostileImage("false header", f"{size}-{name}", changed)
    yield HostileImage("false header", "jpeg-huffman.jpg", _broken_huffman(jpeg))
    yield HostileImage(
        "false header", "jpeg-huffman-full.jpg", _overwrite(jpeg, jpeg.index(b"\xff\xc4") + 5, b"\xff" * 16)
    )
    yield HostileImage(
        "false header", "jpeg-quantisation.jpg", _overwrite(jpeg, jpeg.index(b"\xff\xdb") + 5, bytes(64)), may_pass=True
    )
    yield HostileImage("false header", "jpeg-components.jpg", _overwrite(jpeg, frame + 4, b"\xff"))
    yield HostileImage("false header", "jpeg-sampling.jpg", _overwrite(jpeg, frame + 6, b"\xff"))
    endless = jpeg[:2] + b"\xff\xe0\0\x10JFIF\0" + b"\xff\xfe\xff\xff" * 1000 + jpeg[2:]
    yield HostileImage("false header", "jpeg-comments.jpg", endless, may_pass=True)
    yield HostileImage("false header", "tiff-loop.tiff", b"II*\0" + struct.pack("<IHI", 8, 0, 8))
    loop = bytearray(_tiff(8, 8, strip=bytes(64)))
    loop[8 + 2 + 9 * 12 : 8 + 2 + 9 * 12 + 4] = struct.pack("<I", 8)
    yield HostileImage("false header", "tiff-directory-loop.tiff", bytes(loop), may_pass=True)
    yield HostileImage("false header", "tiff-tags.tiff", b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(1000))
    yield HostileImage("false header", "exif-loop.jpg", _exif_loop(jpeg), may_pass=True)
    frames = struct.pack(">II", 2**31 - 1, 0)
    yield HostileImage("false header", "png-frames.png", png_with_chunk(b"acTL", frames))
    yield HostileImage(
        "false header",
        "webp-size.webp",
        _overwrite(valid_images()["plain.webp"], 4, b"\xff\xff\xff\xff"),
        may_pass=True,
    )
    yield HostileImage("false header", "avif-box.avif", _overwrite(valid_images()["plain.avif"], 0, b"\0\0\0\x01"))
    yield HostileImage(
        "false header",
        "avif-huge-box.avif",
        _overwrite(valid_images()["plain.avif"], valid_images()["plain.avif"].index(b"meta") - 4, b"\x7f\xff\xff\xff"),
    )
    for name, content in valid_images().items():
        kind = name.rpartition(".")[2]
        for other in ("jpg", "png", "gif"):
            if other != kind:
                yield HostileImage("false header", f"{name}.{other}", content, may_pass=True)


def _broken_huffman(jpeg: bytes) -> bytes:
    """The first table declares more codes of one bit than possible."""
    return _overwrite(jpeg, jpeg.index(b"\xff\xc4") + 5, b"\x09" + bytes(15))


def _exif_loop(jpeg: bytes) -> bytes:
    """EXIF with a directory that refers to itself."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    body = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
