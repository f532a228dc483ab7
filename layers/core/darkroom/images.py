"""Pictures in and out, by libvips: limits before decoding, upright, in sRGB with 8 bits a channel, without metadata.

    picture = open_picture(task.source, task.limits)
    image = picture.scaled(Size(640, 480))
    rendition = save(image, "webp", quality=80, task=task)

libvips computes when a result is asked for, so damage in a file may only show in `save`. An animation is one tall image
with its frames below each other; its metadata `page-height` is the height of one.
"""

import io
from dataclasses import dataclass, field
from typing import Any

import pyvips

from darkroom.colour import displayable
from darkroom.contracts import ImageFormat
from darkroom.errors import (
    CorruptMediaError,
    EmptyFileError,
    FileTooLargeError,
    InvalidRequestError,
    TooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.geometry import Plan, Size
from darkroom.task import Limits, Rendition, Source, Task
from darkroom.vips import set_up, translated, watched

#: Largest file that is read as a picture. It is held in memory beside what is made of it.
MAX_FILE_BYTES = 256 * 1024 * 1024

#: Most frames of an animation. GIF allows any number of them at hardly any bytes.
MAX_FRAMES = 1000

#: libvips' loader by media type. HEIC is missing: no HEVC decoder may be shipped with the imaging layer.
_LOADERS = {
    "image/jpeg": "jpegload_buffer",
    "image/png": "pngload_buffer",
    "image/webp": "webpload_buffer",
    "image/gif": "gifload_buffer",
    "image/tiff": "tiffload_buffer",
    "image/avif": "heifload_buffer",
}
_BMP, _GIF = "image/bmp", "image/gif"

#: Media types that can be animations, and result formats that can.
_ANIMATED_TYPES = frozenset({_GIF, "image/webp"})
_ANIMATED_FORMATS = frozenset({"gif", "webp"})

#: EXIF orientations that lay a picture on its side.
_SIDEWAYS = range(5, 9)


@dataclass(frozen=True)
class _Format:
    """How a format is written. `max_side_px` is what the format or its encoder can hold."""

    suffix: str
    saver: str
    max_side_px: int
    has_alpha: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    takes_quality: bool = True


#: AVIF's effort 2 takes a sixth of the time of the default 4 for a tenth more bytes; GIF's 5 half the time of 7.
_FORMATS: dict[ImageFormat, _Format] = {
    "jpeg": _Format("jpg", "jpegsave_buffer", 65_500, has_alpha=False),
    "png": _Format("png", "pngsave_buffer", 2**31 - 1, takes_quality=False),
    "webp": _Format("webp", "webpsave_buffer", 16_383),
    "avif": _Format("avif", "heifsave_buffer", 16_384, options={"compression": "av1", "effort": 2}),
    "gif": _Format("gif", "gifsave_buffer", 65_535, options={"effort": 5}, takes_quality=False),
}

#: Up to here a progressive JPEG is smaller and shows sooner at no cost; beyond, it costs a third more time.
_PROGRESSIVE_PIXELS = 1_000_000


# Opening -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A picture whose header was read and found within the limits. Its pixels are decoded when they are asked for.

    `size` is that of one frame, upright; `frames` is 1 unless an animation was asked for and found.
    """

    size: Size
    frames: int
    limits: Limits
    content: bytes = field(repr=False)
    header: pyvips.Image = field(repr=False)
    options: dict[str, Any] = field(repr=False)

    def scaled(self, size: Size) -> pyvips.Image:
        """The picture at exactly `size`, decoded no larger than needed. Raises TooManyPixelsError."""
        _check_pixels(size, self.frames, self.limits, "The result")
        with translated():
            return displayable(self._thumbnail(size))

    def cut(self, plan: Plan, task: Task) -> pyvips.Image:
        """The picture scaled to `plan.scaled`, and of that the middle `plan.crop`."""
        image = self.scaled(plan.scaled)
        if plan.crop == plan.scaled:
            return image
        left, top = (plan.scaled.width - plan.crop.width) // 2, (plan.scaled.height - plan.crop.height) // 2
        with translated():
            if self.frames == 1:
                return image.crop(left, top, *plan.crop)
            # Every frame is cut out of the same strip, which therefore has to be there as a whole.
            strip = _in_memory(image, task)
            tops = range(top, strip.height, plan.scaled.height)
            return _film([strip.crop(left, frame_top, *plan.crop) for frame_top in tops])

    def whole(self, task: Task, *, held: bool) -> pyvips.Image:
        """The picture at its own size: decoded into memory when `held`, else to be read once from top to bottom.

        A still picture that has to be turned is held in any case.
        """
        with translated():
            image = displayable(self.header)
            if self.frames > 1 or (not held and _orientation(image) == 1):
                return image
            return _in_memory(image, task).autorot()

    def _thumbnail(self, size: Size) -> pyvips.Image:
        target = {"height": size.height, "size": "force", "no_rotate": self.frames > 1}
        if not self.content:  # decoded already
            return self.header.thumbnail_image(size.width, **target)
        if self.header.interpretation == "cmyk":
            return displayable(self._shrunk_on_load(size)).thumbnail_image(size.width, **target)
        # thumbnail_buffer accepts fail_on and ignores it (libvips issue 5195); the loader's own option works.
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        return pyvips.Image.thumbnail_buffer(self.content, size.width, **target, option_string=f"[{options}]")

    def _shrunk_on_load(self, size: Size) -> pyvips.Image:
        """For CMYK, whose dark tones thumbnail_buffer loses: decoded, where the loader can, at twice `size` or more."""
        if self.header.get("vips-loader") != _LOADERS["image/jpeg"]:
            return self.header
        room = min(self.size.width / size.width, self.size.height / size.height) / 2
        shrink = next((factor for factor in (8, 4, 2) if factor <= room), 1)
        return pyvips.Image.new_from_buffer(self.content, "", access="sequential", **self.options, shrink=shrink)


def open_picture(source: Source, limits: Limits, *, animated: bool = False) -> Picture:
    """Reads a picture's header. With `animated` all frames of an animation count, else only the first.

    Raises WrongMediaKindError, UnsupportedMediaTypeError, EmptyFileError, FileTooLargeError, TooManyPixelsError,
    TooLongError (too many frames) and CorruptMediaError.
    """
    set_up()
    media_type = source.media_type
    _check_type(media_type)
    content = _content(source)
    if media_type == _BMP:
        bitmap = _bitmap(content, limits)
        return Picture(Size(bitmap.width, bitmap.height), 1, limits, b"", bitmap, {})
    options: dict[str, Any] = {"fail_on": "error"}
    if animated and media_type in _ANIMATED_TYPES:
        options["n"] = -1
    with translated():
        header = pyvips.Image.new_from_buffer(content, "", access="sequential", **options)
    if header.get("vips-loader") != _LOADERS[media_type]:
        raise UnsupportedMediaTypeError(f"The file begins as {media_type}, but it is not a picture of that type.")
    size, frames = _measured(header)
    _check_pixels(size, frames, limits, "The picture")
    if media_type == _GIF and not _is_whole_gif(content):
        raise CorruptMediaError("The picture is damaged or cut short (its last frames are missing).")
    return Picture(size, frames, limits, content, header, options)


def _check_type(media_type: str) -> None:
    if media_type in _LOADERS or media_type == _BMP:
        return
    if not media_type.startswith("image/"):
        raise WrongMediaKindError(f"The file is {media_type}, not a picture.")
    readable = ", ".join(sorted(name.removeprefix("image/").upper() for name in (*_LOADERS, _BMP)))
    raise UnsupportedMediaTypeError(f"Pictures of type {media_type} cannot be read. Send one of: {readable}.")


def _content(source: Source) -> bytes:
    if source.size_bytes == 0:
        raise EmptyFileError("The file is empty.")
    if source.size_bytes > MAX_FILE_BYTES:
        raise FileTooLargeError(
            f"The picture has {source.size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are read as a picture."
        )
    return source.read()


def _measured(header: pyvips.Image) -> tuple[Size, int]:
    """Upright size of one frame, and the number of frames that will be decoded."""
    width, height = header.width, header.get_page_height()
    frames = header.height // height
    if frames > MAX_FRAMES:
        raise TooLongError(f"The animation has {frames:,} frames; at most {MAX_FRAMES:,} are decoded.")
    if frames == 1 and _orientation(header) in _SIDEWAYS:
        width, height = height, width
    return Size(width, height), frames


def _orientation(image: pyvips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _check_pixels(size: Size, frames: int, limits: Limits, subject: str) -> None:
    if size.pixels * frames <= limits.pixels:
        return
    shape = f"{size.width:,} x {size.height:,}" + (f" pixels in {frames:,} frames" if frames > 1 else "")
    raise TooManyPixelsError(
        f"{subject} has {shape}, {size.pixels * frames:,} pixels in all; at most {limits.pixels:,} are allowed."
    )


def _is_whole_gif(content: bytes) -> bool:
    """Whether no block of a GIF is cut short. libvips just shows fewer frames of an animation that is."""
    separator, extension, trailer = 0x2C, 0x21, 0x3B
    try:
        at = 13 + _colour_table_bytes(content[10])
        while at < len(content):
            block = content[at]
            if block == separator:
                at += 11 + _colour_table_bytes(content[at + 9])
            elif block == extension:
                at += 2
            else:
                return block == trailer
            while content[at]:
                at += 1 + content[at]
            at += 1
    except IndexError:
        return False
    return True  # the trailer is missing, and nothing else


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** (1 + (flags & 7)) if flags & 0x80 else 0


def _bitmap(content: bytes, limits: Limits) -> pyvips.Image:
    """A BMP, which libvips does not read, decoded by Pillow."""
    from PIL.BmpImagePlugin import BmpImageFile

    try:
        with BmpImageFile(io.BytesIO(content)) as bitmap:
            _check_pixels(Size(*bitmap.size), 1, limits, "The picture")
            mode = bitmap.mode if bitmap.mode in ("L", "RGBA") else "RGB"
            pixels, (width, height) = bitmap.convert(mode).tobytes(), bitmap.size
    except (OSError, ValueError, SyntaxError, IndexError) as error:
        raise CorruptMediaError("The picture is damaged or cut short (BMP).") from error
    image = pyvips.Image.new_from_memory(pixels, width, height, len(mode), "uchar")
    return image.copy(interpretation="b-w" if mode == "L" else "srgb")


def _in_memory(image: pyvips.Image, task: Task) -> pyvips.Image:
    """`image` decoded, to be read in any order. Its progress is not told: saving, which follows, tells its own."""
    with watched(image, task, end=0):
        return image.copy_memory()


def _film(frames: list[pyvips.Image]) -> pyvips.Image:
    """Frames of one size below each other, with times and loops of the first."""
    film = pyvips.Image.arrayjoin(frames, across=1).copy()
    film.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return film


# Saving ------------------------------------------------------------------------------------------------------------


def choose_format(asked: ImageFormat | None, media_type: str) -> ImageFormat:
    """The result's format: what was asked for, else that of the source where it can be written, else JPEG."""
    if asked is not None:
        return asked
    own = media_type.removeprefix("image/")
    return next((fmt for fmt in _FORMATS if fmt == own), "jpeg")


def can_animate(fmt: ImageFormat) -> bool:
    """Whether a format holds animations."""
    return fmt in _ANIMATED_FORMATS


def save(image: pyvips.Image, fmt: ImageFormat, *, quality: int, task: Task) -> Rendition:
    """Encodes an image, without metadata; transparent parts become white where the format has no transparency.

    Raises InvalidRequestError (too large for the format), CorruptMediaError (the damage shows now),
    ProcessingTimedOutError and Superseded.
    """
    form = _FORMATS[fmt]
    size = Size(image.width, image.get_page_height())
    if max(size) > form.max_side_px:
        raise InvalidRequestError(
            f"The result would have {size.width:,} x {size.height:,} pixels; "
            f"{fmt} holds at most {form.max_side_px:,} a side."
        )
    options = dict(form.options)
    if form.takes_quality:
        options["Q"] = quality
    if fmt == "jpeg":
        options["interlace"] = size.pixels <= _PROGRESSIVE_PIXELS
    with translated():
        image = image.flatten(background=255) if image.hasalpha() and not form.has_alpha else image
        with watched(image, task):
            content = getattr(image, form.saver)(keep="none", **options)
    return Rendition(content, form.suffix, f"image/{fmt}", width_px=size.width, height_px=size.height)
