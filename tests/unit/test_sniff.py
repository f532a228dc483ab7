"""The media type by the first bytes of a file, and its comparison with the declared type."""

import random

import pytest

from darkroom.contracts.base import MediaKind
from darkroom.errors import MediaTypeMismatchError
from darkroom.media import types
from darkroom.media.sniff import HEAD_BYTES, sniff_type
from darkroom.media.types import MEDIA_TYPES, check_declared_type
from tests.media.make_images import encode, photograph
from tests.support.videos import Clips

CLIPS = {
    "video.mp4": "video/mp4",
    "moov_at_end.mp4": "video/mp4",
    "audio_only.mp4": "video/mp4",
    "video.m4v": "video/mp4",
    "video.mov": "video/quicktime",
    "video.3gp": "video/3gpp",
    "video.mkv": "video/x-matroska",
    "video.webm": "video/webm",
    "video.avi": "video/x-msvideo",
    "video.ts": "video/mp2t",
    "video.m2ts": "video/mp2t",
    "video.mpg": "video/mpeg",
    "video.flv": "video/x-flv",
    "video.wmv": "video/x-ms-asf",
    "audio.m4a": "audio/mp4",
    "audio.mp3": "audio/mpeg",
    "audio_without_tag.mp3": "audio/mpeg",
    "audio.mp2": "audio/mpeg",
    "cover.mp3": "audio/mpeg",
    "audio.aac": "audio/aac",
    "audio.opus": "audio/ogg",
    "audio.ogg": "audio/ogg",
    "audio.flac": "audio/flac",
    "audio.wav": "audio/wav",
    "16.wav": "audio/wav",
    "audio.aiff": "audio/aiff",
}
IMAGES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}


def brands(major: bytes, *compatible: bytes) -> bytes:
    """The first box of an ISO media file."""
    content = b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)
    return (len(content) + 4).to_bytes(4) + content


def detected_name(head: bytes) -> str | None:
    detected = sniff_type(head)
    return detected.name if detected else None


@pytest.mark.parametrize(("clip", "name"), CLIPS.items())
def test_video_or_audio_is_detected_by_its_first_bytes(clips: Clips, clip: str, name: str) -> None:
    head = clips(clip).read_bytes()[:HEAD_BYTES]

    assert detected_name(head) == name
    assert MEDIA_TYPES[name].demuxer, "FFmpeg needs the demuxer to use"


@pytest.mark.parametrize(("fmt", "name"), IMAGES.items())
def test_image_is_detected_by_its_first_bytes(fmt: str, name: str) -> None:
    found = sniff_type(encode(photograph(), fmt)[:HEAD_BYTES])

    assert found == MEDIA_TYPES[name]
    assert found.kind is MediaKind.IMAGE
    assert found.demuxer is None, "FFmpeg opens no images"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (brands(b"heic", b"mif1", b"heic"), "image/heic"),
        (brands(b"mif1", b"mif1", b"heic"), "image/heic"),
        (brands(b"mif1", b"mif1", b"avif", b"miaf"), "image/avif"),
        (brands(b"avis", b"avis", b"msf1"), "image/avif"),
        (brands(b"mif1", b"mif1"), None),
        (brands(b"crx ", b"crx ", b"isom"), None),
        (brands(b"jxl ", b"jxl "), None),
        (brands(b"M4B ", b"M4A ", b"mp42"), "audio/mp4"),
        (brands(b"XAVC", b"XAVC", b"mp42"), "video/mp4"),
        (brands(b"NIKO", b"mp42"), "video/mp4"),
        (brands(b"3gp5", b"isom"), "video/3gpp"),
        (brands(b"what", b"ever"), None),
        (b"\0\0\0\x08wide\0\0\x10\0mdat", "video/quicktime"),
        (b"\0\x01\0\0moov\0\0\0\x6cmvhd", "video/quicktime"),
    ],
)
def test_iso_media_is_distinguished_by_brand(head: bytes, name: str | None) -> None:
    assert detected_name(head) == name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Once upon a time there was a text called holiday.jpg.\n" * 80,
        "Es war einmal: Füße, Äpfel, Öl.".encode("utf-16") * 60,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
        b"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'https://example.com'\n",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"PK\x03\x04\x14\0\0\0\x08\0",
        b"\x7fELF\x02\x01\x01\0",
        b"BMW and other makers of cars are listed below, in order." + b"\n" * 60,
        b"ID3 tags are explained in this text." + b"\n" * 40,
        b"RIFF" + b"\0\0\0\0" + b"sfbk",
        b"GIF88a",
        b"GGGG" * 1024 + b"H",
        b"abcdmoov and other words",
        b"OggS\0\x02" + b"\0" * 64,
        b"\x1a\x45\xdf\xa3" + b"\x42\x82\x84nope",
        b"\0" * HEAD_BYTES,
        b"\xff" * HEAD_BYTES,
    ],
)
def test_other_files_are_not_detected_as_media(text: bytes) -> None:
    assert sniff_type(text[:HEAD_BYTES]) is None


