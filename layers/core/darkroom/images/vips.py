"""libvips itself: set up once, watched while it computes, its errors turned into ours. Nothing else translates them."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pyvips

from darkroom.errors import CorruptMediaError, DarkroomError, InternalError, UnsupportedMediaTypeError
from darkroom.media.task import Task

#: How often a long computation looks at the deadline and tells its progress.
LOOK_EVERY_S = 1.0

#: The only loaders that libvips may choose; SVG, CSV, its own formats and whatever comes in future are blocked.
_ALLOWED_LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif")


@lru_cache(maxsize=1)
def set_up() -> None:
    """Sets libvips up, once a process: no cache of earlier results, no loader but the allowed ones, no warnings."""
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in _ALLOWED_LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    _silence()


def _silence() -> None:
    """Drops libvips' warnings in C.

    pyvips hands them to Python's logging. That can start a garbage collection, which may close another damaged picture,
    which warns in turn; GLib takes a warning within a warning for fatal and aborts the process. The function that takes
    the place of the handler does nothing and looks at no argument.
    """
    warning_level = 1 << 4
    nothing = pyvips.ffi.cast("GLogFunc", pyvips.ffi.addressof(pyvips.vips_lib, "vips_concurrency_get"))
    pyvips._remove_log_handler()
    pyvips.glib_lib.g_log_set_handler(b"VIPS", warning_level, nothing, pyvips.ffi.NULL)


@contextmanager
def watched(image: pyvips.Image, task: Task, *, start: float = 0.0, end: float = 1.0) -> Iterator[None]:
    """Tells progress from `start` to `end` while `image` is computed; stops at the deadline or when the job is lost."""
    stopped: list[Exception] = []
    next_look = time.monotonic() + LOOK_EVERY_S
    told = start

    # It must not refer to `image`, which keeps it: the pixels of such a ring would wait for the garbage collector.
    def look(computed: pyvips.Image, progress: Any) -> None:
        nonlocal next_look, told
        if stopped or time.monotonic() < next_look:
            return
        next_look = time.monotonic() + LOOK_EVERY_S
        try:
            task.remaining_s()
            told = max(
                told, start + (end - start) * progress.percent / 100
            )  # libvips' own figure may step back a little
            task.report_progress(told)
        except Exception as error:  # noqa: BLE001 - no error can cross libvips: it is raised again below
            stopped.append(error)
            computed.set_kill(True)

    image.set_progress(True)
    image.signal_connect("eval", look)
    try:
        yield
    except pyvips.Error:
        if not stopped:
            raise
    finally:
        image.set_progress(False)
    if stopped:
        raise stopped[0]


def film(images: Sequence[pyvips.Image], delays_ms: list[int] | None = None, plays: int | None = None) -> pyvips.Image:
    """Frames of one size below each other, with times and loops of the first where none are given."""
    strip = pyvips.Image.arrayjoin(images, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", images[0].height)
    if delays_ms is not None:
        strip.set_type(pyvips.GValue.array_int_type, "delay", delays_ms)
    if plays is not None:
        strip.set_type(pyvips.GValue.gint_type, "loop", plays)
    return strip


def in_memory(image: pyvips.Image, task: Task) -> pyvips.Image:
    """`image` computed, to be read in any order. Its progress is not told: saving, which follows, tells its own."""
    with watched(image, task, end=0):
        return image.copy_memory()


def each_frame(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image], task: Task) -> pyvips.Image:
    """An animation or a still picture with every frame changed alike."""
    if image.get_page_height() == image.height:
        return change(image)
    return film([change(frame) for frame in frames_of(in_memory(image, task))])


def frames_of(strip: pyvips.Image) -> list[pyvips.Image]:
    """The frames of a film, each a part of it: it has to be there as a whole."""
    height = strip.get_page_height()
    return [strip.crop(0, top, strip.width, height) for top in range(0, strip.height, height)]


#: Lines of libvips' that complain about a file begin so; lines about writing name the saver ("jpegsave_buffer: ...").
_READING = ("vipsjpeg", "jpeg", "png", "spng", "vipspng", "webp", "gif", "nsgif", "tiff", "heif", "vipsforeignload")

#: What they say of files that may be whole: of kinds of JPEG, and of compressions in TIFF, that nobody here decodes.
_UNREADABLE = re.compile(r"Unsupported JPEG|(not configured|not implemented)$")


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of libvips into ours: the file's fault where a loader complains, else a defect."""
    pyvips.vips_lib.vips_error_clear()  # what earlier work, that went well in the end, has left there
    try:
        yield
    except pyvips.Error as error:
        raise _translation(error) from error
    except UnicodeDecodeError as error:  # pyvips reads complaints and names of metadata, which quote the file, as UTF-8
        raise CorruptMediaError("The picture is damaged or cut short (a text in it is no text).") from error


def _translation(error: pyvips.Error) -> DarkroomError:
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    for line in lines:
        speaker, _, complaint = line.partition(": ")
        if speaker.lower().startswith(_READING) and "save" not in speaker:
            if _UNREADABLE.search(complaint):
                return UnsupportedMediaTypeError(
                    f"The picture is stored in a way that cannot be read ({complaint[:120]})."
                )
            return CorruptMediaError(f"The picture is damaged or cut short ({(complaint or line)[:120]}).")
    # Some loaders fail without a word. Then the saver, which writes to memory, can only say that it cannot go on.
    if all("unable to write to target" in line for line in lines):
        return CorruptMediaError("The picture is damaged or cut short (its pixels cannot be read).")
    return InternalError(f"libvips failed: {error.message}: {'; '.join(lines)}"[:300])
