"""Takes the sound out of a video, or turns a sound file into another format."""

from dataclasses import dataclass
from pathlib import Path

from darkroom import ffmpeg, tags
from darkroom.boxes import check_uncut
from darkroom.contracts import AudioExtractParams, Operation
from darkroom.errors import InternalError
from darkroom.probe import Probe, Stream, check_duration, check_whole, probe
from darkroom.task import Rendition, Task
from darkroom.worker import bind

#: Part of the work that the encoding is; the rest is looking at what it made.
_ENCODING = (0.0, 0.98)

#: Lossless formats keep more than 16 bits a sample only where the source has them: lossy codecs decode to any depth.
_PLAIN_BIT_DEPTH = 16


@dataclass(frozen=True)
class Format:
    """How a format is written.

    `codecs` go into it unchanged. `layouts` are the channel layouts that the encoder takes, up to `max_channels`; the
    nearest is made of any other. `kbps_per_channel` are the default bit rate and the largest one, None for lossless
    formats. `deep` are the encoder's arguments for more than 16 bits.
    """

    suffix: str
    media_type: str
    demuxer: str
    muxer: tuple[str, ...]
    codecs: frozenset[str]
    encoder: tuple[str, ...]
    layouts: str | None = None
    max_channels: int = 8
    kbps_per_channel: tuple[int, int] | None = None
    deep: tuple[str, ...] = ()


_MP3_LAYOUTS = "mono|stereo"
_AAC_LAYOUTS = "mono|stereo|3.0|4.0|5.0|5.1|7.1"
_XIPH_LAYOUTS = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"
_AAC = frozenset({"aac"})
_WAV_CODECS = frozenset({"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"})

FORMATS: dict[str, Format] = {
    "mp3": Format(
        *("mp3", "audio/mpeg", "mp3", ("-f", "mp3"), frozenset({"mp3"})),
        encoder=("-c:a", "libmp3lame"),
        layouts=_MP3_LAYOUTS,
        max_channels=2,
        kbps_per_channel=(96, 320),
    ),
    "aac": Format(
        *("aac", "audio/aac", "aac", ("-f", "adts"), _AAC),
        encoder=("-c:a", "aac"),
        layouts=_AAC_LAYOUTS,
        kbps_per_channel=(80, 512),
    ),
    "m4a": Format(
        *("m4a", "audio/mp4", "mov", ("-movflags", "+faststart", "-f", "ipod"), _AAC),
        encoder=("-c:a", "aac"),
        layouts=_AAC_LAYOUTS,
        kbps_per_channel=(80, 512),
    ),
    "opus": Format(
        *("opus", "audio/ogg", "ogg", ("-f", "opus"), frozenset({"opus"})),
        encoder=("-c:a", "libopus"),
        layouts=_XIPH_LAYOUTS,
        kbps_per_channel=(64, 256),
    ),
    "flac": Format(
        *("flac", "audio/flac", "flac", ("-f", "flac"), frozenset({"flac"})),
        encoder=("-c:a", "flac", "-sample_fmt", "s16"),
        layouts=_XIPH_LAYOUTS,
        deep=("-c:a", "flac", "-sample_fmt", "s32"),
    ),
    "wav": Format(
        *("wav", "audio/wav", "wav", ("-rf64", "auto", "-f", "wav"), _WAV_CODECS),
        encoder=("-c:a", "pcm_s16le"),
        deep=("-c:a", "pcm_s24le"),
    ),
}


def audio_extract(task: Task, params: AudioExtractParams) -> list[Rendition]:
    """One sound file. The sound is copied without loss where its codec goes into the format and no bit rate was asked.

    Cover pictures and tags that do not describe it are left out; title and chapters stay where the format holds them.
    """
    demuxer, form = ffmpeg.demuxer_of(task.source), FORMATS[params.format]
    source = task.source.path()
    if demuxer == "mov":
        check_uncut(source)
    found = probe(str(source), demuxer, task)
    sound = found.audio()
    check_duration(found, task.limits)

    target = task.directory / f"audio_extract.{form.suffix}"
    reading = ffmpeg.input_arguments(str(source), demuxer, max_pixels=task.limits.pixels)
    writing = arguments(found, params, target, max_duration_s=task.limits.duration_s)
    finished = ffmpeg.run("ffmpeg", [*reading, *writing], task, duration_s=found.duration_s, span=_ENCODING)

    made = probe(str(target), form.demuxer, task, span=(_ENCODING[1], 1.0))
    # A bare AAC file does not say how long it is; ffprobe would guess from its first frames.
    duration_s = finished.media_s if form.demuxer == "aac" else made.duration_s
    check_whole(sound, duration_s, source=found, demuxer=demuxer)
    check_duration(made, task.limits)
    if made.sound() is None:
        raise InternalError("The encoder made no sound.")
    return [Rendition(target, form.suffix, form.media_type, duration_s=duration_s)]


def arguments(found: Probe, params: AudioExtractParams, target: Path, *, max_duration_s: float) -> list[str]:
    """What FFmpeg is to make of its one input."""
    sound, form = found.audio(), FORMATS[params.format]
    return [
        *("-map", f"0:{sound.index}"),
        *codec_arguments(sound, form, params.bitrate_kbps),
        *tags.arguments(found, sound),
        *("-t", f"{max_duration_s + 1:g}", *form.muxer, ffmpeg.file_url(target)),
    ]


def codec_arguments(sound: Stream, form: Format, bit_rate_kbps: int | None) -> list[str]:
    """Copies or encodes. Gaps are filled, so that the sound keeps its time."""
    if sound.codec in form.codecs and (bit_rate_kbps is None or form.kbps_per_channel is None):
        return ["-c:a", "copy"]
    chain = "aresample=async=1" + (f",aformat=channel_layouts={form.layouts}" if form.layouts else "")
    deep = form.deep if (sound.bit_depth or 0) > _PLAIN_BIT_DEPTH else ()
    return ["-af", chain, *(deep or form.encoder), *_bit_rate(sound, form, bit_rate_kbps)]


def _bit_rate(sound: Stream, form: Format, asked_kbps: int | None) -> list[str]:
    if form.kbps_per_channel is None:
        return []
    default_kbps, max_kbps = form.kbps_per_channel
    channels = min(sound.channels or 1, form.max_channels)
    return ["-b:a", f"{min(asked_kbps or default_kbps * channels, max_kbps * channels)}k"]


handler = bind(Operation.AUDIO_EXTRACT, audio_extract)
