"""Encoding in a child process: the same result, and the process ends with the job."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pyvips
from PIL import Image

from darkroom.contracts.image_params import ImageFormat
from darkroom.errors import CorruptMediaError, ProcessingTimedOutError, Superseded, WorkerDiedError
from darkroom.images import encode as encoding
from darkroom.images import encode_process, vips
from darkroom.images.encode import EncodeOptions, encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task
from tests.media.make_images import add_alpha, encode, icc_profile, large_photo, photograph, truncate
from tests.support.image_checks import content_of, mean_difference, open_result
from tests.support.leftovers import children
from tests.support.sources import make_task

LARGE = Size(2000, 1500)


def encode_source(content: bytes, folder: Path, fmt: ImageFormat, options: EncodeOptions | None = None) -> Rendition:
    (folder / "source").write_bytes(content)
    task = make_task(folder / "source", folder)
    source = open_image(task.source, task.limits, keep_profile=True)
    return encode_image(
        source.full_size(task, in_memory=False), fmt, quality=80, task=task, options=options or EncodeOptions()
    )


def use_process_from(monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat, pixels: int) -> None:
    monkeypatch.setitem(encoding._FORMATS, fmt, replace(encoding._FORMATS[fmt], own_process_pixels=pixels))


@pytest.mark.parametrize("fmt", ["avif", "webp"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_result_is_the_same_as_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat, mode: str
) -> None:
    content = encode(add_alpha(photograph()).convert(mode), "PNG")
    results = []
    for own_process_pixels in (0, 2**31):
        use_process_from(monkeypatch, fmt, own_process_pixels)
        results.append(encode_source(content, tmp_path, fmt))
    assert results[0] == results[1]
    open_result(results[0])


@pytest.mark.parametrize("fmt", ["avif", "webp"])
def test_metadata_and_profile_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat) -> None:
    exif = Image.Exif()
    exif[0x8298] = "(c) A. Painter"
    content = encode(photograph(), "JPEG", exif=exif.tobytes(), icc_profile=icc_profile("p3"), xmp=b"<x>about</x>")
    options = EncodeOptions(metadata="keep", keep_profile=True)
    results = []
    for own_process_pixels in (0, 2**31):
        use_process_from(monkeypatch, fmt, own_process_pixels)
        results.append(content_of(encode_source(content, tmp_path, fmt, options)))
    for encoded in results:
        assert icc_profile("p3") in encoded
        assert b"(c) A. Painter" in encoded
        assert b"<x>about</x>" in encoded


def test_only_large_images_are_encoded_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savers: list[str] = []
    encode_in_process = encode_process.encode_in_process

    def record(image: pyvips.Image, saver: str, options: dict[str, Any], task: Task, **span: float) -> bytes:
        savers.append(saver)
        return encode_in_process(image, saver, options, task, **span)

    monkeypatch.setattr(encode_process, "encode_in_process", record)
    for width in (900, 1300):
        encode_source(encode(large_photo(width, 1000), "JPEG"), tmp_path, "avif")
        encode_source(encode(large_photo(width, 1000), "JPEG"), tmp_path, "jpeg")
    assert savers == ["heifsave"]


def make_canceled_task(task_folder: Path, after_s: float) -> Task:
    """A task that is canceled after `after_s` seconds."""
    end = time.monotonic() + after_s

    def progress(_fraction: float) -> None:
        if time.monotonic() > end:
            raise Superseded

    return make_task(task_folder / "source", task_folder, progress=progress)


@pytest.mark.parametrize("fmt", ["avif", "webp"])
def test_encoder_stops_when_the_job_is_canceled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: ImageFormat
) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0.05)
    use_process_from(monkeypatch, fmt, 0)
    (tmp_path / "source").write_bytes(encode(large_photo(4000, 3000), "JPEG"))
    task = make_canceled_task(tmp_path, 0.6)
    image = open_image(task.source, task.limits).full_size(task, in_memory=True)
    started_s = time.monotonic()
    with pytest.raises(Superseded):
        encode_image(image, fmt, quality=80, task=task)
    assert time.monotonic() - started_s < 4  # without cancellation it takes more than twice as long
    assert children() == []


def test_encoder_stops_at_the_deadline(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode(large_photo(3000, 2000), "JPEG"))
    task = make_task(tmp_path / "source", tmp_path, deadline_s=0.7)
    image = open_image(task.source, task.limits).full_size(task, in_memory=True)
    with pytest.raises(ProcessingTimedOutError):
        encode_image(image, "avif", quality=80, task=task)
    assert children() == []


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_damage_found_while_pixels_are_sent_is_reported_as_damage(tmp_path: Path, fmt: str, share: float) -> None:
    with pytest.raises(CorruptMediaError):
        encode_source(truncate(encode(large_photo(1400, 1000), fmt), share), tmp_path, "avif")
    assert children() == []


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.kill(os.getpid(), 9)",
        "import sys; sys.stdin.buffer.read(); raise SystemExit(1)",
        "import time; time.sleep(0.3); raise SystemExit(1)",
    ],
)
def test_crash_of_the_encoder_is_not_reported_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr("darkroom.media.subprocesses._program", lambda *_args: program)
    with pytest.raises(WorkerDiedError, match="encoder crashed"):
        encode_source(encode(large_photo(1400, 1000), "JPEG"), tmp_path, "avif")
    assert children() == []


def test_progress_is_reported_and_never_decreases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0.02)
    reports: list[float] = []
    (tmp_path / "source").write_bytes(encode(large_photo(2000, 1500), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=reports.append)
    encode_image(open_image(task.source, task.limits).full_size(task, in_memory=False), "avif", quality=80, task=task)
    assert len(reports) > 3
    assert reports == sorted(reports)
    assert reports[-1] <= 1


def test_result_looks_like_the_source(tmp_path: Path) -> None:
    image = large_photo(*LARGE)
    result = open_result(encode_source(encode(image, "PNG"), tmp_path, "avif"))
    assert mean_difference(result, image) < 8  # mostly the noise, which the encoder removes
