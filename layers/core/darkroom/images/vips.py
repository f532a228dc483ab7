"""Configures libvips, tracks the progress of its computations, and maps its errors. No other module maps them."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pyvips

from darkroom.errors import CorruptMediaError, DarkroomError, InternalError, UnsupportedMediaTypeError
from darkroom.media.task import Task

#: How often a long computation checks the deadline and reports its progress.
PROGRESS_PERIOD_S = 1.0

#: The only loaders that libvips may use; SVG, CSV, its own formats and any added in future are blocked.
_ALLOWED_LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif")


@lru_cache(maxsize=1)
def set_up() -> None:
    """Configures libvips once per process: no cache of results, only the allowed loaders, no warnings."""
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in _ALLOWED_LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    _drop_warnings()


def _drop_warnings() -> None:
    """Drops libvips' warnings in C.

    pyvips passes them to Python's logging. That can start a garbage collection, which may close another damaged image,
    which warns in turn; GLib treats a warning within a warning as fatal and aborts the process. The C function that
    replaces the handler has no side effect and reads no argument.
    """
    warning_level = 1 << 4
    no_op = pyvips.ffi.cast("GLogFunc", pyvips.ffi.addressof(pyvips.vips_lib, "vips_concurrency_get"))
    pyvips._remove_log_handler()
    pyvips.glib_lib.g_log_set_handler(b"VIPS", warning_level, no_op, pyvips.ffi.NULL)


@contextmanager
def track_progress(image: pyvips.Image, task: Task, *, start: float = 0.0, end: float = 1.0) -> Iterator[None]:
    """Reports progress from `start` to `end` while `image` is computed in the block.

    Stops the computation and raises the task's error at the deadline or when the job is canceled.
    """
    stopped: list[Exception] = []
    next_report = time.monotonic() + PROGRESS_PERIOD_S
    reported = start

    # A reference to `image` here would be a cycle, which would keep its pixels until the next garbage collection.
    def report(computed: pyvips.Image, progress: Any) -> None:
        nonlocal next_report, reported
        if stopped or time.monotonic() < next_report:
            return
        next_report = time.monotonic() + PROGRESS_PERIOD_S
        try:
            task.remaining_s()
            # libvips' own figure may decrease slightly.
            reported = max(reported, start + (end - start) * progress.percent / 100)
            task.report_progress(reported)
        except Exception as error:  # noqa: BLE001 - no error can pass through libvips: it is raised again below
            stopped.append(error)
            computed.set_kill(True)

    image.set_progress(True)
    image.signal_connect("eval", report)
    try:
        yield
    except pyvips.Error:
        if not stopped:
            raise
    finally:
        image.set_progress(False)
    if stopped:
        raise stopped[0]


def animation_strip(
    frames: Sequence[pyvips.Image], delays_ms: list[int] | None = None, plays: int | None = None
) -> pyvips.Image:
    """Frames of one size stacked vertically, as libvips represents animations.

    Delays and number of plays are those of the first frame's image unless they are given.
    """
    strip = pyvips.Image.arrayjoin(frames, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    if delays_ms is not None:
        strip.set_type(pyvips.GValue.array_int_type, "delay", delays_ms)
    if plays is not None:
        strip.set_type(pyvips.GValue.gint_type, "loop", plays)
    return strip


def copy_to_memory(image: pyvips.Image, task: Task) -> pyvips.Image:
    """Computes `image`, so that it can be read in any order. Reports no progress: the encoder that follows does."""
    with track_progress(image, task, end=0):
        return image.copy_memory()


def map_frames(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image], task: Task) -> pyvips.Image:
    """Applies `change` to a still image or to every frame of an animation."""
    if image.get_page_height() == image.height:
        return change(image)
    return animation_strip([change(frame) for frame in split_frames(copy_to_memory(image, task))])


def split_frames(strip: pyvips.Image) -> list[pyvips.Image]:
    """The frames of an animation, which has to be in memory."""
    height = strip.get_page_height()
    return [strip.crop(0, top, strip.width, height) for top in range(0, strip.height, height)]


#: Prefixes of libvips' error lines about the input; lines about the output name the saver ("jpegsave_buffer: ...").
_LOADERS = ("vipsjpeg", "jpeg", "png", "spng", "vipspng", "webp", "gif", "nsgif", "tiff", "heif", "vipsforeignload")

#: Errors about intact files: kinds of JPEG and compressions of TIFF that are not supported.
_UNSUPPORTED = re.compile(r"Unsupported JPEG|(not configured|not implemented)$")


@contextmanager
def map_vips_errors() -> Iterator[None]:
    """Maps libvips' errors: to a MediaError if a loader reports one, else to InternalError."""
    pyvips.vips_lib.vips_error_clear()  # errors of earlier work that succeeded in the end
    try:
        yield
    except pyvips.Error as error:
        raise _mapped_error(error) from error
    except UnicodeDecodeError as error:  # pyvips decodes messages and metadata names, which quote the file, as UTF-8
        raise CorruptMediaError("The image is damaged or truncated (it contains invalid text).") from error


def _mapped_error(error: pyvips.Error) -> DarkroomError:
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    for line in lines:
        source, _, reason = line.partition(": ")
        if source.lower().startswith(_LOADERS) and "save" not in source:
            if _UNSUPPORTED.search(reason):
                return UnsupportedMediaTypeError(f"The image uses an unsupported encoding ({reason[:120]}).")
            return CorruptMediaError(f"The image is damaged or truncated ({(reason or line)[:120]}).")
    # Some loaders fail without a message. Then the saver, which writes to memory, only reports that it cannot continue.
    if all("unable to write to target" in line for line in lines):
        return CorruptMediaError("The image is damaged or truncated (its pixels cannot be read).")
    return InternalError(f"libvips failed: {error.message}: {'; '.join(lines)}"[:300])
