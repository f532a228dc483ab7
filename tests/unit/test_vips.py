"""libvips in a long-lived process: errors, progress, deadlines, memory, and crashes that it must not cause."""

import gc
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from darkroom.errors import CorruptMediaError, InternalError, ProcessingTimedOutError, Superseded
from darkroom.images import vips
from darkroom.images.encode import encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from tests.media.make_images import MEDIA, encode, large_photo, photograph, truncate
from tests.support.image_checks import decode, mean_difference, open_result
from tests.support.sources import make_task, make_task_for


def test_error_message_does_not_contain_errors_of_earlier_jobs(tmp_path: Path) -> None:
    vips.set_up()
    pyvips.Image.thumbnail_buffer(truncate(encode(photograph(), "JPEG"), 0.5), 20).avg()
    assert b"JPEG" in pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())
    with pytest.raises(CorruptMediaError) as caught:
        decode(truncate(encode(photograph(), "PNG"), 0.5), tmp_path, in_memory=True)
    assert "JPEG" not in caught.value.message


@pytest.mark.parametrize("call", ["svgload_buffer", "uhdrload_buffer"])
def test_other_loaders_are_blocked(call: str) -> None:
    vips.set_up()
    with pytest.raises(pyvips.Error, match="blocked"):
        getattr(pyvips.Image, call)(encode(photograph(), "JPEG"))


def test_invalid_text_in_a_file_is_reported_as_damage() -> None:
    with pytest.raises(CorruptMediaError), vips.map_vips_errors():
        b"exif-\xff".decode()


def test_invalid_call_of_libvips_is_reported_as_an_internal_error() -> None:
    with pytest.raises(InternalError, match="extract_area"), vips.map_vips_errors():
        pyvips.Image.black(10, 10).crop(0, 0, 20, 20)


# Memory and crashes --------------------------------------------------------------------------------------------------

WARNING_WITHIN_A_WARNING = """
import gc, logging, sys
import pyvips
from darkroom.images.vips import set_up

jpeg, png = (open(name, "rb").read() for name in sys.argv[1:])
set_up()
kept = []


class Collector(logging.Handler):
    def emit(self, record):
        kept.clear()
        gc.collect()


logging.getLogger("pyvips").addHandler(Collector())
for _ in range(5):
    image = pyvips.Image.thumbnail_buffer(jpeg, 20)
    image.avg()
    kept.append(image)
    del image
    pyvips.Image.thumbnail_buffer(png, 20).avg()
"""


def test_warning_within_a_warning_does_not_abort_the_process(tmp_path: Path) -> None:
    files = [tmp_path / "cut.jpg", tmp_path / "cut.png"]
    for file, fmt in zip(files, ("JPEG", "PNG"), strict=True):
        file.write_bytes(truncate(encode(photograph(), fmt), 0.5))
    code = f"import sys; sys.path.insert(0, {str(MEDIA.parents[1] / 'layers' / 'core')!r})" + WARNING_WITHIN_A_WARNING
    run = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_pixels_are_freed_without_garbage_collection(tmp_path: Path) -> None:
    task = make_task_for(encode(large_photo(2000, 1500), "PNG"), tmp_path)

    def work() -> None:
        image = open_image(task.source, task.limits).full_size(task, in_memory=True)
        encode_image(image.crop(0, 0, 10, 10), "png", quality=80, task=task)

    work()
    gc.disable()
    try:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(8):
            work()
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    finally:
        gc.enable()
    assert grown_kib < 40_000  # one image has 9 MB


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_file_content_stays_in_memory_while_a_derived_image_exists(tmp_path: Path, fmt: str) -> None:
    (tmp_path / "source").write_bytes(encode(photograph(), fmt, **({"quality": 95} if fmt != "PNG" else {})))
    task = make_task(tmp_path / "source", tmp_path)

    def derive(size: Size) -> pyvips.Image:
        return open_image(task.source, task.limits).scale_to(size).flip("horizontal")

    for size in (Size(300, 200), Size(60, 40)):
        image = derive(size)
        gc.collect()
        junk = [bytes([255]) * 200_000 for _ in range(50)]
        result = open_result(encode_image(image, "png", quality=80, task=task))
        expected = photograph().resize(size, Image.Resampling.LANCZOS).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert mean_difference(result, expected) < 10
        assert len(junk) == 50


@pytest.mark.parametrize("in_memory", [True, False])
def test_computation_stops_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0)
    (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, deadline_s=-1)
    source = open_image(task.source, task.limits)
    with pytest.raises(ProcessingTimedOutError):
        encode_image(source.full_size(task, in_memory=in_memory), "png", quality=80, task=task)


def test_computation_stops_when_the_job_is_canceled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0)
    reports: list[float] = []

    def cancel_third(fraction: float) -> None:
        reports.append(fraction)
        if len(reports) == 3:
            raise Superseded

    (tmp_path / "source").write_bytes(encode(large_photo(1600, 1200), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=cancel_third)
    source = open_image(task.source, task.limits)
    with pytest.raises(Superseded):
        encode_image(source.full_size(task, in_memory=False), "png", quality=80, task=task)
    assert len(reports) == 3


def test_progress_never_decreases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vips, "PROGRESS_PERIOD_S", 0)
    reports: list[float] = []
    (tmp_path / "source").write_bytes(encode(large_photo(1600, 1200), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=reports.append)
    encode_image(open_image(task.source, task.limits).full_size(task, in_memory=True), "png", quality=80, task=task)
    assert reports == sorted(reports)
    assert 0 <= reports[0] < 0.5 < reports[-1] <= 1
    assert len(set(reports)) > 4


def test_progress_is_reported_at_most_once_per_period(tmp_path: Path) -> None:
    reports: list[float] = []
    (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
    task = make_task(tmp_path / "source", tmp_path, progress=reports.append)
    started = time.monotonic()
    encode_image(open_image(task.source, task.limits).full_size(task, in_memory=True), "png", quality=80, task=task)
    assert len(reports) <= (time.monotonic() - started) / vips.PROGRESS_PERIOD_S
