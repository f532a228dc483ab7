import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.av import keyframes
from darkroom.contracts.video_params import VideoMetadataParams
from darkroom.errors import CorruptMediaError, DarkroomError, TooManyPixelsError, UnsupportedMediaTypeError
from darkroom.images.icc import profile_name
from functions.video_metadata.app import video_metadata
from tests.media.make_images import (
    add_alpha,
    animation_frames,
    convert_profile,
    convert_to_lab,
    decompression_bomb,
    encode,
    encode_16_bit_png,
    encode_animation,
    encode_oriented,
    icc_profile,
    photograph,
)
from tests.ranges import served
from tests.sources import LocalSource, make_task

Clips = Callable[[str], Path]


def described(file: Path, folder: Path) -> dict[str, Any]:
    """The document about a file; the one in the job and the one in the file are the same."""
    (rendition,) = video_metadata(make_task(file, folder), VideoMetadataParams())
    assert rendition.document is not None
    assert isinstance(rendition.content, bytes)
    assert json.loads(rendition.content) == rendition.document
    assert (rendition.suffix, rendition.media_type) == ("json", "application/json")
    return rendition.document


def only(document: dict[str, Any], kind: str) -> dict[str, Any]:
    (stream,) = [stream for stream in document["streams"] if stream["type"] == kind]
    assert isinstance(stream, dict)
    return stream


def test_a_film_is_described_in_full(clips: Clips, tmp_path: Path) -> None:
    document = described(clips("film.mp4"), tmp_path)
    film, sound = document["streams"]

    assert set(document) == {
        *("kind", "media_type", "container", "size_bytes", "duration_s", "bit_rate_bps"),
        *("streams", "chapters", "tags"),
    }
    assert document["kind"] == "video"
    assert document["media_type"] == "video/mp4"
    assert document["container"] == "QuickTime / MOV"
    assert document["size_bytes"] == clips("film.mp4").stat().st_size
    assert document["duration_s"] == 2.0
    assert document["bit_rate_bps"] == pytest.approx(document["size_bytes"] * 8 / 2, rel=0.01)
    assert film["type"] == "video"
    assert film["codec"] == "h264"
    assert (film["width_px"], film["height_px"]) == (320, 180)
    assert (film["frame_rate"], film["frame_count"], film["duration_s"]) == (25.0, 50, 2.0)
    assert (film["pixel_format"], film["bit_depth"]) == ("yuv420p", 8)
    assert (film["rotation_degrees"], film["pixel_aspect"]) == (0, "1:1")
    assert not any(film[flag] for flag in ("variable_frame_rate", "interlaced", "hdr", "attached_picture", "forced"))
    assert film["bit_rate_bps"] > 100_000
    assert sound["type"] == "audio"
    assert (sound["codec"], sound["profile"]) == ("aac", "LC")
    assert (sound["channels"], sound["channel_layout"], sound["sample_rate_hz"]) == (2, "stereo", 48000)


def test_languages_chapters_subtitles_and_title_are_told(clips: Clips, tmp_path: Path) -> None:
    document = described(clips("rich.mkv"), tmp_path)
    film, french, english, texts = document["streams"]

    assert [stream["type"] for stream in document["streams"]] == ["video", "audio", "audio", "subtitle"]
    assert (french["language"], english["language"], texts["language"]) == ("fre", "eng", "eng")
    assert (french["default"], english["default"], texts["forced"]) == (False, True, True)
    assert film["language"] is None
    assert document["tags"]["title"] == "The big morning"
    assert document["chapters"] == [
        {"start_s": 0.0, "end_s": 1.0, "title": "Waking"},
        {"start_s": 1.0, "end_s": 2.0, "title": "Stretching"},
    ]


def test_sizes_are_those_a_viewer_sees(clips: Clips, tmp_path: Path) -> None:
    keys = ("width_px", "height_px", "coded_width_px", "coded_height_px", "pixel_aspect", "rotation_degrees")

    def size(name: str) -> list[Any]:
        film = only(described(clips(name), tmp_path), "video")
        return [film[key] for key in keys]

    assert size("portrait.mp4") == [180, 320, 320, 180, "1:1", 90]
    assert size("anamorphic.mp4") == [320, 180, 180, 180, "16:9", 0]
    assert size("odd.mp4") == [321, 181, 321, 181, "1:1", 0]


def test_what_is_special_about_pictures_is_told(clips: Clips, tmp_path: Path) -> None:
    hdr = only(described(clips("hdr.mp4"), tmp_path), "video")
    variable = only(described(clips("variable.mp4"), tmp_path), "video")

    assert (hdr["hdr"], hdr["color_transfer"], hdr["color_primaries"]) == (True, "smpte2084", "bt2020")
    assert (hdr["bit_depth"], hdr["pixel_format"]) == (10, "yuv420p10le")
    assert only(described(clips("interlaced.ts"), tmp_path), "video")["interlaced"] is True
    assert only(described(clips("full_range.mp4"), tmp_path), "video")["color_range"] == "pc"
    assert variable["variable_frame_rate"] is True
    assert variable["frame_rate"] == pytest.approx(30, abs=0.2)


