"""Pictures out: the format chosen, what goes along with the pixels, and how they are written.

image = picture.scaled(Size(640, 480))
rendition = save(image, "webp", quality=80, task=task)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyvips

from darkroom.contracts.image_params import ImageFormat, ImageParams, Metadata
from darkroom.errors import InvalidRequestError, ResultTooLargeError, TooManyPixelsError
from darkroom.images import apng, encode_process, pillow
from darkroom.images.auto_format import fitting_format
from darkroom.images.color import Colour, coloured, parse_colour
from darkroom.images.metadata import reduced
from darkroom.images.open import Picture, open_picture
from darkroom.images.vips import in_memory, translated, watched
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task

#: Formats that hold animations.
_ANIMATED_FORMATS = frozenset({"gif", "webp", "png"})

#: Up to here a progressive JPEG is smaller and shows sooner at no cost; beyond, it costs a third more time.
_PROGRESSIVE_PIXELS = 1_000_000

#: A progressive JPEG is put together in memory, at 5 bytes a pixel. Beyond this the wish for one is passed over.
_MOST_PROGRESSIVE_PIXELS = 100_000_000

Options = dict[str, Any]
Animated = bool


def _qualities(best: int, _animated: Animated) -> list[Options]:
    return [{"Q": quality} for quality in range(best, 0, -1)]


def _png_steps(_quality: int, animated: Animated) -> list[Options]:
    """Exactly, then with fewer and fewer colours; frames of an animation share their kind of pixel, so not there."""
    exactly: list[Options] = [{}, {"compression": 9}]
    if animated:
        return exactly
    palettes: list[Options] = [{"bitdepth": 8, "Q": quality} for quality in (95, 80, 60, 40, 20, 5)]
    palettes += [{"bitdepth": depth, "dither": 0.0} for depth in (4, 2, 1)]
    return exactly + [{"palette": True, "compression": 9, **step} for step in palettes]


def _gif_steps(_quality: int, animated: Animated) -> list[Options]:
    # Dithering hides that colours are missing, and is what few colours compress worst.
    steps: list[Options] = [{"bitdepth": depth, "dither": max(0.0, (depth - 4) / 4)} for depth in range(8, 0, -1)]
    if not animated:
        return steps
    return [steps[0]] + [{**step, "interframe_maxerror": 8, "interpalette_maxerror": 10} for step in steps]


@dataclass(frozen=True)
class _Format:
    """How a format is written. `max_side_px` is what the format or its encoder can hold.

    The encoder holds `max_pixels` (of one frame) within the memory of a function, `max_pixels_alpha` with
    transparency. It is a process of its own from `apart_pixels` on. `steps` are its options from best to smallest.
    """

    suffix: str
    saver: str
    max_side_px: int
    has_alpha: bool = True
    has_grey: bool = True
    options: Options = field(default_factory=dict)
    steps: Callable[[int, Animated], list[Options]] = _qualities
    max_pixels: int = 2**31
    max_pixels_alpha: int = 2**31
    apart_pixels: int = 2**31
    keeps: bool = True


#: AVIF's effort 2 takes a sixth of the time of the default 4 for a tenth more bytes; GIF's 5 half the time of 7.
#: Measured in bytes a pixel while they write: AVIF 20 and with transparency 32, WebP 4 and up to 34, GIF 10.
_FORMATS: dict[ImageFormat, _Format] = {
    "jpeg": _Format("jpg", "jpegsave", 65_500, has_alpha=False),
    "png": _Format("png", "pngsave", 2**31 - 1, steps=_png_steps),
    "webp": _Format("webp", "webpsave", 16_383, has_grey=False, max_pixels_alpha=32_000_000, apart_pixels=16_000_000),
    "avif": _Format(
        "avif",
        "heifsave",
        16_384,
        has_grey=False,
        options={"compression": "av1", "effort": 2},
        max_pixels=50_000_000,
        max_pixels_alpha=36_000_000,
        apart_pixels=1_000_000,
    ),
    "gif": _Format(
        "gif",
        "gifsave",
        65_535,
        options={"effort": 5},
        steps=_gif_steps,
        max_pixels=100_000_000,
        max_pixels_alpha=100_000_000,
        keeps=False,
    ),
}


# What is asked for -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finish:
    """How a picture is written, beside its format and quality."""

    max_bytes: int | None = None
    progressive: bool | None = None
    background: Colour = Colour(255, 255, 255)  # noqa: RUF009 - it is immutable
    metadata: Metadata = "strip"
    gps: bool = False
    keep_profile: bool = False

    @classmethod
    def of(cls, params: ImageParams) -> "Finish":
        """As the parameters say."""
        return cls(
            max_bytes=params.max_bytes,
            progressive=params.progressive,
            background=parse_colour(params.background),
            metadata=params.metadata,
            gps=params.gps == "keep",
            keep_profile=params.profile == "keep",
        )


def choose_format(asked: ImageFormat | None, media_type: str) -> ImageFormat:
    """The result's format: what was asked for, else that of the source where it can be written, else JPEG."""
    if asked is not None:
        return asked
    own = media_type.removeprefix("image/")
    return next((fmt for fmt in _FORMATS if fmt == own), "jpeg")


