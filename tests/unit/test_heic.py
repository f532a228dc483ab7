"""HEIC decoded in a child process: pixels, header, and how the end of that process is reported."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from darkroom.errors import CorruptMediaError, DarkroomError, WorkerDiedError
from darkroom.images import heic
from darkroom.media.geometry import Size
from tests.media.make_images import add_alpha, encode, encode_oriented, photograph
from tests.support.image_checks import mean_difference
from tests.support.leftovers import children


def decode_pixels(content: bytes) -> Image.Image:
    with heic.open_heic(content) as opened:
        size, pixels = opened.decode()
    return Image.frombytes(opened.mode, size, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pixels_are_unchanged(mode: str) -> None:
    image = add_alpha(photograph()).convert(mode)

    result = decode_pixels(encode(image, "HEIF", quality=95))

    assert result.mode == mode
    assert mean_difference(result.convert("RGB"), image.convert("RGB")) < 4


def test_10_bit_gray_becomes_8_bits() -> None:
    gray = photograph().convert("L")
    deep = gray.convert("I").point(lambda level: level * 257).convert("I;16")

    assert mean_difference(decode_pixels(encode(deep, "HEIF", quality=95)), gray) < 3


def test_rotated_image_is_decoded_upright_and_its_orientation_reset() -> None:
    with heic.open_heic(encode_oriented(photograph(), 6, "HEIF")) as opened:
        size, _ = opened.decode()

    assert size == Size(*photograph().size)
    exif = Image.Exif()
    exif.load(opened.metadata["exif"])
    assert exif[0x0112] == 1


def test_process_ends_if_only_the_header_is_read() -> None:
    with heic.open_heic(encode(photograph(), "HEIF")) as opened:
        assert opened.size == Size(*photograph().size)
        assert len(children()) == 1

    assert children() == []


def test_crash_of_libheif_is_reported_as_damage() -> None:
    content = encode_oriented(photograph(), 6, "HEIF")
    assert content.count(b"\0\0Exif\0") == 1

    with pytest.raises(CorruptMediaError, match="HEIC"):
        decode_pixels(content.replace(b"\0\0Exif\0", b"\0\0Ex\xfff\0"))
    assert children() == []


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import os; os.abort()", CorruptMediaError),
        ("import os; os.kill(os.getpid(), 9)", WorkerDiedError),
        ('print(\'{"size": [1, 1], "mode": "L", "bit_depth": 8, "metadata": {}}\')', CorruptMediaError),
    ],
)
def test_early_end_of_the_process_is_an_error(
    monkeypatch: pytest.MonkeyPatch, program: str, error: type[DarkroomError]
) -> None:
    monkeypatch.setattr("darkroom.media.subprocesses._program", lambda *_: program)

    with pytest.raises(error):
        decode_pixels(encode(photograph(), "HEIF"))
    assert children() == []


def test_process_ends_with_its_parent() -> None:
    program = (
        "import os\nfrom darkroom.media.subprocesses import spawn_python\n"
        "with spawn_python('darkroom.images.heic_process') as child:\n    print(child.pid, flush=True)\n    os._exit(0)"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    process = Path("/proc", run.stdout.decode().strip(), "stat")

    deadline = time.monotonic() + 5
    while process.exists() and process.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.monotonic() < deadline
