"""How results are written: format by content, size in bytes, background, metadata, profile, limits of the encoders."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageCms, ImageDraw, IptcImagePlugin

from darkroom.contracts.image_params import ImageFormat, ResizeParams, WatermarkParams
from darkroom.errors import ResultTooLargeError, TooManyPixelsError
from darkroom.images import encode as encoding
from darkroom.images.color import RgbaColor, parse_color
from darkroom.images.encode import EncodeOptions, encode_image
from darkroom.images.open import open_image
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition
from functions.resize.app import resize
from functions.watermark.app import watermark
from tests.image_checks import mean_difference, open_result
from tests.media.make_images import (
    MEDIA,
    add_alpha,
    animation_frames,
    convert_profile,
    encode,
    encode_animation,
    gray_profile,
    icc_profile,
    large_photo,
    photograph,
)
from tests.sources import make_task

FORMATS: list[ImageFormat] = ["jpeg", "png", "webp", "avif", "gif"]


def made(content: bytes, folder: Path, **params: Any) -> Rendition:
    (folder / "source").write_bytes(content)
    (rendition,) = resize(make_task(folder / "source", folder), ResizeParams.model_validate({"width": 300, **params}))
    return rendition


def resized(content: bytes, folder: Path, **params: Any) -> Image.Image:
    return open_result(made(content, folder, **params))


def size_of(rendition: Rendition) -> int:
    assert isinstance(rendition.content, bytes)
    return len(rendition.content)


# Size in bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_result_is_never_larger_than_allowed(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(photograph(), "PNG")
    free = made(content, tmp_path, format=fmt, quality=90)
    best = mean_difference(open_result(free), photograph().resize((300, 200), Image.Resampling.LANCZOS))
    for part in (1.0, 0.8, 0.5, 0.3):
        most = int(size_of(free) * part)
        fitted = made(content, tmp_path, format=fmt, quality=90, max_bytes=most)
        assert size_of(fitted) <= most
        assert (
            best <= mean_difference(open_result(fitted), photograph().resize((300, 200), Image.Resampling.LANCZOS)) < 25
        )
    assert fitted.width_px == 300


@pytest.mark.parametrize("fmt", ["jpeg", "webp", "avif"])
def test_the_size_that_is_allowed_is_used(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(photograph(), "PNG")
    most = size_of(made(content, tmp_path, format=fmt, quality=90)) // 2
    # One step of quality is a few per cent of the bytes.
    assert size_of(made(content, tmp_path, format=fmt, quality=90, max_bytes=most)) > 0.9 * most


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_result_that_fits_anyway_is_the_one_asked_for(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode(photograph(), "PNG")
    free = made(content, tmp_path, format=fmt, quality=70)
    assert made(content, tmp_path, format=fmt, quality=70, max_bytes=size_of(free)) == free


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_size_that_cannot_be_met_is_an_error_with_the_best_that_can(tmp_path: Path, fmt: ImageFormat) -> None:
    with pytest.raises(ResultTooLargeError, match=r"at most 100 are allowed"):
        made(encode(photograph(), "PNG"), tmp_path, format=fmt, max_bytes=100)


@pytest.mark.parametrize("fmt", ["gif", "webp", "png"])
def test_an_animation_fits_as_a_whole_or_is_refused(tmp_path: Path, fmt: ImageFormat) -> None:
    content = encode_animation("GIF", animation_frames())
    free = size_of(made(content, tmp_path, width=100, format=fmt, quality=90))
    if fmt == "png":
        with pytest.raises(ResultTooLargeError):
            made(content, tmp_path, width=100, format=fmt, max_bytes=free // 2)
        return
    fitted = made(content, tmp_path, width=100, format=fmt, quality=90, max_bytes=free * 2 // 3)
    assert size_of(fitted) <= free * 2 // 3
    assert getattr(open_result(fitted), "n_frames", 1) == 4


# Format by content -------------------------------------------------------------------------------------------------


def screenshot() -> Image.Image:
    """Boxes and letters on a plain ground, as a program shows them."""
    image = Image.new("RGB", (800, 600), "#f4f4f4")
    draw = ImageDraw.Draw(image)
    for row in range(12):
        draw.rectangle((40, 40 + 45 * row, 400 + 20 * row, 70 + 45 * row), fill="#3060a0", outline="black")
        draw.text((50, 45 + 45 * row), "The quick brown fox jumps over the lazy dog", fill="white")
    return image


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encode(photograph("coffee.png"), "PNG"), "AVIF"),
        (encode(photograph("chelsea.png"), "JPEG"), "AVIF"),
        (encode(photograph("rocket.jpg"), "WEBP"), "AVIF"),
        (encode(photograph().convert("L"), "JPEG"), "AVIF"),
        (encode(add_alpha(photograph()), "PNG"), "WEBP"),
        (encode(photograph().convert("RGBA"), "PNG"), "AVIF"),
        (encode(screenshot(), "PNG"), "PNG"),
        (encode(screenshot(), "JPEG", quality=95), "PNG"),
        (encode(Image.new("RGB", (10, 10), "red"), "GIF"), "PNG"),
        (encode_animation("GIF", animation_frames()), "WEBP"),
        (encode_animation("PNG", animation_frames()), "WEBP"),
    ],
)
def test_the_format_goes_by_what_is_in_the_picture(tmp_path: Path, content: bytes, expected: str) -> None:
    assert resized(content, tmp_path, format="auto").format == expected


def test_a_large_photograph_is_a_jpeg_because_avif_takes_too_long(tmp_path: Path) -> None:
    content = encode(large_photo(2400, 1800), "JPEG")
    assert resized(content, tmp_path, width=2400, format="auto").format == "JPEG"
    assert resized(content, tmp_path, width=1200, format="auto").format == "AVIF"


def test_one_pixel_has_a_format_too(tmp_path: Path) -> None:
    assert resized(encode(Image.new("RGB", (1, 5)), "PNG"), tmp_path, format="auto").size == (1, 5)


# JPEG --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "asked", "expected"), [
    (300, None, True), (300, False, False), (300, True, True), (1600, None, False), (1600, True, True),
])  # fmt: skip
def test_a_jpeg_is_progressive_when_asked_or_small(
    tmp_path: Path, width: int, asked: bool | None, expected: bool
) -> None:
    result = resized(encode(large_photo(1600, 1200), "JPEG"), tmp_path, width=width, progressive=asked, format="jpeg")
    assert ("progressive" in result.info) == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("background", ["white", "black", "#20c040", "#F80", "#20c04080", "transparent"])
def test_transparent_parts_get_the_background_in_a_jpeg(tmp_path: Path, mode: str, background: str) -> None:
    image = Image.new("RGBA", (60, 60), (90, 90, 90, 255))
    image.paste((0, 0, 0, 0), (0, 0, 30, 60))
    content = encode(image.convert(mode), "PNG", **({"transparency": 0} if mode == "P" else {}))
    if mode == "P":
        content = encode(image, "GIF")
    pixel = resized(content, tmp_path, width=60, format="jpeg", background=background, quality=100).convert("RGB")
    expected = parse_color(background).on_white
    assert all(abs(one - other) <= 4 for one, other in zip(pixel.getpixel((10, 30)), expected, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("white", RgbaColor(255, 255, 255)),
        ("black", RgbaColor(0, 0, 0)),
        ("transparent", RgbaColor(0, 0, 0, 0)),
        ("#1aF", RgbaColor(0x11, 0xAA, 0xFF)),
        ("#1aF8", RgbaColor(0x11, 0xAA, 0xFF, 0x88)),
        ("#102030", RgbaColor(16, 32, 48)),
        ("#10203040", RgbaColor(16, 32, 48, 64)),
    ],
)
def test_a_colour_is_read_as_browsers_do(text: str, color: RgbaColor) -> None:
    assert parse_color(text) == color


# Metadata ----------------------------------------------------------------------------------------------------------

SECRET = b"serial number 4711"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    b' exif:GPSLatitude="48,12.5N" dc:format="image/jpeg"><exif:GPSLongitude>16,22.1E</exif:GPSLongitude>'
    b"<exif:GPSTimeStamp/></rdf:Description></rdf:RDF></x:xmpmeta>"
)
MARK_ID = "01890000-0000-7000-8000-000000000000"
EVERY = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]


@cache
def documented(fmt: str) -> bytes:
    """A picture that says who made it, with what, when and where."""
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Darkroom", 0x013B: "A. Painter", 0x8298: "(c) A. Painter"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 6.0)})
    exif.get_ifd(0x8769).update({0x9003: "2026:01:02 03:04:05", 0x927C: SECRET, 0xA434: "50mm"})
    options: dict[str, Any] = {} if fmt in ("TIFF", "PNG") else {"xmp": XMP}
    return encode(photograph(), fmt, exif=exif.tobytes(), quality=90, **options)


def told(rendition: Rendition) -> tuple[Image.Exif, bytes]:
    """EXIF and XMP of a result."""
    assert isinstance(rendition.content, bytes)
    image = Image.open(io.BytesIO(rendition.content))
    return image.getexif(), image.info.get("xmp", b"")


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("fmt", FORMATS)
def test_nothing_is_told_unless_asked(tmp_path: Path, source: str, fmt: ImageFormat) -> None:
    rendition = made(documented(source), tmp_path, format=fmt)
    exif, xmp = told(rendition)
    assert (dict(exif), xmp) == ({}, b"")
    assert rendition.content.find(b"Painter") < 0  # type: ignore[union-attr]


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("gps", ["strip", "keep"])
def test_everything_but_the_position_is_kept_on_request(
    tmp_path: Path, source: str, fmt: ImageFormat, gps: str
) -> None:
    rendition = made(documented(source), tmp_path, format=fmt, metadata="keep", gps=gps)
    exif, xmp = told(rendition)
    details = exif.get_ifd(0x8769)
    assert (exif[0x010F], exif[0x013B], exif[0x8298]) == ("Darkroom", "A. Painter", "(c) A. Painter")
    assert (details[0x9003], details[0xA434]) == ("2026:01:02 03:04:05", "50mm")
    assert exif[0x0112] == 1, "the orientation was applied"
    assert (details[0xA002], details[0xA003]) == (rendition.width_px, rendition.height_px)
    assert SECRET not in rendition.content  # type: ignore[operator]
    assert bool(exif.get_ifd(0x8825)) == (gps == "keep")
    if xmp:
        assert b"dc:format" in xmp
        assert (b"GPS" in xmp) == (gps == "keep")
    else:
        assert fmt == "png" or source in ("TIFF", "PNG")
    if gps == "keep":
        assert exif.get_ifd(0x8825)[2] == (48.0, 12.0, 30.0)
    else:
        assert b"GPS" not in rendition.content  # type: ignore[operator]


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
def test_only_the_rights_can_be_kept(tmp_path: Path, source: str, fmt: ImageFormat) -> None:
    rendition = made(documented(source), tmp_path, format=fmt, metadata="copyright")
    exif, xmp = told(rendition)
    assert (exif[0x013B], exif[0x8298]) == ("A. Painter", "(c) A. Painter")
    assert 0x010F not in exif
    assert not exif.get_ifd(0x8825)
    assert 0x9003 not in exif.get_ifd(0x8769)
    assert xmp == b""
    assert SECRET not in rendition.content  # type: ignore[operator]


def test_a_watermarked_picture_keeps_what_it_tells_but_not_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(MEDIA / "fonts"))
    for source in EVERY:
        (tmp_path / "source").write_bytes(documented(source))
        params = WatermarkParams(text="©", metadata="keep", format="jpeg")
        (rendition,) = watermark(make_task(tmp_path / "source", tmp_path), params)
        exif, _ = told(rendition)
        assert exif[0x8298] == "(c) A. Painter", source
        assert not exif.get_ifd(0x8825), source
        assert b"GPS" not in rendition.content, source  # type: ignore[operator]


def test_a_picture_laid_over_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(encode(photograph(), "PNG"))
    (tmp_path / "mark").write_bytes(documented("JPEG"))
    params = WatermarkParams(image_file_id=MARK_ID, metadata="keep", gps="keep", format="jpeg")
    task = make_task(tmp_path / "source", tmp_path, files={MARK_ID: tmp_path / "mark"})
    (rendition,) = watermark(task, params)
    exif, xmp = told(rendition)
    assert 0x8298 not in exif
    assert not exif.get_ifd(0x8825)
    assert xmp == b""


def test_the_embedded_preview_shows_what_was_cropped_away_and_is_dropped(tmp_path: Path) -> None:
    preview = encode(photograph("chelsea.png").resize((160, 106)), "JPEG", quality=50)
    content = _with_preview(encode(photograph(), "JPEG", quality=95), preview)
    assert preview in content
    rendition = made(content, tmp_path, metadata="keep", crop={"width": 50, "height": 50})
    assert preview not in rendition.content  # type: ignore[operator]
    exif, _ = told(rendition)
    assert exif[0x010F] == "Darkroom"
    assert not exif.get_ifd(ExifTags.IFD.IFD1)


def _with_preview(jpeg: bytes, preview: bytes) -> bytes:
    """A JPEG with an EXIF block whose second directory holds a preview."""
    make = b"Darkroom\0"
    entry = lambda tag, kind, count, value: (  # noqa: E731
        tag.to_bytes(2) + kind.to_bytes(2) + count.to_bytes(4) + value.to_bytes(4)
    )
    first, second = 8, 8 + 2 + 12 + 4
    data = second + 2 + 36 + 4
    tiff = b"MM\0*" + first.to_bytes(4)
    tiff += (1).to_bytes(2) + entry(0x010F, 2, len(make), data) + second.to_bytes(4)
    tiff += (3).to_bytes(2) + entry(0x0103, 3, 1, 6 << 16) + entry(0x0201, 4, 1, data + len(make))
    tiff += entry(0x0202, 4, 1, len(preview)) + (0).to_bytes(4) + make + preview
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body + jpeg[2:]


@pytest.mark.parametrize(
    "hidden",
    [
        b'<x xmlns:e="http://ns.adobe.com/exif/1.0/"><![CDATA[exif:GPSLatitude="1"]]></x>',
        b'<!DOCTYPE x [<!ENTITY a "48N">]><x>&a;</x>',
        "<x e:GPSLatitude='1'/>".encode("utf-16"),
        b"<x>&#71;PS</x>",
        b"<e:GPSLatitude>1",
    ],
)
def test_xmp_that_may_hide_a_position_is_dropped_whole(tmp_path: Path, hidden: bytes) -> None:
    content = encode(photograph(), "JPEG", xmp=hidden)
    assert hidden in content
    assert told(made(content, tmp_path, metadata="keep"))[1] == b""
    assert told(made(content, tmp_path, metadata="keep", gps="keep"))[1] == hidden


@pytest.mark.parametrize(
    "told_as",
    [
        b'<x><d tiff:Orientation="6" dc:format="a"/></x>',
        b"<x><d dc:format='a'><tiff:Orientation>6</tiff:Orientation></d></x>",
        b'<x><d dc:format="a"><xmp:Thumbnails><rdf:li xmpGImg:image="base64"/></xmp:Thumbnails></d></x>',
    ],
)
@pytest.mark.parametrize("gps", ["strip", "keep"])
def test_xmp_neither_turns_nor_previews_the_result(tmp_path: Path, told_as: bytes, gps: str) -> None:
    xmp = told(made(encode(photograph(), "JPEG", xmp=told_as), tmp_path, metadata="keep", gps=gps))[1]
    assert b"dc:format" in xmp
    assert b"Orientation" not in xmp
    assert b"base64" not in xmp


IPTC = b"\x1c\x02\x74\0\x10(c) Photo Agency"


def test_of_photoshops_block_only_iptc_is_kept(tmp_path: Path) -> None:
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
    rendition = made(content, tmp_path, metadata="keep", crop={"width": 50, "height": 50})
    assert preview not in rendition.content  # type: ignore[operator]
    assert b"48N" not in rendition.content  # type: ignore[operator]
    result = Image.open(io.BytesIO(rendition.content))  # type: ignore[arg-type]
    assert IptcImagePlugin.getiptcinfo(result) == {(2, 116): b"(c) Photo Agency"}
    for cut in range(len(parts) - len(preview), len(parts), 3):
        made(content.replace(parts, parts[:cut] + bytes(len(parts) - cut)), tmp_path, metadata="keep")


def test_iptc_of_a_tiff_can_be_read_in_a_jpeg(tmp_path: Path) -> None:
    content = encode(photograph(), "TIFF", tiffinfo={33723: IPTC})
    rendition = made(content, tmp_path, metadata="keep", format="jpeg")
    result = Image.open(io.BytesIO(rendition.content))  # type: ignore[arg-type]
    assert IptcImagePlugin.getiptcinfo(result) == {(2, 116): b"(c) Photo Agency"}


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + bytes(500)])
def test_broken_metadata_costs_the_metadata_and_not_the_picture(tmp_path: Path, broken: bytes) -> None:
    for fmt in ("JPEG", "WEBP", "PNG"):
        rendition = made(encode(photograph(), fmt, exif=broken), tmp_path, metadata="keep", format="jpeg")
        assert 0x010F not in told(rendition)[0]


def test_a_tag_of_a_kind_that_it_must_not_have_costs_the_metadata_and_not_the_picture(tmp_path: Path) -> None:
    latitude, hemisphere = b"\2\0\5\0\3\0\0\0", b"\3\0\2\0\2\0\0\0"
    content = documented("TIFF")
    assert latitude in content
    content = content.replace(hemisphere, b"\2" + hemisphere[1:]).replace(latitude, b"\3" + latitude[1:])

    rendition = made(content, tmp_path, metadata="keep", format="jpeg")

    assert not told(rendition)[0]


# Profile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_profile_that_is_kept_goes_along_and_the_values_stay(tmp_path: Path, source: str, fmt: ImageFormat) -> None:
    wide = convert_profile(photograph(), "p3", "RGB")
    content = encode(wide, source, icc_profile=icc_profile("p3"), quality=95)
    rendition = made(content, tmp_path, format=fmt, profile="keep", quality=95)
    result = Image.open(io.BytesIO(rendition.content))  # type: ignore[arg-type]
    assert result.info["icc_profile"] == icc_profile("p3")
    assert mean_difference(result, wide.resize((300, 200), Image.Resampling.LANCZOS)) < 3.5
    plain = resized(content, tmp_path, format=fmt, quality=95)
    assert mean_difference(plain, photograph().resize((300, 200), Image.Resampling.LANCZOS)) < 3.5
    assert mean_difference(result, plain) > 4


@pytest.mark.parametrize("asked", ["jpeg", "png", "webp"])
def test_cmyk_is_converted_even_when_profiles_are_kept(tmp_path: Path, asked: ImageFormat) -> None:
    content = encode(convert_profile(photograph(), "cmyk", "CMYK"), "JPEG", icc_profile=icc_profile("cmyk"), quality=95)
    kept, plain = (resized(content, tmp_path, format=asked, profile=which) for which in ("keep", "srgb"))
    assert "icc_profile" not in kept.info
    assert kept.tobytes() == plain.tobytes()


def test_a_gif_has_no_profile_and_is_srgb(tmp_path: Path) -> None:
    content = encode(convert_profile(photograph(), "p3", "RGB"), "PNG", icc_profile=icc_profile("p3"))
    kept, plain = (resized(content, tmp_path, format="gif", profile=which) for which in ("keep", "srgb"))
    assert kept.tobytes() == plain.tobytes()


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize(
    ("asked", "keeps"),
    [
        ({"format": "png"}, True),
        ({"format": "jpeg"}, True),
        ({"format": "webp"}, False),
        ({"format": "avif"}, False),
        ({"format": "png", "height": 300, "fit": "pad", "background": "#f00"}, False),
    ],
)
def test_a_grey_profile_is_kept_where_the_result_is_grey_and_obeyed_where_not(
    tmp_path: Path, mode: str, asked: dict[str, Any], keeps: bool
) -> None:
    content = encode(Image.new("L", (300, 200), 64).convert(mode), "PNG", icc_profile=gray_profile())
    rendition = made(content, tmp_path, profile="keep", **asked)
    result = Image.open(io.BytesIO(rendition.content))  # type: ignore[arg-type]
    assert ("icc_profile" in result.info) == keeps
    middle = result.convert("L").getpixel((150, result.height // 2))
    assert middle == pytest.approx(64 if keeps else 137, abs=2)  # 0.25 of the light is 137 in sRGB


def test_a_kept_profile_shows_the_picture_as_it_was(tmp_path: Path) -> None:
    wide = convert_profile(photograph(), "p3", "RGB")
    rendition = made(encode(wide, "PNG", icc_profile=icc_profile("p3")), tmp_path, profile="keep", format="png")
    result = Image.open(io.BytesIO(rendition.content))  # type: ignore[arg-type]
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"]))
    shown = ImageCms.profileToProfile(result, embedded, ImageCms.createProfile("sRGB"))
    assert shown is not None
    assert mean_difference(shown, photograph().resize((300, 200), Image.Resampling.LANCZOS)) < 2


# Limits of the encoders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "alpha", "most"),
    [("avif", False, 50), ("avif", True, 36), ("webp", True, 32), ("gif", False, 100), ("gif", True, 100)],
)
def test_what_an_encoder_cannot_hold_is_refused_before_anything_is_decoded(
    tmp_path: Path, fmt: ImageFormat, alpha: bool, most: int
) -> None:
    side = int((most * 1_000_000) ** 0.5) + 1
    content = encode(Image.new("RGBA" if alpha else "RGB", (4, 4), "red"), "PNG")
    (tmp_path / "source").write_bytes(content)
    reports: list[float] = []
    task = make_task(tmp_path / "source", tmp_path, progress=reports.append)
    image = open_image(task.source, task.limits).scale_to(Size(side, side))
    with pytest.raises(TooManyPixelsError, match=rf"at most {most},000,000 can be encoded as {fmt}"):
        encode_image(image, fmt, quality=80, task=task)
    assert reports == []


def test_what_an_encoder_can_hold_is_not_refused() -> None:
    for fmt, form in encoding._FORMATS.items():
        for most, alpha in ((form.max_pixels, False), (form.max_pixels_alpha, form.has_alpha)):
            side = min(int(most**0.5), form.max_side_px)
            encoding._check_size(Size(side, side), fmt, alpha=alpha)


def test_plain_saving_keeps_nothing_and_is_white_below() -> None:
    assert EncodeOptions() == EncodeOptions(
        max_bytes=None, background=parse_color("white"), metadata="strip", gps=False
    )