@pytest.mark.parametrize("name", ["located.mp4", "located.mov"])
def test_where_a_film_was_recorded_is_not_told(clips: Clips, tmp_path: Path, name: str) -> None:
    document = described(clips(name), tmp_path)

    assert document["tags"]["title"] == "Paris"
    assert "48.85" not in json.dumps(document)


# Key frames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("slow.mp4", 10.0),
        ("mostly_black.mp4", 1.0),
        ("slides.mp4", None),
        ("slides.mkv", None),
        ("black.mp4", None),
    ],
)
def test_the_distance_of_key_frames_is_told_where_two_are_seen(
    clips: Clips, tmp_path: Path, name: str, seconds: float | None
) -> None:
    assert only(described(clips(name), tmp_path), "video")["key_frame_interval_s"] == seconds


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "ts", "mpg", "flv", "wmv"])
def test_key_frames_are_seen_in_every_container(clips: Clips, tmp_path: Path, suffix: str) -> None:
    interval_s = only(described(clips(f"film.{suffix}"), tmp_path), "video")["key_frame_interval_s"]

    assert interval_s is None or 0.03 < interval_s < 2


def test_the_longest_distance_counts_by_the_times_of_showing() -> None:
    assert keyframes.parse("0,0.0,0.0,K__\n0,0.4,0.04,___\n0,2.0,1.9,K__\n0,3.0,2.9,K__\n1,5.0,5.0,K__\n") == {0: 2.0}
    assert keyframes.parse("0,N/A,0.5,K__\n0,N/A,1.5,KD_\n1,N/A,N/A,K__\n1,1.0,0,K__\nx\n\n0,?\n") == {0: 1.0}


