"""Which metadata of a source goes into a result: EXIF, XMP, IPTC, and never the embedded preview."""

import io
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, IptcImagePlugin

from darkroom.contracts.image_params import ImageFormat, WatermarkParams
from darkroom.media.task import Rendition
from functions.watermark.app import watermark
from tests.media.make_images import encode, photograph
from tests.support.image_checks import content_of
from tests.support.resize import resize_rendition
from tests.support.sources import make_task

SECRET = b"serial number 4711"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    b' exif:GPSLatitude="48,12.5N" dc:format="image/jpeg"><exif:GPSLongitude>16,22.1E</exif:GPSLongitude>'
    b"<exif:GPSTimeStamp/></rdf:Description></rdf:RDF></x:xmpmeta>"
)
OVERLAY_ID = "01890000-0000-7000-8000-000000000000"
SOURCES = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]


@cache
def image_with_metadata(fmt: str) -> bytes:
    """An image with author, camera, time and position in its metadata."""
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Darkroom", 0x013B: "A. Painter", 0x8298: "(c) A. Painter"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 6.0)})
    exif.get_ifd(0x8769).update({0x9003: "2026:01:02 03:04:05", 0x927C: SECRET, 0xA434: "50mm"})
    options: dict[str, Any] = {} if fmt in ("TIFF", "PNG") else {"xmp": XMP}
    return encode(photograph(), fmt, exif=exif.tobytes(), quality=90, **options)


def metadata_of(rendition: Rendition) -> tuple[Image.Exif, bytes]:
    """EXIF and XMP of a result."""
    image = Image.open(io.BytesIO(content_of(rendition)))
    return image.getexif(), image.info.get("xmp", b"")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif", "gif"])
def test_no_metadata_is_kept_by_default(tmp_path: Path, source: str, fmt: ImageFormat) -> None:
    rendition = resize_rendition(image_with_metadata(source), tmp_path, format=fmt)
    exif, xmp = metadata_of(rendition)
    assert (dict(exif), xmp) == ({}, b"")
    assert b"Painter" not in content_of(rendition)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("gps", ["strip", "keep"])
def test_metadata_is_kept_on_request_except_the_position(
    tmp_path: Path, source: str, fmt: ImageFormat, gps: str
) -> None:
    rendition = resize_rendition(image_with_metadata(source), tmp_path, format=fmt, metadata="keep", gps=gps)
    exif, xmp = metadata_of(rendition)
    details = exif.get_ifd(0x8769)
    assert (exif[0x010F], exif[0x013B], exif[0x8298]) == ("Darkroom", "A. Painter", "(c) A. Painter")
    assert (details[0x9003], details[0xA434]) == ("2026:01:02 03:04:05", "50mm")
    assert exif[0x0112] == 1, "the orientation is applied"
    assert (details[0xA002], details[0xA003]) == (rendition.width_px, rendition.height_px)
    assert SECRET not in content_of(rendition)
    assert bool(exif.get_ifd(0x8825)) == (gps == "keep")
    if xmp:
        assert b"dc:format" in xmp
        assert (b"GPS" in xmp) == (gps == "keep")
    else:
        assert fmt == "png" or source in ("TIFF", "PNG")
    if gps == "keep":
        assert exif.get_ifd(0x8825)[2] == (48.0, 12.0, 30.0)
    else:
        assert b"GPS" not in content_of(rendition)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
def test_copyright_alone_can_be_kept(tmp_path: Path, source: str, fmt: ImageFormat) -> None:
    rendition = resize_rendition(image_with_metadata(source), tmp_path, format=fmt, metadata="copyright")
    exif, xmp = metadata_of(rendition)
    assert (exif[0x013B], exif[0x8298]) == ("A. Painter", "(c) A. Painter")
    assert 0x010F not in exif
    assert not exif.get_ifd(0x8825)
    assert 0x9003 not in exif.get_ifd(0x8769)
    assert xmp == b""
    assert SECRET not in content_of(rendition)


