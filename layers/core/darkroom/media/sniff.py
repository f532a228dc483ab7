"""What a file is, by its first bytes: never by its name and never by what the upload declared.

Only formats with a signature that text cannot have by accident are known here. Playlists, SVG and other scripts are
not, on purpose: they make a decoder open further files. The kind is a first guess for containers that may hold sound
alone (MP4, Matroska, Ogg ...): they count as video until they are probed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from darkroom.contracts.base import MediaKind
from darkroom.errors import MediaTypeMismatchError

#: How many bytes of a file `sniff` wants to see.
HEAD_BYTES = 4096


@dataclass(frozen=True)
class MediaType:
    """A media type Darkroom reads: its name, its kind, the demuxer FFmpeg is pinned to, its file name ending.

    `demuxer` is None for pictures, which FFmpeg never sees; `suffix` comes without a dot.
    """

    name: str
    kind: MediaKind
    demuxer: str | None
    suffix: str


def _known(kind: MediaKind, *rows: tuple[str, str | None, str]) -> dict[str, MediaType]:
    return {name: MediaType(name, kind, demuxer, suffix) for name, demuxer, suffix in rows}


#: Every type `sniff` can name, by that name.
MEDIA_TYPES: dict[str, MediaType] = {
    **_known(
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
    **_known(
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
    **_known(
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


def sniff(head: bytes) -> MediaType | None:
    """The type of the file that begins with `head` (its first `HEAD_BYTES`, or all of it), None when it is unknown."""
    for recognise in _RECOGNISERS:
        name = recognise(head)
        if name is not None:
            return MEDIA_TYPES[name]
    return None


# Fixed signatures --------------------------------------------------------------------------------------------------

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0\x08\0\0\0", "image/tiff"),
    (b"MM\0+\0\x08\0\0", "image/tiff"),
    (b"fLaC\0", "audio/flac"),
    (b"#!AMR\n", "audio/amr"),
    (b"#!AMR-WB\n", "audio/amr"),
    (_ASF_HEADER, "video/x-ms-asf"),
)

#: Chunked formats: (id of the outer chunk, its form type) at offsets 0 and 8.
_FORMS: dict[tuple[bytes, bytes], str] = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"RF64", b"WAVE"): "audio/wav",
    (b"RIFF", b"AVI "): "video/x-msvideo",
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}


def _signature(head: bytes) -> str | None:
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)


def _form(head: bytes) -> str | None:
    return _FORMS.get((head[:4], head[8:12]))


_BMP_INFO_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)


def _bmp(head: bytes) -> str | None:
    fits = head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_INFO_SIZES
    return "image/bmp" if fits else None


# ISO base media: MP4 and its relations -----------------------------------------------------------------------------

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"F4A ", b"F4B "}
_VIDEO_BRANDS = {b"isom", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"f4v ", b"F4V "}
_VIDEO_BRANDS |= {b"iso" + bytes([digit]) for digit in b"23456789"} | {b"mmp4", b"XAVC", b"cmfc", b"cmf2", b"av01"}

#: Not films, though they may claim to be compatible with one: Canon's raw photos.
_OTHER_BRANDS = {b"crx "}

#: What the first box of a QuickTime film from before `ftyp` can be.
_OLD_QUICKTIME_BOXES = {b"moov", b"mdat", b"wide", b"pnot"}


def _iso_base_media(head: bytes) -> str | None:
    size, box = int.from_bytes(head[:4]), head[4:8]
    if box == b"ftyp" and size >= 16:
        brands = [head[8:12]] + [head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4)]
        return _by_brands(brands[0], set(brands))
    if box in _OLD_QUICKTIME_BOXES and (size <= 1 or size >= 8) and not head[:4].isalnum():
        return "video/quicktime"
    return None


def _by_brands(major: bytes, brands: set[bytes]) -> str | None:
    """The major brand decides; where it is a maker's own or just says "still", the compatible ones do."""
    if major in _AVIF_BRANDS | _STILL_BRANDS and brands & _AVIF_BRANDS:
        return "image/avif"
    if major in _HEIC_BRANDS | _STILL_BRANDS:
        return "image/heic" if brands & _HEIC_BRANDS else None
    if major in _AUDIO_BRANDS:
        return "audio/mp4"
    if major == b"qt  ":
        return "video/quicktime"
    if major[:3] in (b"3gp", b"3g2", b"3gr", b"3ge", b"3gs"):
        return "video/3gpp"
    if major in _OTHER_BRANDS:
        return None
    return "video/mp4" if brands & _VIDEO_BRANDS else None


# Other containers --------------------------------------------------------------------------------------------------

_EBML = b"\x1a\x45\xdf\xa3"
_EBML_DOCTYPE = b"\x42\x82"


def _matroska(head: bytes) -> str | None:
    if not head.startswith(_EBML):
        return None
    if _EBML_DOCTYPE + b"\x84webm" in head:
        return "video/webm"
    return "video/x-matroska" if _EBML_DOCTYPE + b"\x88matroska" in head else None


_TS_SYNC = 0x47
_TS_LEAST_PACKETS = 3


def _mpeg_ts(head: bytes) -> str | None:
    """Packets of 188 bytes, or of 192 with a time code before each (Blu-ray, AVCHD)."""
    for first, length in ((0, 188), (4, 192)):
        packets = [head[at : at + 4] for at in range(first, len(head) - 3, length)]
        if len(packets) >= _TS_LEAST_PACKETS and all(map(_is_ts_header, packets)):
            return "video/mp2t"
    return None


def _is_ts_header(packet: bytes) -> bool:
    """Whether a packet begins so: in step, sent without error, with payload or an adaptation field."""
    return packet[0] == _TS_SYNC and not packet[1] & 0x80 and packet[3] & 0x30 != 0


