"""HEIC in a process of its own: what it is told, and what the end of that process means."""

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
from tests.image_checks import mean_difference
from tests.media.make_images import add_alpha, encode, encode_oriented, photograph


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def decoded(content: bytes) -> Image.Image:
    with heic.open_heic(content) as opened:
        size, pixels = opened.decode()
    return Image.frombytes(opened.mode, size, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_pixels_come_as_they_are(mode: str) -> None:
    picture = add_alpha(photograph()).convert(mode)

    result = decoded(encode(picture, "HEIF", quality=95))

    assert result.mode == mode
    assert mean_difference(result.convert("RGB"), picture.convert("RGB")) < 4


def test_grey_of_ten_bits_becomes_eight() -> None:
    grey = photograph().convert("L")
    deep = grey.convert("I").point(lambda level: level * 257).convert("I;16")

    assert mean_difference(decoded(encode(deep, "HEIF", quality=95)), grey) < 3


def test_a_turned_picture_comes_upright_and_says_so() -> None:
    with heic.open_heic(encode_oriented(photograph(), 6, "HEIF")) as opened:
        size, _ = opened.decode()

    assert size == Size(*photograph().size)
    exif = Image.Exif()
    exif.load(opened.metadata["exif"])
    assert exif[0x0112] == 1


def test_who_wants_the_header_alone_leaves_no_process() -> None:
    with heic.open_heic(encode(photograph(), "HEIF")) as opened:
        assert opened.size == Size(*photograph().size)
        assert len(children()) == 1

    assert children() == []


def test_what_makes_libheif_crash_costs_the_picture_and_not_this_process() -> None:
    content = encode_oriented(photograph(), 6, "HEIF")
    assert content.count(b"\0\0Exif\0") == 1

    with pytest.raises(CorruptMediaError, match="HEIC"):
        decoded(content.replace(b"\0\0Exif\0", b"\0\0Ex\xfff\0"))
    assert children() == []


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import os; os.abort()", CorruptMediaError),
        ("import os; os.kill(os.getpid(), 9)", WorkerDiedError),
        ('print(\'{"size": [1, 1], "mode": "L", "bit_depth": 8, "metadata": {}}\')', CorruptMediaError),
    ],
)
def test_an_end_before_its_time_is_an_error(
    monkeypatch: pytest.MonkeyPatch, program: str, error: type[DarkroomError]
) -> None:
    monkeypatch.setattr("darkroom.media.subprocesses._program", lambda *_: program)

    with pytest.raises(error):
        decoded(encode(photograph(), "HEIF"))
    assert children() == []


def test_it_ends_when_its_parent_does() -> None:
    program = (
        "import os\nfrom darkroom.media.subprocesses import spawn_python\n"
        "with spawn_python('darkroom.images.heic_process') as child:\n    print(child.pid, flush=True)\n    os._exit(0)"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    process = Path("/proc", told.stdout.decode().strip(), "stat")

    deadline = time.monotonic() + 5
    while process.exists() and process.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.monotonic() < deadline
