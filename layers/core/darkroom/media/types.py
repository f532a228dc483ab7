"""The media types that Darkroom reads, and the names that uploads declare for them."""

from dataclasses import dataclass

from darkroom.contracts.base import MediaKind
from darkroom.errors import MediaTypeMismatchError


@dataclass(frozen=True)
class MediaType:
    """A media type that Darkroom reads.

    `demuxer` is the only one FFmpeg may use for it, and None for images, which FFmpeg never opens. `suffix` is the file
    name extension without the dot.
    """

    name: str
    kind: MediaKind
    demuxer: str | None
    suffix: str


def _types(kind: MediaKind, *rows: tuple[str, str | None, str]) -> dict[str, MediaType]:
    return {name: MediaType(name, kind, demuxer, suffix) for name, demuxer, suffix in rows}


#: Every type that `sniff_type` can return, by its name.
MEDIA_TYPES: dict[str, MediaType] = {
    **_types(
        MediaKind.IMAGE,
        ("image/jpeg", None, "jpg"),
        ("image/png", None, "png"),
        ("image/gif", None, "gif"),
        ("image/webp", None, "webp"),
        ("image/tiff", None, "tiff"),
        ("image/bmp", None, "bmp"),
        ("image/avif", None, "avif"),
        ("image/heic", None, "heic"),
    ),
    **_types(
        MediaKind.VIDEO,
        ("video/mp4", "mov", "mp4"),
        ("video/quicktime", "mov", "mov"),
        ("video/3gpp", "mov", "3gp"),
        ("video/x-matroska", "matroska", "mkv"),
        ("video/webm", "matroska", "webm"),
        ("video/x-msvideo", "avi", "avi"),
        ("video/mp2t", "mpegts", "ts"),
        ("video/mpeg", "mpeg", "mpg"),
        ("video/x-flv", "flv", "flv"),
        ("video/ogg", "ogg", "ogv"),
        ("video/x-ms-asf", "asf", "wmv"),
    ),
    **_types(
        MediaKind.AUDIO,
        ("audio/mp4", "mov", "m4a"),
        ("audio/mpeg", "mp3", "mp3"),
        ("audio/aac", "aac", "aac"),
        ("audio/ogg", "ogg", "ogg"),
        ("audio/flac", "flac", "flac"),
        ("audio/wav", "wav", "wav"),
        ("audio/aiff", "aiff", "aiff"),
        ("audio/amr", "amr", "amr"),
    ),
}

#: Declared types that carry no information.
_UNSPECIFIC = {"", "*/*", "application/octet-stream", "binary/octet-stream", "application/x-binary"}

#: Names that count as the same declaration: aliases, and containers that programs confuse. Each set has a name of
#: MEDIA_TYPES.
_FAMILIES: tuple[frozenset[str], ...] = (
    frozenset({"image/jpeg", "image/jpg", "image/pjpeg", "image/x-citrix-jpeg"}),
    frozenset({"image/png", "image/x-png", "image/apng", "image/vnd.mozilla.apng"}),
    frozenset({"image/tiff", "image/tif", "image/x-tiff", "image/x-tif"}),
    frozenset({"image/bmp", "image/x-bmp", "image/x-ms-bmp"}),
    frozenset({"image/avif", "image/avif-sequence", "image/heif"}),
    frozenset({"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"}),
    frozenset(
        {"video/mp4", "audio/mp4", "application/mp4", "video/quicktime", "video/x-m4v", "video/m4v", "video/x-mp4"}
        | {"audio/x-m4a", "audio/m4a", "audio/x-m4b", "audio/aac", "audio/mp4a-latm"}
        | {"video/3gpp", "audio/3gpp", "video/3gpp2", "audio/3gpp2", "video/3gp"}
    ),
    frozenset({"video/x-matroska", "audio/x-matroska", "video/matroska", "audio/matroska", "video/mkv", "video/x-mkv"})
    | {"video/webm", "audio/webm"},
    frozenset({"video/x-msvideo", "video/avi", "video/msvideo", "video/vnd.avi"}),
    frozenset({"video/mp2t", "video/vnd.dlna.mpeg-tts", "video/mts", "video/mpeg", "video/mp2p", "video/x-mpeg"}),
    frozenset({"video/x-flv", "video/flv"}),
    frozenset({"video/ogg", "audio/ogg", "application/ogg", "audio/opus", "audio/vorbis", "audio/x-vorbis+ogg"}),
    frozenset({"video/x-ms-asf", "video/x-ms-wmv", "audio/x-ms-wma", "application/vnd.ms-asf"}),
    frozenset({"audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3", "audio/x-mpeg-3", "audio/x-mpeg", "audio/mpg"}),
    frozenset({"audio/aac", "audio/x-aac", "audio/aacp", "audio/x-hx-aac-adts", "audio/vnd.dlna.adts"}),
    frozenset({"audio/flac", "audio/x-flac"}),
    frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav"}),
    frozenset({"audio/aiff", "audio/x-aiff"}),
    frozenset({"audio/amr", "audio/amr-wb", "audio/3gpp"}),
)


def is_supported_type(declared: str) -> bool:
    """Whether `declared`, in lower case and without parameters, names a type that `sniff_type` can return."""
    return declared in MEDIA_TYPES or any(declared in family for family in _FAMILIES)


def check_declared_type(detected: MediaType, declared: str | None) -> None:
    """Raises MediaTypeMismatchError if the type declared at upload contradicts the one detected from the bytes."""
    name = (declared or "").partition(";")[0].strip().lower()
    if name in _UNSPECIFIC:
        return
    related = {detected.name}.union(*(family for family in _FAMILIES if detected.name in family))
    group, _, detail = name.partition("/")
    if name in related or (detail == "*" and any(other.startswith(f"{group}/") for other in related)):
        return
    raise MediaTypeMismatchError(f"The upload was declared as {name[:64]}, but its content is {detected.name}.")
