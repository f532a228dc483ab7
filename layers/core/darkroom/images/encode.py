"""Encodes images: chooses the format, the metadata to keep and the encoder's options.

image = source.scale_to(Size(640, 480))
rendition = encode_image(image, "webp", quality=80, task=task)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyvips

from darkroom.contracts.image_params import ImageFormat, ImageParams, Metadata
from darkroom.errors import InvalidRequestError, ResultTooLargeError, TooManyPixelsError
from darkroom.images import apng, encode_process, pillow
from darkroom.images.auto_format import best_format
from darkroom.images.color import RgbaColor, convert_to_rgb, parse_color
from darkroom.images.metadata import filter_metadata
from darkroom.images.open import SourceImage, open_image
from darkroom.images.vips import copy_to_memory, map_vips_errors, track_progress
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task

#: Formats that hold animations.
_ANIMATED_FORMATS = frozenset({"gif", "webp", "png"})

#: Up to this size a progressive JPEG is smaller and displays sooner at no cost; larger ones take a third more time.
_PROGRESSIVE_PIXELS = 1_000_000

#: A progressive JPEG is assembled in memory, with 5 bytes per pixel. Larger images are never progressive.
_MAX_PROGRESSIVE_PIXELS = 100_000_000

_SaverOptions = dict[str, Any]


def _quality_steps(best: int, _animated: bool) -> list[_SaverOptions]:
    return [{"Q": quality} for quality in range(best, 0, -1)]


def _png_steps(_quality: int, animated: bool) -> list[_SaverOptions]:
    """Lossless, then with fewer and fewer colors; not for animations, whose frames share one color type."""
    lossless: list[_SaverOptions] = [{}, {"compression": 9}]
    if animated:
        return lossless
    palettes: list[_SaverOptions] = [{"bitdepth": 8, "Q": quality} for quality in (95, 80, 60, 40, 20, 5)]
    palettes += [{"bitdepth": depth, "dither": 0.0} for depth in (4, 2, 1)]
    return lossless + [{"palette": True, "compression": 9, **step} for step in palettes]


def _gif_steps(_quality: int, animated: bool) -> list[_SaverOptions]:
    # Dithering hides missing colors, but compresses badly when there are few.
    steps: list[_SaverOptions] = [{"bitdepth": depth, "dither": max(0.0, (depth - 4) / 4)} for depth in range(8, 0, -1)]
    if not animated:
        return steps
    return [steps[0]] + [{**step, "interframe_maxerror": 8, "interpalette_maxerror": 10} for step in steps]


@dataclass(frozen=True)
class _Format:
    """How a format is encoded. `max_side_px` is the limit of the format or of its encoder.

    A frame of `max_pixels`, or `max_pixels_alpha` with transparency, fits into the memory of a function while it is
    encoded. Images of `own_process_pixels` or more are encoded in a process of their own. `steps` returns the encoder's
    options from the best to the smallest result.
    """

    suffix: str
    saver: str
    max_side_px: int
    has_alpha: bool = True
    has_gray: bool = True
    options: _SaverOptions = field(default_factory=dict)
    steps: Callable[[int, bool], list[_SaverOptions]] = _quality_steps
    max_pixels: int = 2**31
    max_pixels_alpha: int = 2**31
    own_process_pixels: int = 2**31
    has_metadata: bool = True


#: AVIF's effort 2 takes a sixth of the time of the default 4 for 10 % more bytes; GIF's 5 takes half the time of 7.
#: Measured memory of the encoders in bytes per pixel: AVIF 20, with transparency 32; WebP 4, up to 34; GIF 10.
_FORMATS: dict[ImageFormat, _Format] = {
    "jpeg": _Format("jpg", "jpegsave", 65_500, has_alpha=False),
    "png": _Format("png", "pngsave", 2**31 - 1, steps=_png_steps),
    "webp": _Format(
        "webp", "webpsave", 16_383, has_gray=False, max_pixels_alpha=32_000_000, own_process_pixels=16_000_000
    ),
    "avif": _Format(
        "avif",
        "heifsave",
        16_384,
        has_gray=False,
        options={"compression": "av1", "effort": 2},
        max_pixels=50_000_000,
        max_pixels_alpha=36_000_000,
        own_process_pixels=1_000_000,
    ),
    "gif": _Format(
        "gif",
        "gifsave",
        65_535,
        options={"effort": 5},
        steps=_gif_steps,
        max_pixels=100_000_000,
        max_pixels_alpha=100_000_000,
        has_metadata=False,
    ),
}


@dataclass(frozen=True)
class EncodeOptions:
    """How an image is encoded, apart from its format and quality."""

    max_bytes: int | None = None
    progressive: bool | None = None
    background: RgbaColor = RgbaColor(255, 255, 255)  # noqa: RUF009 - it is immutable
    metadata: Metadata = "strip"
    gps: bool = False
    keep_profile: bool = False

    @classmethod
    def from_params(cls, params: ImageParams) -> "EncodeOptions":
        """The options that the parameters of an operation ask for."""
        return cls(
            max_bytes=params.max_bytes,
            progressive=params.progressive,
            background=parse_color(params.background),
            metadata=params.metadata,
            gps=params.gps == "keep",
            keep_profile=params.profile == "keep",
        )


def choose_format(requested: ImageFormat | None, media_type: str) -> ImageFormat:
    """The format of the result: the requested one, else that of the source if it can be encoded, else JPEG."""
    if requested is not None:
        return requested
    source_format = media_type.removeprefix("image/")
    return next((fmt for fmt in _FORMATS if fmt == source_format), "jpeg")


def open_source_image(task: Task, params: ImageParams) -> SourceImage:
    """Opens the task's source with as many frames as the result will have. Raises the errors of `open_image`."""
    fmt = params.format if params.format == "auto" else choose_format(params.format, task.source.media_type)
    frames = params.max_frames if fmt == "auto" or fmt in _ANIMATED_FORMATS else 1
    return open_image(
        task.source, task.limits, max_frames=frames, keep_profile=params.profile == "keep" and fmt != "gif"
    )