def open_for(task: Task, params: ImageParams) -> Picture:
    """The task's picture with as many frames as its result shall show. Raises what `open_picture` raises."""
    fmt = params.format if params.format == "auto" else choose_format(params.format, task.source.media_type)
    frames = params.max_frames if fmt == "auto" or fmt in _ANIMATED_FORMATS else 1
    return open_picture(
        task.source, task.limits, most_frames=frames, keep_profile=params.profile == "keep" and fmt != "gif"
    )


def written(image: pyvips.Image, params: ImageParams, task: Task) -> Rendition:
    """The result, in the format and with the properties that the parameters ask for. Raises what `save` raises."""
    if params.format == "auto":
        with translated():
            image = in_memory(image, task)
            fmt = fitting_format(image)
    else:
        fmt = choose_format(params.format, task.source.media_type)
    if task.source.media_type == "image/tiff" and params.metadata != "strip":
        image = _with_exif(image, pillow.tiff_exif(task.source.read()))
    return save(image, fmt, quality=params.quality, task=task, finish=Finish.of(params))


def _with_exif(image: pyvips.Image, exif: bytes) -> pyvips.Image:
    image = image.copy()
    if exif:
        image.set_type(pyvips.GValue.blob_type, "exif-data", exif)
    return image


# Saving ------------------------------------------------------------------------------------------------------------

_PLAIN = Finish()


def save(image: pyvips.Image, fmt: ImageFormat, *, quality: int, task: Task, finish: Finish = _PLAIN) -> Rendition:
    """Encodes an image, without metadata unless told; what is transparent gets the background where it must.

    Raises InvalidRequestError (too large for the format), TooManyPixelsError (for its encoder), ResultTooLargeError,
    CorruptMediaError and UnsupportedMediaTypeError (the source shows it now), ProcessingTimedOutError and Superseded.
    """
    form = _FORMATS[fmt]
    size = Size(image.width, image.get_page_height())
    _check_size(size, fmt, alpha=image.hasalpha() and form.has_alpha)
    with translated():
        if image.hasalpha() and not form.has_alpha:
            image = _flattened(image, finish.background)
        if not form.has_grey:
            image = coloured(image)
        image, keep = reduced(image, finish.metadata, gps=finish.gps, profile=finish.keep_profile and form.keeps)
        options = {**form.options, "keep": keep if form.keeps else "none"}
        if fmt == "jpeg":
            options["interlace"] = _interlaced(size, finish.progressive)
        encoder = _Encoder(fmt, size, options, task)
        steps = form.steps(quality, image.height > size.height)
        content = (
            encoder(image, steps[0]) if finish.max_bytes is None else encoder.within(image, steps, finish.max_bytes)
        )
    return Rendition(content, form.suffix, f"image/{fmt}", width_px=size.width, height_px=size.height)


