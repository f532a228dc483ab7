"""Chunks of PNG files."""

import io

from PIL import Image

from darkroom.images.png import PNG_GRAY, png_header, read_png_chunks, write_png
from tests.media.make_images import encode, photograph


def test_pillow_reads_a_written_file() -> None:
    gray = Image.new("L", (2, 1))
    gray.putdata([0, 255])
    _, *others = read_png_chunks(encode(gray, "PNG"))
    content = write_png([png_header(2, 1, bit_depth=8, color_type=PNG_GRAY), *(c for c in others if c[0] != b"IEND")])

    assert Image.open(io.BytesIO(content)).tobytes() == b"\x00\xff"


def test_written_chunks_are_read_back() -> None:
    content = encode(photograph(), "PNG")

    assert write_png(list(read_png_chunks(content))[:-1]) == content


def test_chunks_of_a_truncated_file_are_read_up_to_its_end() -> None:
    content = encode(photograph(), "PNG")

    for length in range(200):
        assert len(list(read_png_chunks(content[:length]))) <= 2