def encode_result(image: pyvips.Image, params: ImageParams, task: Task) -> Rendition:
    """Encodes the result of an operation as its parameters ask. Raises the errors of `encode_image`."""
    if params.format == "auto":
        with map_vips_errors():
            image = copy_to_memory(image, task)
            fmt = best_format(image)
    else:
        fmt = choose_format(params.format, task.source.media_type)
    if task.source.media_type == "image/tiff" and params.metadata != "strip":
        image = _with_exif(image, pillow.read_tiff_exif(task.source.read()))
    options = EncodeOptions.from_params(params)
    return encode_image(image, fmt, quality=params.quality, task=task, options=options)


def _with_exif(image: pyvips.Image, exif: bytes) -> pyvips.Image:
    image = image.copy()
    if exif:
        image.set_type(pyvips.GValue.blob_type, "exif-data", exif)
    return image


_DEFAULTS = EncodeOptions()


def encode_image(
    image: pyvips.Image, fmt: ImageFormat, *, quality: int, task: Task, options: EncodeOptions = _DEFAULTS
) -> Rendition:
    """Encodes an image, by default without metadata. Formats without transparency get the background color.

    Raises InvalidRequestError (too large for the format), TooManyPixelsError (too large for the encoder),
    ResultTooLargeError, ProcessingTimedOutError, Superseded, WorkerDiedError (the process that encodes), and, since the
    source is decoded only now, CorruptMediaError and UnsupportedMediaTypeError.
    """
    form = _FORMATS[fmt]
    size = Size(image.width, image.get_page_height())
    _check_size(size, fmt, alpha=image.hasalpha() and form.has_alpha)
    with map_vips_errors():
        if image.hasalpha() and not form.has_alpha:
            image = _flatten(image, options.background)
        if not form.has_gray:
            image = convert_to_rgb(image)
        keep_profile = options.keep_profile and form.has_metadata
        image, keep = filter_metadata(image, options.metadata, keep_gps=options.gps, keep_profile=keep_profile)
        saver_options = {**form.options, "keep": keep if form.has_metadata else "none"}
        if fmt == "jpeg":
            saver_options["interlace"] = _is_progressive(size, options.progressive)
        encoder = _Encoder(fmt, size, saver_options, task)
        steps = form.steps(quality, image.height > size.height)
        if options.max_bytes is None:
            content = encoder.encode(image, steps[0])
        else:
            content = encoder.encode_within(image, steps, options.max_bytes)
    return Rendition(content, form.suffix, f"image/{fmt}", width_px=size.width, height_px=size.height)