def _mpeg_ps(head: bytes) -> str | None:
    if not head.startswith(b"\0\0\x01\xba") or len(head) < 5:
        return None
    mpeg_2, mpeg_1 = head[4] & 0xC4 == 0x44, head[4] & 0xF1 == 0x21
    return "video/mpeg" if mpeg_2 or mpeg_1 else None


def _flv(head: bytes) -> str | None:
    fits = head.startswith(b"FLV\x01") and head[4:5] in (b"\1", b"\4", b"\5") and head[5:9] == b"\0\0\0\x09"
    return "video/x-flv" if fits else None


_OGG_SOUND = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")


def _ogg(head: bytes) -> str | None:
    """All streams begin, with a page each, before the first one goes on; Theora among them makes it a video."""
    if not head.startswith(b"OggS\0"):
        return None
    if b"\x80theora" in head:
        return "video/ogg"
    return "audio/ogg" if any(mark in head for mark in _OGG_SOUND) else None


# Bare sound frames: MP3 and AAC ------------------------------------------------------------------------------------

_ID3_HEADER_BYTES = 10

#: kbit/s by (MPEG 1?, layer) and bit-rate index; index 0 ("free") and 15 are refused. Layer 1 is missing: nobody uses
#: it, and the mark at the beginning of UTF-16 text looks like it.
_BIT_RATES = {
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class _Frame:
    """A frame's length in bytes, and what all frames of one stream have in common."""

    length: int
    common: tuple[int, ...]


def _mp3_frame(head: bytes, at: int) -> _Frame | None:
    header = int.from_bytes(head[at : at + 4])
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bit_rate, sample_rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer not in (2, 3) or bit_rate in (0, 15) or sample_rate == 3:
        return None
    bits_per_s = _BIT_RATES[version == 3, layer][bit_rate - 1] * 1000
    samples_per_s = _SAMPLE_RATES[version][sample_rate]
    factor = 72 if layer == 3 and version != 3 else 144
    return _Frame(factor * bits_per_s // samples_per_s + padding, (version, layer, sample_rate))


def _adts_frame(head: bytes, at: int) -> _Frame | None:
    header = int.from_bytes(head[at : at + 7])
    sample_rate, length = header >> 34 & 15, header >> 13 & 0x1FFF
    if header >> 44 != 0xFFF or header >> 41 & 3 or sample_rate > 12 or length < 8:
        return None
    return _Frame(length, (header >> 40 & 0xF, header >> 38 & 3, sample_rate))


def _is_chain(head: bytes, at: int, frame_at: Callable[[bytes, int], _Frame | None]) -> bool:
    """Whether frames of one stream follow each other from `at` to the end of `head`, at least two of them."""
    count, common = 0, None
    while at + 7 <= len(head):
        frame = frame_at(head, at)
        if frame is None or (common is not None and frame.common != common):
            break
        common = frame.common
        count += 1
        at += frame.length
    return count >= 2 and (at + 7 > len(head) or count >= 3)


def _frames(head: bytes) -> str | None:
    """Sound without a container, after its ID3 tag where it has one."""
    start = _id3_length(head)
    if start >= len(head) > 0:
        return "audio/mpeg"  # the tag (its cover picture) fills all we see; other formats hardly carry one
    if start and head.startswith(b"fLaC\0", start):
        return "audio/flac"
    for at in _candidates(head, start):
        if _is_chain(head, at, _adts_frame):
            return "audio/aac"
        if _is_chain(head, at, _mp3_frame):
            return "audio/mpeg"
    return None


def _candidates(head: bytes, start: int) -> Iterator[int]:
    """Where the first frame may begin: at the very start, or, behind a tag and its padding, a little later."""
    yield start
    if start:
        at = head.find(b"\xff", start)
        while at >= 0:
            yield at
            at = head.find(b"\xff", at + 1)


def _id3_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag at the start, 0 when there is none."""
    size = head[6:10]
    if len(size) < 4 or not head.startswith(b"ID3") or head[3] not in (2, 3, 4) or max(size) >= 0x80:
        return 0
    length = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
    footer = _ID3_HEADER_BYTES if head[5] & 0x10 else 0
    return _ID3_HEADER_BYTES + length + footer


_RECOGNISERS: tuple[Callable[[bytes], str | None], ...] = (
    _signature,
    _form,
    _iso_base_media,
    _matroska,
    _ogg,
    _mpeg_ts,
    _mpeg_ps,
    _flv,
    _bmp,
    _frames,
)


# What the upload declared ------------------------------------------------------------------------------------------

#: Declared types that say nothing.
_UNDECLARED = {"", "*/*", "application/octet-stream", "binary/octet-stream", "application/x-binary"}

#: Names that do not contradict each other: aliases, and containers that programs confuse.
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


def reads(declared: str) -> bool:
    """Whether `declared`, in lower case and without parameters, is a name of a type that `sniff` can find."""
    families = (family for family in _FAMILIES if not family.isdisjoint(MEDIA_TYPES))
    return declared in MEDIA_TYPES or any(declared in family for family in families)


def check_declared(found: MediaType, declared: str | None) -> None:
    """Raises MediaTypeMismatchError when the upload's declared type contradicts what its bytes say."""
    name = (declared or "").partition(";")[0].strip().lower()
    if name in _UNDECLARED:
        return
    related = {found.name}.union(*(family for family in _FAMILIES if found.name in family))
    group, _, detail = name.partition("/")
    if name in related or (detail == "*" and any(other.startswith(f"{group}/") for other in related)):
        return
    raise MediaTypeMismatchError(f"The upload was declared as {name[:64]}, but its bytes are {found.name}.")
