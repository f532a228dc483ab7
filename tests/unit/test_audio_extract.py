import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from darkroom.av.ffmpeg import binary
from darkroom.av.probe import Probe, Stream, parse
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    InvalidRequestError,
    NoAudioStreamError,
    TooLongError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from functions.audio_extract.app import FORMATS, arguments, audio_extract, codec_arguments
from tests.films import decoded, duration_s, kinds, loudness_lufs, probed, stream
from tests.sources import make_task

Clips = Callable[[str], Path]

#: Format asked for: codec inside, media type of the result.
WANTED = {
    "mp3": ("mp3", "audio/mpeg"),
    "aac": ("aac", "audio/aac"),
    "m4a": ("aac", "audio/mp4"),
    "opus": ("opus", "audio/ogg"),
    "flac": ("flac", "audio/flac"),
    "wav": ("pcm_s16le", "audio/wav"),
}


def extracted(source: Path, folder: Path, **params: object) -> Path:
    """The sound that is taken out; what it says about itself is checked against its bytes."""
    asked = AudioExtractParams.model_validate(params)
    (rendition, *_) = audio_extract(make_task(source, folder), asked)
    path = rendition.content
    assert isinstance(path, Path)
    assert (rendition.suffix, rendition.media_type) == (asked.format, WANTED[asked.format][1])
    assert set(kinds(path)) - {"data"} == {"audio"}, "no cover; chapters count as data"
    assert decoded(path) == ""
    assert rendition.duration_s == pytest.approx(len(samples(path)) / 4 / 8000, abs=0.1)
    return path


def samples(path: Path) -> bytes:
    """The sound as 8 kHz stereo, 4 bytes for each moment."""
    arguments = [
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a",
        "-ac",
        "2",
        "-ar",
        "8000",
        "-f",
        "s16le",
        "-",
    ]
    return subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stdout


def loudness_db(path: Path) -> float:
    """Mean volume, in decibels below the maximum."""
    arguments = ["-nostdin", "-hide_banner", "-i", str(path), "-map", "0:a", "-af", "volumedetect", "-f", "null", "-"]
    said = subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stderr.decode()
    return float(said.partition("mean_volume: ")[2].split()[0])