@pytest.mark.usefixtures("watermark_font")
def test_watermarked_image_keeps_its_metadata_except_the_position(tmp_path: Path) -> None:
    for source in SOURCES:
        (tmp_path / "source").write_bytes(image_with_metadata(source))
        params = WatermarkParams(text="©", metadata="keep", format="jpeg")
        (rendition,) = watermark(make_task(tmp_path / "source", tmp_path), params)
        exif, _ = metadata_of(rendition)
        assert exif[0x8298] == "(c) A. Painter", source
        assert not exif.get_ifd(0x8825), source
        assert b"GPS" not in content_of(rendition), source


def test_metadata_of_the_overlay_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
    (tmp_path / "overlay").write_bytes(image_with_metadata("JPEG"))
    params = WatermarkParams(image_file_id=OVERLAY_ID, metadata="keep", gps="keep", format="jpeg")
    task = make_task(tmp_path / "source", tmp_path, files={OVERLAY_ID: tmp_path / "overlay"})
    (rendition,) = watermark(task, params)
    exif, xmp = metadata_of(rendition)
    assert 0x8298 not in exif
    assert not exif.get_ifd(0x8825)
    assert xmp == b""


def test_embedded_preview_which_shows_the_cropped_parts_is_removed(tmp_path: Path) -> None:
    preview = encode(photograph("chelsea.png").resize((160, 106)), "JPEG", quality=50)
    content = _with_preview(encode(photograph(), "JPEG", quality=95), preview)
    assert preview in content
    rendition = resize_rendition(content, tmp_path, metadata="keep", crop={"width": 50, "height": 50})
    assert preview not in content_of(rendition)
    exif, _ = metadata_of(rendition)
    assert exif[0x010F] == "Darkroom"
    assert not exif.get_ifd(ExifTags.IFD.IFD1)


def _with_preview(jpeg: bytes, preview: bytes) -> bytes:
    """A JPEG with an EXIF block whose second directory holds a preview."""
    make = b"Darkroom\0"

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack(">HHII", tag, kind, count, value)

    first, second = 8, 8 + 2 + 12 + 4
    data = second + 2 + 36 + 4
    tiff = b"MM\0*" + first.to_bytes(4)
    tiff += (1).to_bytes(2) + entry(0x010F, 2, len(make), data) + second.to_bytes(4)
    tiff += (3).to_bytes(2) + entry(0x0103, 3, 1, 6 << 16) + entry(0x0201, 4, 1, data + len(make))
    tiff += entry(0x0202, 4, 1, len(preview)) + (0).to_bytes(4) + make + preview
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body + jpeg[2:]


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_xmp_is_filtered_in_every_format_that_carries_it(tmp_path: Path, fmt: str) -> None:
    xmp = XMP.replace(b"exif", b"e").replace(b"dc:format", b"Orientation='6' dc:format")
    rendition = resize_rendition(
        encode(photograph(), fmt, xmp=xmp, quality=90), tmp_path, metadata="keep", format="jpeg"
    )
    kept = metadata_of(rendition)[1]
    assert (b"dc:format" in kept) == (fmt != "TIFF")  # libvips does not read XMP of a TIFF
    assert b"GPS" not in kept
    assert b"Orientation" not in kept


def test_malformed_xmp_is_removed_and_the_image_is_not_refused(tmp_path: Path) -> None:
    for broken in (b"<e:GPSLatitude>1", b"<!DOCTYPE x><x/>", b"\xff" * 100):
        for gps in ("strip", "keep"):
            rendition = resize_rendition(encode(photograph(), "JPEG", xmp=broken), tmp_path, metadata="keep", gps=gps)
            assert metadata_of(rendition)[1] == b""


