"""Opens images with libvips: limits are checked before decoding; results are upright, in sRGB, with 8 bits per channel.

    source = open_image(task.source, task.limits)
    image = source.scale_to(Size(640, 480))

libvips is lazy, so damage in a file may be detected only when the image is encoded. An animation is one tall image with
its frames stacked vertically; its metadata field `page-height` is the height of a frame.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pyvips

from darkroom.contracts.image_params import MAX_FRAMES
from darkroom.errors import (
    CorruptMediaError,
    EmptyFileError,
    FileTooLargeError,
    TooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.images import apng, pillow
from darkroom.images.color import convert_for_display
from darkroom.images.limits import check_decoded_whole, check_pixel_count
from darkroom.images.vips import animation_strip, copy_to_memory, map_frames, map_vips_errors, set_up, split_frames
from darkroom.media.geometry import SIDEWAYS_ORIENTATIONS, Box, Size, stored_box
from darkroom.media.task import Limits, Source, Task

#: Largest file that is read as an image. It stays in memory while its pixels are processed.
MAX_FILE_BYTES = 256 * 1024 * 1024

#: libvips' loaders by media type. They read from a Source, which refers to the file's bytes; pyvips copies a buffer.
_LOADERS = {
    "image/jpeg": "jpegload_source",
    "image/png": "pngload_source",
    "image/webp": "webpload_source",
    "image/gif": "gifload_source",
    "image/tiff": "tiffload_source",
    "image/avif": "heifload_source",
}
_AVIF, _BMP, _GIF = "image/avif", "image/bmp", "image/gif"
_HEIC, _PNG, _TIFF = "image/heic", "image/png", "image/tiff"
_READABLE = (*_LOADERS, _BMP, _HEIC)

#: Longest side, in pixels. libvips keeps hundreds of whole rows in memory, however long they are.
_MAX_SIDE_PX = 100_000

#: Colors, alpha, spot colors and masks; each takes the same amount of memory.
_MAX_CHANNELS = 12

#: Media types of which libvips reads all frames.
_ANIMATED_TYPES = frozenset({_GIF, "image/webp"})


@dataclass(frozen=True)
class SourceImage:
    """An image whose header has been read and is within the limits. Its pixels are decoded on demand.

    `size` is that of one upright frame; `frames` is 1 unless an animation was requested and found. `content` is the
    file, which the loader can decode at a smaller size with `options`; empty where only `header` has the pixels.
    """

    size: Size
    frames: int
    limits: Limits
    content: bytes = field(repr=False)
    header: pyvips.Image = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    keep_profile: bool = False

    def scale_to(self, size: Size) -> pyvips.Image:
        """The image at exactly `size`, decoded no larger than needed. Raises TooManyPixelsError."""
        check_pixel_count(size, self.frames, self.limits.pixels, "The result")
        with map_vips_errors():
            return convert_for_display(self._thumbnail(size), keep_profile=self.keep_profile)

    def crop_to(self, box: Box, task: Task) -> "SourceImage":
        """A part of the upright image."""
        with map_vips_errors():
            if self.frames > 1:
                header = map_frames(self.header, lambda frame: frame.crop(*box), task)
            else:
                header = self.header.crop(*stored_box(box, self.size, exif_orientation(self.header)))
        return replace(self, size=box.size, header=header, content=b"")

    def full_size(self, task: Task, *, in_memory: bool) -> pyvips.Image:
        """The image at its own size. A still image is in memory if `in_memory` is set or it has to be rotated.

        Anything else can be read only once, from top to bottom.
        """
        with map_vips_errors():
            image = convert_for_display(self.header, keep_profile=self.keep_profile)
            if self.frames > 1 or (not in_memory and exif_orientation(image) == 1):
                return image
            return copy_to_memory(image, task).autorot()

    def _thumbnail(self, size: Size) -> pyvips.Image:
        target = {"height": size.height, "size": "force", "no_rotate": self.frames > 1}
        shrink = self._shrink(size)
        if not self.content or shrink > 1 or self.header.interpretation == "cmyk":
            image = self._load(shrink=shrink) if shrink > 1 else self.header
            # CMYK is converted first: thumbnail_source loses its dark tones.
            image = convert_for_display(image) if image.interpretation == "cmyk" else image
            return image.thumbnail_image(size.width, **target)
        # thumbnail_source accepts fail_on but ignores it (libvips issue 5195); the loader's own option works.
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        source = _source(self.content)
        image = pyvips.Image.thumbnail_source(source, size.width, **target, option_string=f"[{options}]")
        image._references.append(source)  # pyvips keeps the bytes alive for new_from_source only
        return image

    def _load(self, **options: Any) -> pyvips.Image:
        return pyvips.Image.new_from_source(_source(self.content), "", access="sequential", **self.options, **options)

    def _shrink(self, size: Size) -> int:
        """The factor by which libjpeg shrinks a JPEG while decoding: 8 or 4 if the result is that much smaller, else 1.

        A factor of 2 saves too little for what it costs in sharpness.
        """
        if not self.content or self.header.get("vips-loader") != _LOADERS["image/jpeg"]:
            return 1
        room = min(self.size.width / size.width, self.size.height / size.height)
        return next((factor for factor in (8, 4) if factor <= room), 1)


def open_image(
    source: Source, limits: Limits, *, max_frames: int | None = 1, keep_profile: bool = False
) -> SourceImage:
    """Reads the header of an image. `max_frames` is how many frames of an animation are used; None means all.

    Raises WrongMediaKindError, UnsupportedMediaTypeError, EmptyFileError, FileTooLargeError, TooManyPixelsError,
    TooLongError (too many frames), CorruptMediaError and WorkerDiedError (the process that decodes HEIC).
    """
    set_up()
    media_type = source.media_type
    _check_type(media_type)
    content = _read_content(source)
    decoded = _decode_by_pillow(content, media_type, limits, max_frames)
    if decoded is not None:
        return _source_image(_upright(decoded, limits), limits, keep_profile)
    options: dict[str, Any] = {"fail_on": "error"}
    header = _read_header(content, media_type, options)
    if media_type == _PNG and max_frames != 1:
        frames = _frames_to_use(apng.count_apng_frames(content), max_frames)
        if frames > 1:
            strip = apng.open_apng(content, header, frames, limits)
            return _source_image(_upright(strip, limits), limits, keep_profile)
    if media_type in _ANIMATED_TYPES and max_frames != 1:
        # Not get_n_pages(), which returns 1 if there are more than 10,000.
        available = int(header.get("n-pages")) if header.get_typeof("n-pages") else 1
        options["n"] = _frames_to_use(available, max_frames)
        check_pixel_count(Size(header.width, header.get_page_height()), options["n"], limits.pixels, "The image")
        header = _read_header(content, media_type, options)
    _check_sides(header)
    upright = _upright(header, limits)
    image = _source_image(upright, limits, keep_profile)
    _check_gif(media_type, content)
    # The frames in the file are not rotated, so it cannot be decoded again.
    return replace(image, content=content, options=options) if upright is header else image


def read_header(source: Source, limits: Limits) -> tuple[bytes, pyvips.Image | pillow.ImageHeader]:
    """The content of an image file and its header, read by libvips or by Pillow. Frames are not counted.

    Raises the same errors as `open_image` except TooLongError.
    """
    set_up()
    _check_type(source.media_type)
    content = _read_content(source)
    if source.media_type == _BMP:
        return content, pillow.read_bmp_header(content, limits)
    if source.media_type == _HEIC:
        return content, pillow.read_heic_header(content, limits)
    if source.media_type == _TIFF and (image := pillow.decode_lab_or_ycbcr_tiff(content, limits)) is not None:
        return content, image
    if source.media_type == _AVIF and pillow.is_animated_avif(content):
        return content, pillow.decode_animated_avif(content, 1, limits)
    header = _read_header(content, source.media_type, {"fail_on": "error"})
    _check_sides(header)
    check_pixel_count(Size(header.width, header.get_page_height()), 1, limits.pixels, "The image")
    _check_gif(source.media_type, content)
    return content, header


def _decode_by_pillow(content: bytes, media_type: str, limits: Limits, max_frames: int | None) -> pyvips.Image | None:
    """The image if libvips does not read it, else None."""
    if media_type == _BMP:
        return pillow.decode_bmp(content, limits)
    if media_type == _HEIC:
        return pillow.decode_heic(content, limits)
    if media_type == _TIFF:
        return pillow.decode_lab_or_ycbcr_tiff(content, limits)
    if media_type == _AVIF and pillow.is_animated_avif(content):
        frames = _frames_to_use(pillow.count_avif_frames(content), max_frames)
        return pillow.decode_animated_avif(content, frames, limits)
    return None


def _source(content: bytes) -> pyvips.Source:
    return pyvips.Source.new_from_memory(content)


def exif_orientation(image: pyvips.Image) -> int:
    """The EXIF orientation; 1 if there is none."""
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _check_type(media_type: str) -> None:
    if media_type in _READABLE:
        return
    if not media_type.startswith("image/"):
        raise WrongMediaKindError(f"The file is {media_type}, not an image.")
    readable = ", ".join(sorted(name.removeprefix("image/").upper() for name in _READABLE))
    raise UnsupportedMediaTypeError(f"Images of type {media_type} are not supported. Supported types: {readable}.")


def _read_content(source: Source) -> bytes:
    if source.size_bytes == 0:
        raise EmptyFileError("The file is empty.")
    if source.size_bytes > MAX_FILE_BYTES:
        raise FileTooLargeError(
            f"The image has {source.size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are allowed for an image."
        )
    return source.read()


def _read_header(content: bytes, media_type: str, options: dict[str, Any]) -> pyvips.Image:
    with map_vips_errors():
        header = pyvips.Image.new_from_source(_source(content), "", access="sequential", **options)
    if header.get("vips-loader") != _LOADERS[media_type]:
        raise UnsupportedMediaTypeError(f"The file begins like {media_type} but is not a valid image of that type.")
    if header.bands > _MAX_CHANNELS:
        raise UnsupportedMediaTypeError(f"The image has {header.bands} channels; at most {_MAX_CHANNELS} are allowed.")
    return header


def _check_sides(header: pyvips.Image) -> None:
    width, height = header.width, header.get_page_height()
    if max(width, height) > _MAX_SIDE_PX:
        raise TooManyPixelsError(
            f"The image has {width:,} x {height:,} pixels; a side may have at most {_MAX_SIDE_PX:,}."
        )


def _frames_to_use(available: int, max_frames: int | None) -> int:
    """How many frames of an animation are decoded. Raises TooLongError if there are too many and no limit was given."""
    if max_frames is not None:
        return min(available, max_frames)
    if available > MAX_FRAMES:
        raise TooLongError(
            f"The animation has {available:,} frames; at most {MAX_FRAMES:,} are decoded. "
            "Set max_frames to use only the first ones."
        )
    return available


def _upright(header: pyvips.Image, limits: Limits) -> pyvips.Image:
    """An animation with each frame rotated by its EXIF orientation; libvips would rotate the strip as a whole."""
    size = Size(header.width, header.get_page_height())
    if header.height == size.height or exif_orientation(header) == 1:
        return header
    check_decoded_whole(size, header.height // size.height, limits)
    with map_vips_errors():
        return animation_strip([frame.autorot() for frame in split_frames(header.copy_memory())])


def _source_image(header: pyvips.Image, limits: Limits, keep_profile: bool) -> SourceImage:
    """The image with this header. Raises TooManyPixelsError."""
    size = Size(header.width, header.get_page_height())
    frames = header.height // size.height
    if frames == 1 and exif_orientation(header) in SIDEWAYS_ORIENTATIONS:
        size = Size(size.height, size.width)
    check_pixel_count(size, frames, limits.pixels, "The image")
    return SourceImage(size, frames, limits, b"", header, {}, keep_profile)


def _check_gif(media_type: str, content: bytes) -> None:
    if media_type == _GIF and not _is_whole_gif(content):
        raise CorruptMediaError("The image is damaged or truncated (its last frames are missing).")


def _is_whole_gif(content: bytes) -> bool:
    """Whether no block of a GIF is truncated. libvips only reads fewer frames of an animation that is."""
    separator, extension, trailer = 0x2C, 0x21, 0x3B
    try:
        at = 13 + _color_table_bytes(content[10])
        while at < len(content):
            block = content[at]
            if block == separator:
                at += 11 + _color_table_bytes(content[at + 9])
            elif block == extension:
                at += 2
            else:
                return block == trailer
            while content[at]:
                at += 1 + content[at]
            at += 1
    except IndexError:
        return False
    return True  # only the trailer is missing


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** (1 + (flags & 7)) if flags & 0x80 else 0
