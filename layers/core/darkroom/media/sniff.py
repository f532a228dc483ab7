"""Detects the type of a file by its first bytes, never by its name or by what the upload declared.

Only formats whose signature cannot occur in text by accident are detected. Playlists, SVG and other scripts are not, on
purpose: they make a decoder open further files. For containers that may hold only audio (MP4, Matroska, Ogg ...) the
kind is a first guess: they count as video until they are probed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from darkroom.media.types import MEDIA_TYPES, MediaType

#: Number of leading bytes of a file that `sniff_type` needs.
HEAD_BYTES = 4096


def sniff_type(head: bytes) -> MediaType | None:
    """Returns the type of a file from its first `HEAD_BYTES` (or all of it), None if it is unknown."""
    for detect in _DETECTORS:
        name = detect(head)
        if name is not None:
            return MEDIA_TYPES[name]
    return None


# Fixed signatures ----------------------------------------------------------------------------------------------------

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


# ISO base media: MP4, QuickTime, AVIF, HEIC --------------------------------------------------------------------------

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"F4A ", b"F4B "}
_VIDEO_BRANDS = {b"isom", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"f4v ", b"F4V "}
_VIDEO_BRANDS |= {b"iso" + bytes([digit]) for digit in b"23456789"} | {b"mmp4", b"XAVC", b"cmfc", b"cmf2", b"av01"}

#: Not videos, although they may list a video brand as compatible: Canon's raw photos.
_OTHER_BRANDS = {b"crx "}

#: First boxes of a QuickTime file from before `ftyp` existed.
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
    """The major brand decides. If it is vendor-specific or only means "still image", the compatible brands decide."""
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


# Other containers ----------------------------------------------------------------------------------------------------

_EBML = b"\x1a\x45\xdf\xa3"
_EBML_DOCTYPE = b"\x42\x82"


def _matroska(head: bytes) -> str | None:
    if not head.startswith(_EBML):
        return None
    if _EBML_DOCTYPE + b"\x84webm" in head:
        return "video/webm"
    return "video/x-matroska" if _EBML_DOCTYPE + b"\x88matroska" in head else None


_TS_SYNC = 0x47
_TS_MIN_PACKETS = 3


def _mpeg_ts(head: bytes) -> str | None:
    """Packets of 188 bytes, or of 192 with a timestamp before each (Blu-ray, AVCHD)."""
    for first, length in ((0, 188), (4, 192)):
        packets = [head[at : at + 4] for at in range(first, len(head) - 3, length)]
        if len(packets) >= _TS_MIN_PACKETS and all(map(_is_ts_header, packets)):
            return "video/mp2t"
    return None


def _is_ts_header(packet: bytes) -> bool:
    """Whether these 4 bytes have the sync byte, no transport error, and payload or an adaptation field."""
    return packet[0] == _TS_SYNC and not packet[1] & 0x80 and packet[3] & 0x30 != 0


def _mpeg_ps(head: bytes) -> str | None:
    if not head.startswith(b"\0\0\x01\xba") or len(head) < 5:
        return None
    mpeg_2, mpeg_1 = head[4] & 0xC4 == 0x44, head[4] & 0xF1 == 0x21
    return "video/mpeg" if mpeg_2 or mpeg_1 else None


def _flv(head: bytes) -> str | None:
    fits = head.startswith(b"FLV\x01") and head[4:5] in (b"\1", b"\4", b"\5") and head[5:9] == b"\0\0\0\x09"
    return "video/x-flv" if fits else None


_OGG_AUDIO = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")


def _ogg(head: bytes) -> str | None:
    """The first pages are the headers of all streams, one page each; Theora among them makes it a video."""
    if not head.startswith(b"OggS\0"):
        return None
    if b"\x80theora" in head:
        return "video/ogg"
    return "audio/ogg" if any(mark in head for mark in _OGG_AUDIO) else None


# Audio frames without a container: MP3 and AAC -----------------------------------------------------------------------

_ID3_HEADER_BYTES = 10

#: kbit/s by (is MPEG 1, layer) and bit-rate index; index 0 ("free") and 15 are refused. Layer 1 is left out: it is not
#: in use, and the byte order mark of UTF-16 text looks like it.
_BIT_RATES = {
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class _Frame:
    """A frame's length in bytes, and the header fields that all frames of a stream share."""

    length: int
    shared: tuple[int, ...]


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
    """Whether two or more frames of one stream follow each other from `at` to the end of `head`."""
    count, shared = 0, None
    while at + 7 <= len(head):
        frame = frame_at(head, at)
        if frame is None or (shared is not None and frame.shared != shared):
            break
        shared = frame.shared
        count += 1
        at += frame.length
    return count >= 2 and (at + 7 > len(head) or count >= 3)


def _bare_audio(head: bytes) -> str | None:
    """Audio without a container, which may begin with an ID3 tag."""
    start = _id3_length(head)
    if start >= len(head) > 0:
        return "audio/mpeg"  # the tag with its cover art fills the whole head; other formats rarely carry one
    if start and head.startswith(b"fLaC\0", start):
        return "audio/flac"
    for at in _frame_starts(head, start):
        if _is_chain(head, at, _adts_frame):
            return "audio/aac"
        if _is_chain(head, at, _mp3_frame):
            return "audio/mpeg"
    return None


def _frame_starts(head: bytes, start: int) -> Iterator[int]:
    """Offsets at which the first frame may begin: at `start`, or after the padding of an ID3 tag."""
    yield start
    if start:
        at = head.find(b"\xff", start)
        while at >= 0:
            yield at
            at = head.find(b"\xff", at + 1)


def _id3_length(head: bytes) -> int:
    """Length of the ID3v2 tag at the start in bytes; 0 if there is none."""
    size = head[6:10]
    if len(size) < 4 or not head.startswith(b"ID3") or head[3] not in (2, 3, 4) or max(size) >= 0x80:
        return 0
    length = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
    footer = _ID3_HEADER_BYTES if head[5] & 0x10 else 0
    return _ID3_HEADER_BYTES + length + footer


_DETECTORS: tuple[Callable[[bytes], str | None], ...] = (
    _signature,
    _form,
    _iso_base_media,
    _matroska,
    _ogg,
    _mpeg_ts,
    _mpeg_ps,
    _flv,
    _bmp,
    _bare_audio,
)