@pytest.mark.parametrize("order", ["main first", "extension first"])
@pytest.mark.parametrize("gps", ["strip", "keep"])
def test_extended_xmp_is_not_kept(tmp_path: Path, order: str, gps: str) -> None:
    guid = b"0123456789ABCDEF0123456789ABCDEF"
    main = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        b' xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="%s" dc:format="image/jpeg"/>' % guid
    )
    segments = [
        _app1(b"http://ns.adobe.com/xap/1.0/\0" + main),
        _app1(b"http://ns.adobe.com/xmp/extension/\0" + guid + struct.pack(">II", len(XMP), 0) + XMP),
    ]
    jpeg = encode(photograph(), "JPEG", quality=95)
    content = jpeg[:2] + b"".join(segments if order == "main first" else segments[::-1]) + jpeg[2:]
    rendition = resize_rendition(content, tmp_path, metadata="keep", gps=gps)
    assert guid not in content_of(rendition)
    assert b"GPS" not in content_of(rendition)


def _app1(body: bytes) -> bytes:
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body


def test_copies_of_xmp_and_photoshop_data_in_exif_are_removed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.update({0x010F: "Darkroom", 0x02BC: XMP, 0x8649: b"8BIM\x04\x22\0\0\0\0\0\x03GPS"})
    content = encode(photograph(), "JPEG", exif=exif.tobytes())
    assert content.count(b"GPS") > 1
    for gps in ("strip", "keep"):
        rendition = resize_rendition(content, tmp_path, metadata="keep", gps=gps)
        assert metadata_of(rendition)[0][0x010F] == "Darkroom"
        assert b"GPS" not in content_of(rendition)


IPTC = b"\x1c\x02\x74\0\x10(c) Photo Agency"


def test_only_iptc_of_a_photoshop_block_is_kept(tmp_path: Path) -> None:
    preview = encode(photograph("chelsea.png").resize((160, 106)), "JPEG", quality=50)
    parts = b"".join(
        b"8BIM" + kind.to_bytes(2) + name + len(body).to_bytes(4) + body + bytes(len(body) % 2)
        for kind, name, body in (
            (0x040C, b"\0\0", bytes(28) + preview),
            (0x0404, b"\4name\0", IPTC),
            (0x0422, b"\0\0", b"Exif: 48N"),
        )
    )
    body = b"Photoshop 3.0\0" + parts
    jpeg = encode(photograph(), "JPEG", quality=95)
    content = jpeg[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2) + body + jpeg[2:]
    rendition = resize_rendition(content, tmp_path, metadata="keep", crop={"width": 50, "height": 50})
    assert preview not in content_of(rendition)
    assert b"48N" not in content_of(rendition)
    result = Image.open(io.BytesIO(content_of(rendition)))
    assert IptcImagePlugin.getiptcinfo(result) == {(2, 116): b"(c) Photo Agency"}
    for cut in range(len(parts) - len(preview), len(parts), 3):
        resize_rendition(content.replace(parts, parts[:cut] + bytes(len(parts) - cut)), tmp_path, metadata="keep")


def test_iptc_of_a_tiff_is_readable_in_a_jpeg(tmp_path: Path) -> None:
    content = encode(photograph(), "TIFF", tiffinfo={33723: IPTC})
    rendition = resize_rendition(content, tmp_path, metadata="keep", format="jpeg")
    result = Image.open(io.BytesIO(content_of(rendition)))
    assert IptcImagePlugin.getiptcinfo(result) == {(2, 116): b"(c) Photo Agency"}


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + bytes(500)])
def test_damaged_metadata_is_dropped_and_the_image_is_not_refused(tmp_path: Path, broken: bytes) -> None:
    for fmt in ("JPEG", "WEBP", "PNG"):
        rendition = resize_rendition(encode(photograph(), fmt, exif=broken), tmp_path, metadata="keep", format="jpeg")
        assert 0x010F not in metadata_of(rendition)[0]


def test_tag_of_a_wrong_type_drops_the_metadata_and_the_image_is_not_refused(tmp_path: Path) -> None:
    latitude, hemisphere = b"\2\0\5\0\3\0\0\0", b"\3\0\2\0\2\0\0\0"
    content = image_with_metadata("TIFF")
    assert latitude in content
    content = content.replace(hemisphere, b"\2" + hemisphere[1:]).replace(latitude, b"\3" + latitude[1:])

    rendition = resize_rendition(content, tmp_path, metadata="keep", format="jpeg")

    assert not metadata_of(rendition)[0]