def packets(path: Path, track: int = 0) -> list[str]:
    """A hash of every packet but the first and the last, which containers use for notes of their own."""
    bare = ["-bsf:a", "aac_adtstoasc"] if stream_codec(path) == "aac" else []
    arguments = ["-nostdin", "-v", "error", "-i", str(path), "-map", f"0:a:{track}", "-c", "copy", *bare]
    done = subprocess.run([str(binary("ffmpeg")), *arguments, "-f", "framemd5", "-"], check=True, capture_output=True)
    lines = [line for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    return [line.rpartition(",")[2].strip() for line in lines][1:-1]


def stream_codec(path: Path) -> str:
    """The codec of the first sound."""
    return next(str(entry["codec_name"]) for entry in probed(path)["streams"] if entry["codec_type"] == "audio")


def sound_of(**values: object) -> Stream:
    """A sound as a probe finds it."""
    found = parse(b'{"streams": [{"index": 1, "codec_type": "audio", "codec_name": "vorbis", "channels": 2}]}')
    return replace(found.audio(), **values)  # type: ignore[arg-type]


def probe_of(sound: Stream, **tags: str) -> Probe:
    """What a probe finds in a file with one sound."""
    return replace(parse(b"{}"), streams=(sound,), tags=tags)


NO_OTHER_TAGS = ("-map_metadata:g", "-1", "-map_metadata:s", "-1")


# What FFmpeg is asked for ------------------------------------------------------------------------------------------


def test_a_sound_is_copied_where_its_codec_goes_into_the_format(tmp_path: Path) -> None:
    asked, found = AudioExtractParams(format="m4a"), probe_of(sound_of(codec="aac"), title="A song", make="A phone")

    assert arguments(found, asked, tmp_path / "a.m4a", max_duration_s=60) == [
        *("-map", "0:1", "-c:a", "copy", *NO_OTHER_TAGS, "-metadata", "title=A song"),
        *("-t", "61", "-movflags", "+faststart", "-f", "ipod", f"file:{tmp_path / 'a.m4a'}"),
    ]


def test_a_sound_is_encoded_where_a_bit_rate_is_asked_for(tmp_path: Path) -> None:
    asked = AudioExtractParams(format="mp3", bitrate_kbps=192)

    assert arguments(probe_of(sound_of(codec="mp3")), asked, tmp_path / "a.mp3", max_duration_s=60) == [
        *("-map", "0:1", "-af", "aresample=async=1,aformat=channel_layouts=mono|stereo"),
        *("-c:a", "libmp3lame", "-b:a", "192k", *NO_OTHER_TAGS),
        *("-t", "61", "-f", "mp3", f"file:{tmp_path / 'a.mp3'}"),
    ]


def test_lossless_formats_ignore_the_bit_rate() -> None:
    assert codec_arguments(sound_of(codec="flac"), FORMATS["flac"], 64) == ["-c:a", "copy"]
    assert "-b:a" not in codec_arguments(sound_of(), FORMATS["wav"], 64)


@pytest.mark.parametrize(
    ("name", "channels", "asked_kbps", "rate"),
    [
        ("mp3", 1, None, "96k"),
        ("mp3", 2, None, "192k"),
        ("mp3", 6, None, "192k"),
        ("m4a", 2, None, "160k"),
        ("m4a", 6, None, "480k"),
        ("opus", 1, 512, "256k"),
        ("opus", 2, 512, "512k"),
        ("opus", 2, None, "128k"),
    ],
)
def test_the_bit_rate_suits_the_channels(name: str, channels: int, asked_kbps: int | None, rate: str) -> None:
    found = codec_arguments(sound_of(channels=channels), FORMATS[name], asked_kbps)

    assert found[found.index("-b:a") + 1] == rate


@pytest.mark.parametrize(
    ("name", "bit_depth", "encoder"),
    [
        ("flac", None, ["-c:a", "flac", "-sample_fmt", "s16"]),
        ("flac", 24, ["-c:a", "flac", "-sample_fmt", "s32"]),
        ("wav", 16, ["-c:a", "pcm_s16le"]),
        ("wav", 24, ["-c:a", "pcm_s24le"]),
        ("m4a", 24, ["-c:a", "aac"]),
    ],
)
def test_lossless_formats_keep_the_depth_that_the_source_has(
    name: str, bit_depth: int | None, encoder: list[str]
) -> None:
    found = codec_arguments(sound_of(bit_depth=bit_depth), FORMATS[name], None)

    assert found[2 : 2 + len(encoder)] == encoder


# What comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("bitrate_kbps", [None, 96])
def test_the_sound_of_a_film_comes_in_every_format(
    clips: Clips, tmp_path: Path, name: str, bitrate_kbps: int | None
) -> None:
    made = extracted(clips("film.mp4"), tmp_path, format=name, bitrate_kbps=bitrate_kbps)
    sound = stream(made, "audio")

    assert (sound["codec_name"], sound["channels"], sound["sample_rate"]) == (WANTED[name][0], 2, "48000")
    assert loudness_db(made) == pytest.approx(loudness_db(clips("film.mp4")), abs=1)
    assert len(samples(made)) / 4 / 8000 == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize(
    ("source", "name", "original", "track"),
    [
        ("film.mp4", "m4a", "film.mp4", 0),
        ("film.mp4", "aac", "film.mp4", 0),
        ("film.ts", "m4a", "film.mp4", 0),
        ("rich.mkv", "m4a", "rich.mkv", 1),
        ("film.avi", "mp3", "film.avi", 0),
        ("film.webm", "opus", "film.webm", 0),
        ("sound.flac", "flac", "sound.flac", 0),
        ("deep.wav", "wav", "deep.wav", 0),
    ],
)
def test_a_copy_is_the_same_to_the_bit(
    clips: Clips, tmp_path: Path, source: str, name: str, original: str, track: int
) -> None:
    made = packets(extracted(clips(source), tmp_path, format=name))

    assert len(made) > 5
    assert made == packets(clips(original), track)


@pytest.mark.parametrize(
    "source",
    [
        *("sound.m4a", "sound.aac", "sound.mp3", "sound_without_tag.mp3", "sound.mp2", "sound.opus", "sound.ogg"),
        *("sound.flac", "sound.wav", "sound.aiff", "sound_only.mp4", "cover.mp3", "film.mpg", "film.flv", "film.wmv"),
    ],
)
def test_every_kind_of_sound_is_read(clips: Clips, tmp_path: Path, source: str) -> None:
    made = extracted(clips(source), tmp_path, format="opus")

    assert loudness_db(made) == pytest.approx(loudness_db(clips(source)), abs=1)


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("source", ["5.1_side.wav", "2.1.wav", "16.wav"])
def test_unusual_loudspeakers_are_no_obstacle(clips: Clips, tmp_path: Path, source: str, name: str) -> None:
    sound = stream(extracted(clips(source), tmp_path, format=name), "audio")

    most = {"mp3": 2, "wav": 16}.get(name, 8)
    assert 2 <= sound["channels"] <= most
    if source == "5.1_side.wav":
        assert sound["channels"] == min(6, most)


def test_the_depth_of_a_recording_stays(clips: Clips, tmp_path: Path) -> None:
    deep, plain = (
        stream(extracted(clips(name), tmp_path, format="flac"), "audio")["bits_per_raw_sample"]
        for name in ("deep.wav", "film.mp4")
    )

    assert (deep, plain) == ("24", "16")


@pytest.mark.parametrize(("name", "rate"), [("mp3", "48000"), ("opus", "48000"), ("m4a", "96000"), ("flac", "96000")])
def test_the_sample_rate_is_one_that_the_format_has(clips: Clips, tmp_path: Path, name: str, rate: str) -> None:
    assert stream(extracted(clips("fast.wav"), tmp_path, format=name), "audio")["sample_rate"] == rate


@pytest.mark.parametrize("bitrate_kbps", [16, 512])
@pytest.mark.parametrize("name", ["mp3", "aac", "m4a", "opus"])
def test_any_bit_rate_that_may_be_asked_for_is_taken(
    clips: Clips, tmp_path: Path, name: str, bitrate_kbps: int
) -> None:
    assert extracted(clips("film.mp4"), tmp_path, format=name, bitrate_kbps=bitrate_kbps).stat().st_size


@pytest.mark.parametrize("name", ["m4a", "mp3", "opus", "flac", "wav"])
def test_the_title_stays_and_the_place_goes(clips: Clips, tmp_path: Path, name: str) -> None:
    found = probed(extracted(clips("located.mov"), tmp_path, format=name))
    parts = [part.get("tags", {}) for part in (found["format"], *found["streams"])]
    tags = {key.lower(): value for part in parts for key, value in part.items()}

    assert tags["title"] == "Paris"
    assert not any("48.85" in value for value in tags.values())


def test_progress_grows_to_the_end(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.av.ffmpeg.REPORT_PERIOD_S", 0.02)
    seen: list[float] = []
    task = make_task(clips("long.mp4"), tmp_path, progress=seen.append)

    audio_extract(task, AudioExtractParams(format="opus"))

    assert seen == sorted(seen)
    assert any(0.1 < fraction < 0.9 for fraction in seen)
    assert seen[-1] <= 1.0


# What is asked of the sound ----------------------------------------------------------------------------------------


def levels(path: Path) -> list[int]:
    """The loudest sample of each tenth of a second, of 32,768."""
    heights = [abs(sample) for sample in memoryview(samples(path)).cast("h")]
    return [max(heights[start : start + 1600]) for start in range(0, len(heights), 1600)]


@pytest.mark.parametrize(("track", "index"), [(1, 1), (2, 2), ("eng", 2), ("FRE", 1), (None, 2)])
def test_a_track_is_chosen_by_number_or_language(track: int | str | None, index: int) -> None:
    sounds = b"".join(
        b'{"index": %d, "codec_type": "audio", "channels": 2, "tags": {"language": "%s"},'
        b'"disposition": {"default": %d}},' % entry
        for entry in ((1, b"fre", 0), (2, b"eng", 1))
    )
    found = parse(b'{"streams": [{"index": 0, "codec_type": "video"},' + sounds[:-1] + b"]}")

    assert found.audio(track).index == index
    with pytest.raises(NoAudioStreamError, match=r"no audio stream ger; the file has 1 \(fre\), 2 \(eng\)"):
        found.audio("ger")


def test_a_track_of_a_film_is_taken(clips: Clips, tmp_path: Path) -> None:
    sound = stream(extracted(clips("rich.mkv"), tmp_path, track="fre"), "audio")

    assert sound["tags"]["language"] == "fre"


@pytest.mark.parametrize("name", ["m4a", "mp3", "wav"])
def test_a_part_is_taken(clips: Clips, tmp_path: Path, name: str) -> None:
    made = extracted(clips("ping.wav"), tmp_path, format=name, start_s=0.9, duration_s=0.6)

    assert len(samples(made)) / 4 / 8000 == pytest.approx(0.6, abs=0.06)
    heights = levels(made)
    assert heights[0] < 3000 < 8000 < heights[3]


def test_a_part_of_a_sound_can_be_copied(clips: Clips, tmp_path: Path) -> None:
    made = extracted(clips("film.mp4"), tmp_path, start_s=0.5, duration_s=1)

    assert set(packets(made)[2:-2]) <= set(packets(clips("film.mp4")))


@pytest.mark.parametrize(
    ("part", "length_s"),
    [
        ({"start_s": 0.2, "duration_s": 1}, 0.7),
        ({"duration_s": 1}, 0.5),
        ({"start_s": 1}, 1.5),
        ({"start_s": 2.2}, 0.3),
    ],
)
def test_a_part_of_a_sound_that_begins_later_is_taken(
    clips: Clips, tmp_path: Path, part: dict[str, float], length_s: float
) -> None:
    made = extracted(clips("late_sound.mp4"), tmp_path, format="wav", **part)

    assert duration_s(made) == pytest.approx(length_s, abs=0.08)


def test_a_sound_that_begins_later_swells_from_its_beginning(clips: Clips, tmp_path: Path) -> None:
    heights = levels(extracted(clips("late_sound.mp4"), tmp_path, format="wav", fade_in_s=1))
    whole = levels(extracted(clips("late_sound.mp4"), tmp_path, format="wav"))

    assert heights[0] < whole[0] / 5
    assert heights[12] == pytest.approx(whole[12], rel=0.05)


def test_a_part_before_the_sound_is_refused(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"begins at 0\.5"):
        extracted(clips("late_sound.mp4"), tmp_path, duration_s=0.3)


def test_a_part_behind_the_end_is_refused(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"2\.0 seconds long; it cannot begin at 5\.0"):
        extracted(clips("sound.wav"), tmp_path, start_s=5)


def test_a_sound_swells_and_dies_away(clips: Clips, tmp_path: Path) -> None:
    heights = levels(extracted(clips("sine.wav"), tmp_path, format="wav", fade_in_s=0.5, fade_out_s=0.5))

    assert heights[0] < heights[2] < heights[5]
    assert heights[-1] < heights[-3] < heights[-6]
    assert heights[9] == pytest.approx(levels(clips("sine.wav"))[9], rel=0.02)


@pytest.mark.parametrize("target_lufs", [-30.0, -16.0])
def test_the_loudness_asked_for_is_reached(clips: Clips, tmp_path: Path, target_lufs: float) -> None:
    made = extracted(clips("sine.wav"), tmp_path, format="flac", loudness=target_lufs)

    assert loudness_lufs(made) == pytest.approx(target_lufs, abs=0.5)


def test_silence_stays_silent_whatever_loudness_is_asked_for(clips: Clips, tmp_path: Path) -> None:
    assert max(levels(extracted(clips("silence.wav"), tmp_path, format="wav", loudness=-10))) == 0


@pytest.mark.parametrize("name", WANTED)
def test_channels_are_mixed_into_one(clips: Clips, tmp_path: Path, name: str) -> None:
    assert stream(extracted(clips("5.1_side.wav"), tmp_path, format=name, mono=True), "audio")["channels"] == 1


# Waveform ----------------------------------------------------------------------------------------------------------


def test_the_waveform_is_what_can_be_heard(clips: Clips, tmp_path: Path) -> None:
    asked = AudioExtractParams(format="wav", waveform=["json", "png", "svg"], waveform_points=100)
    _, data, png, svg = audio_extract(make_task(clips("ping.wav"), tmp_path), asked)

    assert [output.file_name("a") for output in (data, png, svg)] == [
        *("a-waveform.json", "a-waveform.png", "a-waveform.svg")
    ]
    assert isinstance(data.content, bytes)
    outline = json.loads(data.content)
    lows, highs = outline["data"][::2], outline["data"][1::2]
    assert (outline["length"], outline["sample_rate"], outline["samples_per_pixel"]) == (100, 48000, 960)
    assert set(lows[:60] + highs[:60]) == {0}
    assert max(highs[60:]) == pytest.approx(64, abs=2)
    assert min(lows[60:]) == pytest.approx(-64, abs=2)
    assert isinstance(png.content, bytes)
    image = Image.open(io.BytesIO(png.content)).convert("RGBA")
    assert image.size == (png.width_px, png.height_px) == (100, 256)
    box = image.crop((62, 0, 100, 256)).getchannel("A").getbbox()
    assert box is not None
    assert (box[1], box[3]) == (pytest.approx(64, abs=2), pytest.approx(192, abs=3))
    assert isinstance(svg.content, bytes)
    (polygon,) = ElementTree.fromstring(svg.content)  # noqa: S314 - we wrote it
    assert len(polygon.attrib["points"].split()) == 200


def test_long_steps_are_put_together_of_parts(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = AudioExtractParams(format="wav", waveform=["json"], waveform_points=100)
    whole = audio_extract(make_task(clips("ping.wav"), tmp_path), asked)[1]
    monkeypatch.setattr("functions.audio_extract.waveform._HELD_S", 0.005)

    assert audio_extract(make_task(clips("ping.wav"), tmp_path), asked)[1].content == whole.content


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["silent.mp4", "tiny.mp4", "interlaced.ts"])
def test_a_film_without_sound_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoAudioStreamError, match="no audio"):
        extracted(clips(name), tmp_path, format="mp3")


@pytest.mark.parametrize("name", ["cut_before_its_index.mp4", "cut_behind_its_index.mp4", "cut.mkv"])
@pytest.mark.parametrize("fmt", ["m4a", "mp3"])
def test_a_damaged_film_is_refused(clips: Clips, tmp_path: Path, name: str, fmt: str) -> None:
    with pytest.raises(CorruptMediaError):
        extracted(clips(name), tmp_path, format=fmt)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnsupportedMediaTypeError),
        (b"No sound, whatever its name says.", UnsupportedMediaTypeError),
        (b"\xff\xd8\xff\xe0", WrongMediaKindError),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes, error: type[DarkroomError]) -> None:
    file = tmp_path / "sound.mp3"
    file.write_bytes(content)

    with pytest.raises(error):
        extracted(file, tmp_path)


def test_a_recording_beyond_the_limit_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TooLongError):
        audio_extract(make_task(clips("sound.mp3"), tmp_path, duration_s=1.9), AudioExtractParams())