def test_a_look_at_the_packets_that_fails_takes_nothing_else_along(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyframes, "_PACKETS", ("-of", "csv=p=0", "-show_entries", "packet=flags", "-no_such", "1"))
    with pytest.raises(DarkroomError):
        described(clips("film.mp4"), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(keyframes, "_PATIENCE_S", -1)
    assert only(described(clips("film.mp4"), tmp_path), "video")["key_frame_interval_s"] is None


@pytest.mark.parametrize(
    ("name", "codec", "channels"),
    [
        ("sound.m4a", "aac", 2),
        ("sound.mp3", "mp3", 2),
        ("sound.opus", "opus", 2),
        ("sound.flac", "flac", 2),
        ("sound.wav", "pcm_s16le", 2),
        ("sound.aac", "aac", 2),
        ("5.1_side.wav", "pcm_s16le", 6),
        ("sound_only.mp4", "aac", 2),
        ("cover.mp3", "mp3", 2),
    ],
)
def test_a_sound_is_described_as_a_sound(clips: Clips, tmp_path: Path, name: str, codec: str, channels: int) -> None:
    document = described(clips(name), tmp_path)
    sound = only(document, "audio")

    assert document["kind"] == "audio"
    assert document["duration_s"] == pytest.approx(2.0, abs=0.1)
    assert (sound["codec"], sound["channels"], sound["sample_rate_hz"]) == (codec, channels, 48000)


def test_a_cover_is_told_from_a_film(clips: Clips, tmp_path: Path) -> None:
    streams = described(clips("cover.mp4"), tmp_path)["streams"]

    assert {(stream.get("codec"), stream.get("attached_picture")) for stream in streams} == {
        *(("mjpeg", True), ("h264", False), ("aac", None))
    }
    assert only(described(clips("cover.mp3"), tmp_path), "video")["attached_picture"] is True


@pytest.mark.parametrize(
    "name",
    ["film.mov", "film.mkv", "film.webm", "film.avi", "film.ts", "film.m2ts", "film.mpg", "film.flv", "film.wmv"],
)
def test_every_container_is_read(clips: Clips, tmp_path: Path, name: str) -> None:
    document = described(clips(name), tmp_path)

    assert document["kind"] == "video"
    assert document["duration_s"] == pytest.approx(2.0, abs=0.15)
    assert (only(document, "video")["width_px"], only(document, "audio")["channels"]) == (320, 2)


def test_only_the_needed_part_of_a_large_film_is_read(clips: Clips, tmp_path: Path) -> None:
    film = clips("long.mp4")

    class Linked(LocalSource):
        def ffmpeg_input(self) -> str:
            return server.url

        def download(self) -> Path:
            raise AssertionError("the whole film was fetched")

    with served(film) as server:
        (by_link,) = video_metadata(make_task(Linked(film), tmp_path), VideoMetadataParams())

    assert by_link.document == described(film, tmp_path)
    assert server.sent_bytes < film.stat().st_size / 3 + keyframes.MOST_BYTES


# Pictures ----------------------------------------------------------------------------------------------------------


def pictured(content: bytes, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document about a picture, and its one stream."""
    file = folder / "picture"
    file.write_bytes(content)
    document = described(file, folder)
    return document, only(document, "image")


def shot(**more: str) -> bytes:
    """EXIF as a camera writes it, with the position."""
    exif = Image.Exif()
    exif.update({0x010F: "Maker ", 0x0110: "Model 1", 0x0112: 6})
    names = {"lens": 0xA434, "at": 0x9003, "offset": 0x9011}
    exif.get_ifd(0x8769).update({names[name]: value for name, value in more.items()})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0), 29: "2021:05:01"})
    return exif.tobytes()


SHOT = shot(lens="Lens 50 mm", at="2021:05:01 12:30:00", offset="+02:00")


def test_a_picture_is_described_in_the_shape_of_a_film(clips: Clips, tmp_path: Path) -> None:
    film = described(clips("film.mp4"), tmp_path)
    document, stream = pictured(encode(photograph(), "JPEG", exif=SHOT, icc_profile=icc_profile("p3")), tmp_path)

    assert document.keys() == film.keys()
    assert only(film, "video").keys() | {"orientation", "alpha", "icc_profile", "plays"} == stream.keys()
    assert (document["kind"], document["media_type"], document["container"]) == ("image", "image/jpeg", "JPEG")
    assert document["size_bytes"] == (tmp_path / "picture").stat().st_size
    assert (document["duration_s"], document["bit_rate_bps"], document["chapters"]) == (None, None, [])
    assert (stream["width_px"], stream["height_px"]) == (400, 600)
    assert (stream["coded_width_px"], stream["coded_height_px"]) == (600, 400)
    assert (stream["orientation"], stream["rotation_degrees"]) == (6, 90)
    assert (stream["codec"], stream["bit_depth"], stream["color_space"]) == ("jpeg", 8, "rgb")
    assert (stream["alpha"], stream["icc_profile"], stream["frame_count"]) == (False, "sP3C", 1)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_when_and_with_what_a_picture_was_taken_is_told_and_never_where(tmp_path: Path, fmt: str) -> None:
    document, _ = pictured(encode(photograph(), fmt, exif=SHOT), tmp_path)

    assert document["tags"] == {
        "creation_time": "2021-05-01T12:30:00+02:00",
        "make": "Maker",
        "model": "Model 1",
        "lens_model": "Lens 50 mm",
    }
    assert not any(part in json.dumps(document) for part in ("48.0", "51.0", "GPS", "gps"))


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2021:05:01 12:30:00", "2021-05-01T12:30:00"),
        ("0000:00:00 00:00:00", None),
        ("2021-05-01", None),
        ("    :  :     :  :  ", None),
        ("", None),
    ],
)
def test_a_time_is_told_only_where_it_is_one(tmp_path: Path, at: str, told: str | None) -> None:
    document, _ = pictured(encode(photograph(), "JPEG", exif=shot(at=at)), tmp_path)

    assert document["tags"].get("creation_time") == told


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", SHOT[:60], SHOT[:20] + b"\xff" * 90])
def test_damaged_exif_is_passed_over(tmp_path: Path, exif: bytes) -> None:
    document, _ = pictured(encode(photograph(), "PNG", exif=exif), tmp_path)

    assert "creation_time" not in document["tags"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda image: encode(image, "PNG"), ("PNG", "png", 8, "rgb", False)),
        (lambda image: encode(add_alpha(image), "PNG"), ("PNG", "png", 8, "rgb", True)),
        (lambda image: encode(image.convert("L"), "PNG"), ("PNG", "png", 8, "gray", False)),
        (encode_16_bit_png, ("PNG", "png", 16, "rgb", False)),
        (lambda image: encode(image.quantize(16), "PNG"), ("PNG", "png", 4, "rgb", False)),
        (lambda image: encode(add_alpha(image), "WEBP"), ("WebP", "webp", 8, "rgb", True)),
        (lambda image: encode(image, "GIF"), ("GIF", "gif", 8, "rgb", False)),
        (lambda image: encode(image, "TIFF"), ("TIFF", "tiff", 8, "rgb", False)),
        (lambda image: encode(image.convert("YCbCr"), "TIFF"), ("TIFF", "tiff", 8, "rgb", False)),
        (lambda image: encode(convert_to_lab(image), "TIFF"), ("TIFF", "tiff", 8, "lab", False)),
        (lambda image: encode(convert_profile(image, "cmyk", "CMYK"), "TIFF"), ("TIFF", "tiff", 8, "cmyk", False)),
        (lambda image: encode(image, "BMP"), ("BMP", "bmp", 8, "rgb", False)),
        (lambda image: encode(image.convert("1"), "BMP"), ("BMP", "bmp", 1, "gray", False)),
        (lambda image: encode(image, "AVIF"), ("AVIF", "av1", 8, "rgb", False)),
        (lambda image: encode(add_alpha(image), "HEIF"), ("HEIC", "hevc", 8, "rgb", True)),
    ],
)
def test_every_kind_of_picture_is_told_from_the_others(
    tmp_path: Path, content: Callable[[Image.Image], bytes], told: tuple[object, ...]
) -> None:
    document, stream = pictured(content(photograph()), tmp_path)

    assert (document["container"], stream["codec"], stream["bit_depth"], stream["color_space"], stream["alpha"]) == told
    assert (stream["width_px"], stream["height_px"]) == (600, 400)
    assert (stream["frame_count"], stream["plays"], document["duration_s"]) == (1, None, None)


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_has_the_size_that_a_viewer_sees(tmp_path: Path, fmt: str, orientation: int) -> None:
    _, stream = pictured(encode_oriented(photograph(), orientation, fmt), tmp_path)

    assert (stream["width_px"], stream["height_px"]) == (600, 400)
    if fmt in ("JPEG", "TIFF"):
        assert stream["orientation"] == orientation
        assert stream["rotation_degrees"] == [0, 0, 180, 180, 270, 90, 90, 270][orientation - 1]


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG"])
def test_an_animation_has_frames_a_length_and_a_rate(tmp_path: Path, fmt: str) -> None:
    document, stream = pictured(encode_animation(fmt, animation_frames((48, 32))), tmp_path)

    assert (stream["frame_count"], stream["frame_rate"], stream["plays"]) == (4, 12.5, 4)
    assert document["duration_s"] == stream["duration_s"] == pytest.approx(0.32)
    assert (stream["width_px"], stream["height_px"]) == (48, 32)


def test_the_length_of_an_animation_is_a_round_number(tmp_path: Path) -> None:
    document, _ = pictured(encode_animation("PNG", animation_frames((48, 32), 3), frame_ms=100), tmp_path)

    assert repr(document["duration_s"]) == "0.3"


def test_an_animated_avif_has_frames(tmp_path: Path) -> None:
    _, stream = pictured(encode_animation("AVIF", animation_frames((48, 32))), tmp_path)

    assert (stream["frame_count"], stream["width_px"], stream["height_px"]) == (4, 48, 32)
    assert (stream["codec"], stream["alpha"], stream["duration_s"]) == ("av1", False, None)


@pytest.mark.parametrize(("name", "told"), [("p3", "sP3C"), ("srgb", "sRGB"), ("cmyk", "Chemical proof")])
def test_a_profile_is_told_by_its_own_name(name: str, told: str) -> None:
    assert told in (profile_name(icc_profile(name)) or "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 200,
        icc_profile("p3")[:140],
        b"\0" * 128 + b"\0\0\0\x01desc\0\0\0\x90\0\0\xff\xff" + b"mluc" + b"\xff" * 40,
    ],
)
def test_a_profile_without_a_name_has_none(content: bytes) -> None:
    assert profile_name(content) is None


def test_a_picture_is_described_by_its_header_alone(tmp_path: Path) -> None:
    whole = encode(photograph(), "PNG")
    _, stream = pictured(whole[: len(whole) // 2], tmp_path)

    assert (stream["width_px"], stream["height_px"]) == (600, 400)


@pytest.mark.parametrize("content", [decompression_bomb(), encode(photograph(), "BMP"), encode(photograph(), "HEIF")])
def test_a_picture_beyond_the_limit_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "picture"
    file.write_bytes(content)

    with pytest.raises(TooManyPixelsError):
        video_metadata(make_task(file, tmp_path, pixels=600 * 400 - 1), VideoMetadataParams())


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "cut_behind_its_index.mp4", "cut.mkv"])
def test_a_film_that_is_cut_short_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptMediaError, match="cut short"):
        described(clips(name), tmp_path)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"No film, whatever its name says.", UnsupportedMediaTypeError),
        (b"\x89PNG\r\n\x1a\n", CorruptMediaError),
        (b"GIF89a", CorruptMediaError),
        (b"BM" + bytes(12) + b"\x28", CorruptMediaError),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", CorruptMediaError),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", CorruptMediaError),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\0mdat", CorruptMediaError),
        (b"\x1a\x45\xdf\xa3\x8bB\x82\x88matroska", CorruptMediaError),
        (b"RIFF\0\0\0\0WAVE", CorruptMediaError),
        (b"ID3\x04\0\0\0\0\x7f\x7f", CorruptMediaError),
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, binaries: Path, content: bytes, error: type[DarkroomError]) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(content)

    with pytest.raises(error):
        described(file, tmp_path)