def _check_size(size: Size, fmt: ImageFormat, *, alpha: bool) -> None:
    form = _FORMATS[fmt]
    if max(size) > form.max_side_px:
        raise InvalidRequestError(
            f"The result would have {size.width:,} x {size.height:,} pixels; "
            f"{fmt} allows at most {form.max_side_px:,} per side."
        )
    limit = form.max_pixels_alpha if alpha else form.max_pixels
    if size.pixels > limit:
        raise TooManyPixelsError(
            f"The result would have {size.width:,} x {size.height:,}, {size.pixels:,} pixels in total; at most "
            f"{limit:,} can be encoded as {fmt}{' with transparency' if alpha else ''}. "
            "Request a smaller size, or jpeg or png."
        )


def _flatten(image: pyvips.Image, background: RgbaColor) -> pyvips.Image:
    """On the background; a gray image is converted to RGB if the background is not gray."""
    color = background.on_white
    if image.bands > 2:
        return image.flatten(background=color)
    if len(set(color)) == 1:
        return image.flatten(background=color[:1])
    return convert_to_rgb(image).flatten(background=color)


def _is_progressive(size: Size, requested: bool | None) -> bool:
    limit = _PROGRESSIVE_PIXELS if requested is None else _MAX_PROGRESSIVE_PIXELS
    return requested is not False and size.pixels <= limit


def _set_alpha_flag(webp: bytes) -> bytes:
    """Sets the flag for transparency of an animated WebP.

    libwebp leaves it out if each frame is stored as an opaque part of the canvas; the rest would be shown black.
    """
    flags_at, has_alpha = 20, 0x10
    if webp[12:16] != b"VP8X":
        return webp
    return webp[:flags_at] + bytes([webp[flags_at] | has_alpha]) + webp[flags_at + 1 :]


@dataclass
class _Encoder:
    """Encodes one image in one format, several times if its size in bytes is limited.

    `done` is the progress, from 0 to 1, after the last encoding.
    """

    fmt: ImageFormat
    size: Size
    options: _SaverOptions
    task: Task
    done: float = 0.0

    def encode(self, image: pyvips.Image, step: _SaverOptions, *, end: float = 1.0) -> bytes:
        """Encodes with the options of one step; reports progress up to `end`."""
        form, options = _FORMATS[self.fmt], {**self.options, **step}
        frames = image.height // self.size.height
        if self.fmt == "png" and frames > 1:
            return self._encode_apng(image, options)
        if frames == 1 and self.size.pixels >= form.own_process_pixels:
            encoded = encode_process.encode_in_process(image, form.saver, options, self.task, start=self.done, end=end)
            self.done = end
            return encoded
        with track_progress(image, self.task, start=self.done, end=end):
            encoded = bytes(getattr(image, f"{form.saver}_buffer")(**options))
        self.done = end
        return _set_alpha_flag(encoded) if self.fmt == "webp" and frames > 1 and image.hasalpha() else encoded

    def encode_within(self, image: pyvips.Image, steps: list[_SaverOptions], max_bytes: int) -> bytes:
        """Encodes with the first of `steps` that results in at most `max_bytes`. Raises ResultTooLargeError."""
        image = copy_to_memory(image, self.task)
        encoded = self.encode(image, steps[0], end=0.3)
        if len(encoded) <= max_bytes:
            return encoded
        best = self.encode(image, steps[-1], end=0.5)
        if len(best) > max_bytes:
            raise ResultTooLargeError(
                f"The smallest possible {self.fmt} has {len(best):,} bytes; at most {max_bytes:,} are allowed. "
                "Request fewer pixels or another format."
            )
        too_large, fits = 0, len(steps) - 1
        while fits - too_large > 1:
            middle = (too_large + fits) // 2
            encoded = self.encode(image, steps[middle], end=self.done + (1 - self.done) / 2)
            if len(encoded) <= max_bytes:
                best, fits = encoded, middle
            else:
                too_large = middle
        return best

    def _encode_apng(self, image: pyvips.Image, options: _SaverOptions) -> bytes:
        def encode_frame(frame: pyvips.Image) -> bytes:
            self.task.remaining_s()
            return bytes(frame.pngsave_buffer(**options))

        return apng.encode_apng(copy_to_memory(image, self.task), encode_frame, self.task)
