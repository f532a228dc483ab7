"""Describes an image from its header, without decoding it, in the same shape as ffprobe describes a video."""

import re
from dataclasses import dataclass
from typing import Any

import pyvips

from darkroom.av.probe import MAX_TAG_LENGTH, Probe, Stream
from darkroom.images import apng, pillow
from darkroom.images.icc import profile_name
from darkroom.images.open import exif_orientation, read_header
from darkroom.images.pillow import ImageHeader
from darkroom.media.geometry import SIDEWAYS_ORIENTATIONS, Size
from darkroom.media.task import Limits, Source

#: Names of the container and the codec, by media type.
_NAMES = {
    "image/jpeg": ("JPEG", "jpeg"),
    "image/png": ("PNG", "png"),
    "image/gif": ("GIF", "gif"),
    "image/webp": ("WebP", "webp"),
    "image/tiff": ("TIFF", "tiff"),
    "image/bmp": ("BMP", "bmp"),
    "image/avif": ("AVIF", "av1"),
    "image/heic": ("HEIC", "hevc"),
}

#: Color spaces by the names that libvips and Pillow use.
_GRAY_MODES, _CMYK_MODES = {"b-w", "grey16", "L", "LA", "1"}, {"cmyk", "CMYK"}

_BITS = {"uchar": 8, "char": 8, "ushort": 16, "short": 16, "uint": 32, "int": 32, "float": 32, "double": 64}

#: Degrees clockwise from the stored to the upright image, by EXIF orientation; 2, 4, 5 and 7 are mirrored as well.
_ROTATIONS = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}

#: EXIF's format of a time, with the offset from UTC where the camera knew it.
_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)([+-]\d\d:\d\d)?.*")


@dataclass(frozen=True)
class ImageFacts:
    """An image as a file with one stream of the kind `image`, and what only images have.

    `orientation` is that of EXIF, 1 to 8; `plays` is how often an animation plays, 0 for endlessly, None for a still
    image.
    """

    found: Probe
    orientation: int
    alpha: bool
    icc_profile: str | None
    plays: int | None


def read_image_facts(source: Source, limits: Limits) -> ImageFacts:
    """Describes an image. Raises the same errors as `read_header`."""
    content, header = read_header(source, limits)
    if isinstance(header, ImageHeader):
        return _from_pillow(source, header)
    frames, duration_s, plays = _read_animation(content, header, source.media_type)
    orientation = exif_orientation(header)
    stored = Size(header.width, header.get_page_height())
    stream = _build_stream(
        source.media_type,
        stored,
        Size(stored.height, stored.width) if orientation in SIDEWAYS_ORIENTATIONS else stored,
        rotation_degrees=_ROTATIONS.get(orientation, 0),
        frame_count=frames,
        duration_s=duration_s,
        frame_rate=round(frames / duration_s, 3) if frames and duration_s else None,
        bit_depth=_read_int(header, "bits-per-sample") or _BITS.get(header.format),
        color_space=_color_space(header.interpretation),
    )
    profile = bytes(header.get("icc-profile-data")) if header.get_typeof("icc-profile-data") else b""
    found = _build_probe(source, stream, _read_exif(content, header, source.media_type))
    return ImageFacts(found, orientation, bool(header.hasalpha()), profile_name(profile), plays)


def _from_pillow(source: Source, header: ImageHeader) -> ImageFacts:
    stream = _build_stream(
        source.media_type,
        header.size,
        header.size,
        frame_count=1,
        bit_depth=header.bit_depth,
        color_space=_color_space(header.mode),
    )
    alpha = header.mode in ("LA", "RGBA", "PA")
    return ImageFacts(_build_probe(source, stream, header.exif), 1, alpha, profile_name(header.profile), None)


def _read_animation(
    content: bytes, header: pyvips.Image, media_type: str
) -> tuple[int | None, float | None, int | None]:
    """The number of frames, the seconds that they take together, and how often they play."""
    if media_type == "image/png":
        frames = apng.count_apng_frames(content)
        delays_s, plays = apng.read_apng_timing(content) if frames > 1 else ([], 0)
        # A default image that is not one of the frames has no duration.
        return (frames, round(sum(delays_s), 6) or None, plays) if frames > 1 else (1, None, None)
    if media_type == "image/avif":
        return (pillow.count_avif_frames(content) if pillow.is_animated_avif(content) else 1), None, None
    frames = (_read_int(header, "n-pages") or 1) if media_type in ("image/gif", "image/webp") else 1
    if frames == 1:
        return 1, None, None
    delays_ms = list(header.get("delay")) if header.get_typeof("delay") else []
    return frames, sum(delays_ms) / 1000 or None, _read_int(header, "loop") or 0


def _read_exif(content: bytes, header: pyvips.Image, media_type: str) -> bytes:
    if header.get_typeof("exif-data"):
        return bytes(header.get("exif-data"))
    return pillow.read_tiff_exif(content) if media_type == "image/tiff" else b""


def _read_int(header: pyvips.Image, name: str) -> int | None:
    return int(header.get(name)) if header.get_typeof(name) else None


def _color_space(name: str) -> str:
    return (
        "gray" if name in _GRAY_MODES else "cmyk" if name in _CMYK_MODES else "lab" if name.startswith("lab") else "rgb"
    )


def _build_stream(media_type: str, stored: Size, displayed: Size, **details: Any) -> Stream:
    known: dict[str, Any] = {"profile": None, "bit_rate_bps": None, "duration_s": None, "start_s": None, **details}
    return Stream(
        index=0,
        kind="image",
        codec=_NAMES[media_type][1],
        language=None,
        default=True,
        forced=False,
        attached_picture=False,
        tags={},
        coded_width_px=stored.width,
        coded_height_px=stored.height,
        width_px=displayed.width,
        height_px=displayed.height,
        **known,
    )


def _build_probe(source: Source, stream: Stream, exif: bytes) -> Probe:
    tags = {name: value[:MAX_TAG_LENGTH] for name, value in pillow.read_exif_tags(exif).items()} if exif else {}
    taken = _TIME.fullmatch(tags.pop("creation_time", ""))
    if taken and taken[1] != "0000":
        tags = {"creation_time": f"{taken[1]}-{taken[2]}-{taken[3]}T{taken[4]}{taken[5] or ''}", **tags}
    return Probe(
        format_name=_NAMES[source.media_type][0],
        duration_s=stream.duration_s,
        bit_rate_bps=None,
        size_bytes=source.size_bytes,
        streams=(stream,),
        chapters=(),
        tags=tags,
    )
