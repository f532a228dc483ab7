"""Pictures in, by libvips: limits before decoding, upright, in sRGB with 8 bits a channel.

    picture = open_picture(task.source, task.limits)
    image = picture.scaled(Size(640, 480))

libvips computes when a result is asked for, so damage in a file may only show when the image is saved. An animation is
one tall image with its frames below each other; its metadata `page-height` is the height of one.
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
from darkroom.images.color import displayable
from darkroom.images.pillow import check_pixels
from darkroom.images.vips import each_frame, film, frames_of, in_memory, set_up, translated
from darkroom.media.geometry import SIDEWAYS_ORIENTATIONS, Box, Size, stored_box
from darkroom.media.task import Limits, Source, Task

#: Largest file that is read as a picture. It is held in memory beside what is made of it.
MAX_FILE_BYTES = 256 * 1024 * 1024

#: libvips' loader by media type. They read from a Source, which refers to the file's bytes; pyvips copies a buffer.
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
_MOST_SIDE_PX = 100_000

#: Colours, alpha, spot colours and masks; each takes as much memory as any other.
_MOST_CHANNELS = 12

#: Media types of which libvips reads all frames.
_ANIMATED_TYPES = frozenset({_GIF, "image/webp"})


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
    keep_profile: bool = False

    def scaled(self, size: Size) -> pyvips.Image:
        """The picture at exactly `size`, decoded no larger than needed. Raises TooManyPixelsError."""
        check_pixels(size, self.frames, self.limits.pixels, "The result")
        with translated():
            return displayable(self._thumbnail(size), keep_profile=self.keep_profile)

    def part(self, box: Box, task: Task) -> "Picture":
        """A part of the upright picture, as a picture of its own."""
        with translated():
            if self.frames > 1:
                header = each_frame(self.header, lambda frame: frame.crop(*box), task)
            else:
                header = self.header.crop(*stored_box(box, self.size, orientation(self.header)))
        return replace(self, size=box.size, header=header, content=b"")

    def whole(self, task: Task, *, held: bool) -> pyvips.Image:
        """The picture at its own size: decoded into memory when `held`, else to be read once from top to bottom.

        A still picture that has to be turned is held in any case.
        """
        with translated():
            image = displayable(self.header, keep_profile=self.keep_profile)
            if self.frames > 1 or (not held and orientation(image) == 1):
                return image
            return in_memory(image, task).autorot()

    def _thumbnail(self, size: Size) -> pyvips.Image:
        target = {"height": size.height, "size": "force", "no_rotate": self.frames > 1}
        shrink = self._shrink(size)
        if not self.content or shrink > 1 or self.header.interpretation == "cmyk":
            image = self._opened(shrink=shrink) if shrink > 1 else self.header
            # CMYK is converted first: thumbnail_source loses its dark tones.
            image = displayable(image) if image.interpretation == "cmyk" else image
            return image.thumbnail_image(size.width, **target)
        # thumbnail_source accepts fail_on and ignores it (libvips issue 5195); the loader's own option works.
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        source = _source(self.content)
        image = pyvips.Image.thumbnail_source(source, size.width, **target, option_string=f"[{options}]")
        image._references.append(source)  # pyvips keeps the bytes alive for new_from_source only
        return image

    def _opened(self, **options: Any) -> pyvips.Image:
        return pyvips.Image.new_from_source(_source(self.content), "", access="sequential", **self.options, **options)

    def _shrink(self, size: Size) -> int:
        """How many times smaller a JPEG is decoded: what remains to be scaled is at least a little, and below 2 times.

        By 2 it gains too little for what it costs in sharpness.
        """
        if not self.content or self.header.get("vips-loader") != _LOADERS["image/jpeg"]:
            return 1
        room = min(self.size.width / size.width, self.size.height / size.height)
        return next((factor for factor in (8, 4) if factor <= room), 1)


def open_picture(source: Source, limits: Limits, *, most_frames: int | None = 1, keep_profile: bool = False) -> Picture:
    """Reads a picture's header. `most_frames` is how many of an animation's frames count; None for all there are.

    Raises WrongMediaKindError, UnsupportedMediaTypeError, EmptyFileError, FileTooLargeError, TooManyPixelsError,
    TooLongError (too many frames) and CorruptMediaError.
    """
    set_up()
    media_type = source.media_type
    _check_type(media_type)
    content = _content(source)
    if media_type == _BMP:
        return _measured(pillow.bitmap(content, limits), limits, keep_profile)
    if media_type == _HEIC:
        return _measured(pillow.heic(content, limits), limits, keep_profile)
    if media_type == _TIFF and (image := pillow.tiff(content, limits)) is not None:
        return _measured(image, limits, keep_profile)
    if media_type == _AVIF and pillow.is_avif_film(content):
        frames = _counted(pillow.avif_frames(content), most_frames)
        return _measured(_upright(pillow.avif_film(content, frames, limits), limits), limits, keep_profile)
    options: dict[str, Any] = {"fail_on": "error"}
    header = _header(content, media_type, options)
    if media_type == _PNG and most_frames != 1 and (frames := _counted(apng.frame_count(content), most_frames)) > 1:
        return _measured(_upright(apng.opened(content, header, frames, limits), limits), limits, keep_profile)
    if media_type in _ANIMATED_TYPES and most_frames != 1:
        # Not get_n_pages(), which says 1 where there are more than 10,000.
        there = int(header.get("n-pages")) if header.get_typeof("n-pages") else 1
        options["n"] = _counted(there, most_frames)
        check_pixels(Size(header.width, header.get_page_height()), options["n"], limits.pixels, "The picture")
        header = _header(content, media_type, options)
    _check_sides(header)
    upright = _upright(header, limits)
    picture = _measured(upright, limits, keep_profile)
    _check_gif(media_type, content)
    # In the file itself the frames are not turned.
    return replace(picture, content=content, options=options) if upright is header else picture


def read_header(source: Source, limits: Limits) -> tuple[bytes, pyvips.Image | pillow.Header]:
    """A picture's file, and what it says before it is decoded, by libvips or by Pillow. Its frames are not counted.

    Raises as `open_picture` does, apart from TooLongError.
    """
    set_up()
    _check_type(source.media_type)
    content = _content(source)
    if source.media_type == _BMP:
        return content, pillow.bitmap_header(content, limits)
    if source.media_type == _HEIC:
        return content, pillow.heic_header(content, limits)
    if source.media_type == _TIFF and (image := pillow.tiff(content, limits)) is not None:
        return content, image
    if source.media_type == _AVIF and pillow.is_avif_film(content):
        return content, pillow.avif_film(content, 1, limits)
    header = _header(content, source.media_type, {"fail_on": "error"})
    _check_sides(header)
    check_pixels(Size(header.width, header.get_page_height()), 1, limits.pixels, "The picture")
    _check_gif(source.media_type, content)
    return content, header


def _source(content: bytes) -> pyvips.Source:
    return pyvips.Source.new_from_memory(content)


def orientation(image: pyvips.Image) -> int:
    """The EXIF orientation, 1 where there is none."""
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _check_type(media_type: str) -> None:
    if media_type in _READABLE:
        return
    if not media_type.startswith("image/"):
        raise WrongMediaKindError(f"The file is {media_type}, not a picture.")
    readable = ", ".join(sorted(name.removeprefix("image/").upper() for name in _READABLE))
    raise UnsupportedMediaTypeError(f"Pictures of type {media_type} cannot be read. Send one of: {readable}.")


def _content(source: Source) -> bytes:
    if source.size_bytes == 0:
        raise EmptyFileError("The file is empty.")
    if source.size_bytes > MAX_FILE_BYTES:
        raise FileTooLargeError(
            f"The picture has {source.size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are read as a picture."
        )
    return source.read()


def _header(content: bytes, media_type: str, options: dict[str, Any]) -> pyvips.Image:
    with translated():
        header = pyvips.Image.new_from_source(_source(content), "", access="sequential", **options)
    if header.get("vips-loader") != _LOADERS[media_type]:
        raise UnsupportedMediaTypeError(f"The file begins as {media_type}, but it is not a picture of that type.")
    if header.bands > _MOST_CHANNELS:
        raise UnsupportedMediaTypeError(f"The picture has {header.bands} channels; at most {_MOST_CHANNELS} are read.")
    return header


def _check_sides(header: pyvips.Image) -> None:
    width, height = header.width, header.get_page_height()
    if max(width, height) > _MOST_SIDE_PX:
        raise TooManyPixelsError(
            f"The picture has {width:,} x {height:,} pixels; a side may have at most {_MOST_SIDE_PX:,}."
        )


def _counted(there: int, most: int | None) -> int:
    """How many frames of an animation count. Raises TooLongError when there are too many and nobody said which."""
    if most is not None:
        return min(there, most)
    if there > MAX_FRAMES:
        raise TooLongError(
            f"The animation has {there:,} frames; at most {MAX_FRAMES:,} are decoded. max_frames takes the first ones."
        )
    return there


def _upright(header: pyvips.Image, limits: Limits) -> pyvips.Image:
    """An animation with its frames turned as EXIF says; libvips would turn the strip of them as one picture."""
    size = Size(header.width, header.get_page_height())
    if header.height == size.height or orientation(header) == 1:
        return header
    check_pixels(size, header.height // size.height, min(limits.pixels, pillow.MAX_PIXELS), "The picture")
    with translated():
        return film([frame.autorot() for frame in frames_of(header.copy_memory())])


def _measured(header: pyvips.Image, limits: Limits, keep_profile: bool) -> Picture:
    """The picture behind a header, its upright size within the limit."""
    size = Size(header.width, header.get_page_height())
    frames = header.height // size.height
    if frames == 1 and orientation(header) in SIDEWAYS_ORIENTATIONS:
        size = Size(size.height, size.width)
    check_pixels(size, frames, limits.pixels, "The picture")
    return Picture(size, frames, limits, b"", header, {}, keep_profile)


def _check_gif(media_type: str, content: bytes) -> None:
    if media_type == _GIF and not _is_whole_gif(content):
        raise CorruptMediaError("The picture is damaged or cut short (its last frames are missing).")


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
