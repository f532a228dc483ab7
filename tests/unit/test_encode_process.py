"""Encoding in a process of its own: the same result, and an end when the job ends."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from darkroom.contracts.image_params import ImageFormat
from darkroom.errors import CorruptMediaError, ProcessingTimedOutError, Superseded, WorkerDiedError
from darkroom.images import encode as encoding
from darkroom.images import encode_process, vips
from darkroom.images.encode import EncodeOptions, encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task
from tests.image_checks import mean_difference, open_result
from tests.media.make_images import add_alpha, encode, icc_profile, large_photo, photograph, truncate
from tests.sources import make_task

LARGE = Size(2000, 1500)


def children() -> list[str]:
    """The processes that this one has started and not yet buried."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def saved(content: bytes, folder: Path, fmt: ImageFormat, finish: EncodeOptions | None = None) -> Rendition:
    (folder / "source").write_bytes(content)
    task = make_task(folder / "source", folder)
    picture = open_image(task.source, task.limits, keep_profile=True)
    return encode_image(
        picture.full_size(task, in_memory=False), fmt, quality=80, task=task, options=finish or EncodeOptions()
    )


def always(monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat, *, own_process_pixels: int) -> None:
    form = encoding._FORMATS[fmt]
    monkeypatch.setitem(encoding._FORMATS, fmt, replace(form, own_process_pixels=own_process_pixels))


@pytest.mark.parametrize("fmt", ["avif", "webp"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_the_result_is_the_same_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat, mode: str
) -> None:
    content = encode(add_alpha(photograph()).convert(mode), "PNG")
    results = []
    for own_process_pixels in (0, 2**31):
        always(monkeypatch, fmt, own_process_pixels=own_process_pixels)
        results.append(saved(content, tmp_path, fmt))
    assert results[0] == results[1]
    open_result(results[0])


@pytest.mark.parametrize("fmt", ["avif", "webp"])
def test_metadata_and_profile_travel_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat) -> None:
    exif = Image.Exif()
    exif[0x8298] = "(c) A. Painter"
    content = encode(photograph(), "JPEG", exif=exif.tobytes(), icc_profile=icc_profile("p3"), xmp=b"<x>about</x>")
    finish = EncodeOptions(metadata="keep", keep_profile=True)
    results = []
    for own_process_pixels in (0, 2**31):
        always(monkeypatch, fmt, own_process_pixels=own_process_pixels)
        results.append(saved(content, tmp_path, fmt, finish).content)
    for content in results:
        assert isinstance(content, bytes)
        assert icc_profile("p3") in content
        assert b"(c) A. Painter" in content
        assert b"<x>about</x>" in content


def test_only_large_pictures_are_worth_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    real = encode_process.encode_in_process
    monkeypatch.setattr(
        encode_process, "encode_in_process", lambda *args, **options: started.append(args[1]) or real(*args, **options)
    )
    for width in (900, 1300):
        saved(encode(large_photo(width, 1000), "JPEG"), tmp_path, "avif")
        saved(encode(large_photo(width, 1000), "JPEG"), tmp_path, "jpeg")
    assert started == ["heifsave"]


def canceled(task_folder: Path, after_s: float) -> Task:
    """A task that is canceled after so long."""
    end = time.monotonic() + after_s

    def progress(_fraction: float) -> None:
        if time.monotonic() > end:
            raise Superseded

    return make_task(task_folder / "source", task_folder, progress=progress)


@pytest.mark.parametrize("fmt", ["avif", "webp"])
def test_a_canceled_job_stops_inside_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat
) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0.05)
    always(monkeypatch, fmt, own_process_pixels=0)
    (tmp_path / "source").write_bytes(encode(large_photo(4000, 3000), "JPEG"))
    task = canceled(tmp_path, 0.6)
    image = open_image(task.source, task.limits).full_size(task, in_memory=True)
    begun = time.monotonic()
    with pytest.raises(Superseded):
        encode_image(image, fmt, quality=80, task=task)
    assert time.monotonic() - begun < 4  # it would take twice as long and more
    assert children() == []


def test_the_deadline_holds_inside_the_encoder(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode(large_photo(3000, 2000), "JPEG"))
    task = make_task(tmp_path / "source", tmp_path, deadline_s=0.7)
    image = open_image(task.source, task.limits).full_size(task, in_memory=True)
    with pytest.raises(ProcessingTimedOutError):
        encode_image(image, "avif", quality=80, task=task)
    assert children() == []


@pytest.mark.parametrize("part", [0.3, 0.9])
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_damage_that_shows_while_the_pixels_travel_is_the_files_fault(tmp_path: Path, fmt: str, part: float) -> None:
    with pytest.raises(CorruptMediaError):
        saved(truncate(encode(large_photo(1400, 1000), fmt), part), tmp_path, "avif")
    assert children() == []


@pytest.mark.parametrize(
    "dies",
    [
        "import os; os.kill(os.getpid(), 9)",
        "import sys; sys.stdin.buffer.read(); raise SystemExit(1)",
        "import time; time.sleep(0.3); raise SystemExit(1)",
    ],
)
def test_an_encoder_that_dies_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    monkeypatch.setattr("darkroom.media.subprocesses._program", lambda *_args: dies)
    with pytest.raises(WorkerDiedError, match="encoder crashed"):
        saved(encode(large_photo(1400, 1000), "JPEG"), tmp_path, "avif")
    assert children() == []


def test_progress_is_told_and_never_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0.02)
    seen: list[float] = []
    (tmp_path / "source").write_bytes(encode(large_photo(2000, 1500), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=seen.append)
    encode_image(open_image(task.source, task.limits).full_size(task, in_memory=False), "avif", quality=80, task=task)
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1] <= 1


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    image = large_photo(*LARGE)
    result = open_result(saved(encode(image, "PNG"), tmp_path, "avif"))
    assert mean_difference(result, image) < 8  # mostly the sensor's noise, which the encoder leaves out