def test_random_bytes_are_not_detected_as_media() -> None:
    generator = random.Random(3)

    for start in (b"", b"\xff\xfb", b"\xff\xf1", b"G", b"ID3\x04\0\0\0\0\0\x0a", b"\0\0\0\x20ftyp"):
        found = {detected_name(start + generator.randbytes(HEAD_BYTES - len(start))) for _ in range(500)}
        assert found == {None}, start


def test_truncated_head_is_detected_or_unknown_but_never_an_error(clips: Clips) -> None:
    for name in CLIPS:
        head = clips(name).read_bytes()[:300]
        for length in range(len(head)):
            found = sniff_type(head[:length])
            assert found is None or found.name == CLIPS[name] or name.startswith(("video.m", "audio_only", "moov"))


@pytest.mark.parametrize(
    ("detected", "declared"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/jpeg", "IMAGE/JPG"),
        ("image/jpeg", "image/jpeg; charset=binary"),
        ("image/jpeg", "image/*"),
        ("image/jpeg", "*/*"),
        ("image/jpeg", None),
        ("image/jpeg", ""),
        ("image/jpeg", "application/octet-stream"),
        ("image/jpeg", "binary/octet-stream"),
        ("image/heic", "image/heif"),
        ("audio/wav", "audio/x-wav"),
        ("audio/mpeg", "audio/mp3"),
        ("video/mp4", "video/quicktime"),
        ("video/quicktime", "video/mp4"),
        ("video/mp4", "audio/mp4"),
        ("video/mp4", "audio/*"),
        ("audio/mp4", "audio/x-m4a"),
        ("audio/mp4", "video/mp4"),
        ("video/webm", "audio/webm"),
        ("video/x-matroska", "video/webm"),
        ("audio/ogg", "audio/opus"),
        ("audio/ogg", "video/ogg"),
        ("video/x-ms-asf", "audio/x-ms-wma"),
    ],
)
def test_equivalent_declared_type_is_accepted(detected: str, declared: str | None) -> None:
    check_declared_type(MEDIA_TYPES[detected], declared)


@pytest.mark.parametrize(
    ("detected", "declared"),
    [
        ("image/jpeg", "image/png"),
        ("image/jpeg", "video/*"),
        ("image/jpeg", "text/plain"),
        ("image/jpeg", "jpeg"),
        ("video/mp4", "video/webm"),
        ("video/mp4", "image/heic"),
        ("audio/mpeg", "audio/wav"),
        ("audio/wav", "video/x-msvideo"),
    ],
)
def test_contradicting_declared_type_is_refused_with_both_names(detected: str, declared: str) -> None:
    with pytest.raises(MediaTypeMismatchError) as caught:
        check_declared_type(MEDIA_TYPES[detected], declared)

    assert detected in caught.value.message
    assert declared in caught.value.message


def test_every_family_of_declared_names_has_a_supported_type() -> None:
    assert not [family for family in types._FAMILIES if family.isdisjoint(MEDIA_TYPES)]


def test_every_type_is_listed_under_its_name_and_only_images_have_no_demuxer() -> None:
    assert all(media.name == name for name, media in MEDIA_TYPES.items())
    assert all((media.demuxer is None) == (media.kind is MediaKind.IMAGE) for media in MEDIA_TYPES.values())
