"""Reads and writes the chunks of PNG files: https://www.w3.org/TR/png-3/#5DataRep. Callers compress the pixels."""

import struct
import zlib
from collections.abc import Iterable, Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Color types of a PNG.
PNG_GRAY, PNG_RGB, PNG_PALETTE, PNG_RGBA = 0, 2, 3, 6

PngChunk = tuple[bytes, bytes]


def read_png_chunks(content: bytes) -> Iterator[PngChunk]:
    """Type and body of each chunk; stops where the file ends. Checksums are not verified."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def write_png(chunks: Iterable[PngChunk]) -> bytes:
    """A file of these chunks, closed by IEND."""
    return b"".join([PNG_SIGNATURE, *(png_chunk(kind, body) for kind, body in chunks), png_chunk(b"IEND", b"")])


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, *, bit_depth: int, color_type: int) -> PngChunk:
    """The IHDR chunk of an image that is not interlaced."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