def _check_size(size: Size, fmt: ImageFormat, *, alpha: bool) -> None:
    form = _FORMATS[fmt]
    if max(size) > form.max_side_px:
        raise InvalidRequestError(
            f"The result would have {size.width:,} x {size.height:,} pixels; "
            f"{fmt} holds at most {form.max_side_px:,} a side."
        )
    most = form.max_pixels_alpha if alpha else form.max_pixels
    if size.pixels > most:
        raise TooManyPixelsError(
            f"The result would have {size.width:,} x {size.height:,}, {size.pixels:,} pixels in all; at most {most:,} "
            f"are encoded as {fmt}{' with transparency' if alpha else ''}. Ask for a smaller one, or for jpeg or png."
        )


def _flattened(image: pyvips.Image, background: Colour) -> pyvips.Image:
    """On the background; a grey image becomes a coloured one where that is coloured."""
    ground = background.opaque
    if image.bands > 2:
        return image.flatten(background=ground)
    if len(set(ground)) == 1:
        return image.flatten(background=ground[:1])
    return coloured(image).flatten(background=ground)


def _interlaced(size: Size, asked: bool | None) -> bool:
    most = _PROGRESSIVE_PIXELS if asked is None else _MOST_PROGRESSIVE_PIXELS
    return asked is not False and size.pixels <= most


def _declared_transparent(webp: bytes) -> bytes:
    """An animation with the flag that it has alpha.

    libwebp leaves it out where each frame is stored as an opaque part of the canvas; the rest would look black.
    """
    flags_at, has_alpha = 20, 0x10
    if webp[12:16] != b"VP8X":
        return webp
    return webp[:flags_at] + bytes([webp[flags_at] | has_alpha]) + webp[flags_at + 1 :]


@dataclass
class _Encoder:
    """Encodes images in one format, as often as it takes."""

    fmt: ImageFormat
    size: Size
    options: Options
    task: Task
    done: float = 0.0

    def __call__(self, image: pyvips.Image, step: Options, *, end: float = 1.0) -> bytes:
        form, options = _FORMATS[self.fmt], {**self.options, **step}
        frames = image.height // self.size.height
        if self.fmt == "png" and frames > 1:
            return self._animated_png(image, options)
        if frames == 1 and self.size.pixels >= form.apart_pixels:
            encoded = encode_process.encoded(image, form.saver, options, self.task, start=self.done, end=end)
            self.done = end
            return encoded
        with watched(image, self.task, start=self.done, end=end):
            encoded = bytes(getattr(image, f"{form.saver}_buffer")(**options))
        self.done = end
        return _declared_transparent(encoded) if self.fmt == "webp" and frames > 1 and image.hasalpha() else encoded

    def within(self, image: pyvips.Image, steps: list[Options], most_bytes: int) -> bytes:
        """With the first of `steps` that results in at most so many bytes. Raises ResultTooLargeError."""
        image = in_memory(image, self.task)
        encoded = self(image, steps[0], end=0.3)
        if len(encoded) <= most_bytes:
            return encoded
        best = self(image, steps[-1], end=0.5)
        if len(best) > most_bytes:
            raise ResultTooLargeError(
                f"The result has {len(best):,} bytes at least in {self.fmt}; {most_bytes:,} were allowed. "
                "Ask for fewer pixels or another format."
            )
        too_large, fits = 0, len(steps) - 1
        while fits - too_large > 1:
            middle = (too_large + fits) // 2
            encoded = self(image, steps[middle], end=self.done + (1 - self.done) / 2)
            if len(encoded) <= most_bytes:
                best, fits = encoded, middle
            else:
                too_large = middle
        return best

    def _animated_png(self, image: pyvips.Image, options: Options) -> bytes:
        def encode(frame: pyvips.Image) -> bytes:
            self.task.remaining_s()
            return bytes(frame.pngsave_buffer(**options))

        return apng.encoded(in_memory(image, self.task), encode, self.task)
