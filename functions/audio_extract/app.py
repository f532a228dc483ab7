"""Takes the sound out of a video, or turns a sound file into another format; on request with its waveform."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from darkroom.av import ffmpeg, loudness, tags
from darkroom.av.lengths import check_uncut
from darkroom.av.probe import Probe, Stream, check_duration, check_whole, probe
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError, InvalidRequestError
from darkroom.jobs.worker import bind
from darkroom.media.task import Rendition, Task
from functions.audio_extract import waveform
from functions.audio_extract.waveform import Waveform

#: Parts of the work: measuring the loudness, and the encoding; the rest is looking at what it made.
_MEASURED = 0.3
_ENCODED = 0.98

#: FFmpeg's filters that fill gaps, and mix all channels into one.
_CONTINUOUS = "aresample=async=1"
_MONO = ",aformat=channel_layouts=mono"

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
    """One sound file, and its waveform where asked. The sound is copied without loss where nothing about it changes.

    Cover pictures and tags that do not describe it are left out; title and chapters stay where the format holds them.
    """
    demuxer, form = ffmpeg.demuxer_of(task.source), FORMATS[params.format]
    source = task.source.download()
    check_uncut(source, demuxer)
    found = probe(str(source), demuxer, task)
    sound = found.audio(params.track)
    check_duration(found, task.limits)
    part = Part.of(found, sound, params)

    target = task.directory / f"audio_extract.{form.suffix}"
    reading = [*part.arguments, *ffmpeg.input_arguments(str(source), demuxer, max_pixels=task.limits.pixels)]
    gain = None
    if params.loudness is not None:
        first, span = _CONTINUOUS + (_MONO if params.mono else ""), (0.0, _MEASURED)
        gain = loudness.gain_db(
            reading, sound, params.loudness, task, first=first, duration_s=part.expected_s, span=span
        )
    writing = arguments(found, params, target, max_duration_s=task.limits.duration_s, gain_db=gain)
    span = (0.0 if gain is None else _MEASURED, _ENCODED)
    finished = ffmpeg.run("ffmpeg", [*reading, *writing], task, duration_s=part.expected_s, span=span)

    made = probe(str(target), form.demuxer, task, span=(_ENCODED, 1.0))
    # A bare AAC file does not say how long it is; ffprobe would guess from its first frames.
    duration_s = finished.media_s if form.demuxer == "aac" else made.duration_s
    check_whole(part.promised(sound), duration_s, demuxer=demuxer)
    check_duration(made, task.limits)
    if made.sound() is None:
        raise CorruptMediaError("The file is damaged or cut short: there is nothing in its audio stream.")
    result = Rendition(target, form.suffix, form.media_type, duration_s=duration_s)
    return [result, *_waveforms(target, form, made.audio(), duration_s, params, task)]


@dataclass(frozen=True)
class Part:
    """The part of a sound that is taken. `expected_s` is how long it should be; None where nobody knows."""

    start_s: float
    asked_s: float | None
    expected_s: float | None

    @classmethod
    def of(cls, found: Probe, sound: Stream, params: AudioExtractParams) -> "Part":
        """Raises InvalidRequestError when it would begin behind the end."""
        late_s = max((sound.start_s or 0.0) - (found.start_s or 0.0), 0.0)
        start_s, end_s = params.start_s or 0.0, late_s + sound.duration_s if sound.duration_s else found.duration_s
        if end_s is not None and start_s >= end_s:
            raise InvalidRequestError(f"The sound is {end_s:.1f} seconds long; it cannot begin at {start_s:.1f}.")
        # What lies before a sound that begins later than the film is no part of it.
        before_s = max(late_s - start_s, 0.0)
        if params.duration_s is not None and params.duration_s <= before_s:
            raise InvalidRequestError(f"The sound begins at {late_s:.1f} seconds, behind the part that is asked for.")
        wanted_s = None if params.duration_s is None else params.duration_s - before_s
        there_s = None if end_s is None else end_s - start_s - before_s
        lengths = [length for length in (wanted_s, there_s) if length is not None]
        if params.fade_out_s is not None and not lengths:
            raise CorruptMediaError("The file does not say how long it is, so that its end cannot be faded out.")
        return cls(start_s, params.duration_s, min(lengths, default=None))

    @property
    def arguments(self) -> list[str]:
        """FFmpeg's arguments before the input."""
        if self.asked_s is None:
            return ["-ss", f"{self.start_s:g}"] if self.start_s else []
        return ["-ss", f"{self.start_s:g}", "-t", f"{self.asked_s:g}"]  # else it counts from where the sound begins

    def promised(self, sound: Stream) -> Stream:
        """The sound as long as the part that is taken of it."""
        return replace(sound, duration_s=self.expected_s) if self.arguments and sound.duration_s else sound


def arguments(
    found: Probe, params: AudioExtractParams, target: Path, *, max_duration_s: float, gain_db: float | None = None
) -> list[str]:
    """What FFmpeg is to make of its one input."""
    sound, form = found.audio(params.track), FORMATS[params.format]
    changes = changes_of(params, sound, gain_db, Part.of(found, sound, params).expected_s)
    return [
        *("-map", f"0:{sound.index}"),
        *codec_arguments(sound, form, params.bitrate_kbps, changes, mono=params.mono),
        *tags.arguments(found, sound),
        *("-t", f"{max_duration_s + 1:g}", *form.muxer, ffmpeg.file_url(target)),
    ]


def changes_of(params: AudioExtractParams, sound: Stream, gain_db: float | None, expected_s: float | None) -> list[str]:
    """FFmpeg's filters for what is to become of the sound; none where it stays as it is."""
    changes = ["aformat=channel_layouts=mono"] if params.mono and sound.channels != 1 else []
    # Cut to the sample where encoding loses nothing, and between packets where it would.
    if FORMATS[params.format].kbps_per_channel is None and (params.start_s or params.duration_s):
        changes.append("anull")
    changes += loudness.filters(gain_db) if gain_db is not None else []
    if params.fade_in_s is not None or params.fade_out_s is not None:
        changes.append("asetpts=PTS-STARTPTS")  # a sound may begin later than its file
    if params.fade_in_s is not None:
        changes.append(f"afade=t=in:d={params.fade_in_s:g}")
    if params.fade_out_s is not None:
        start_s = max((expected_s or 0.0) - params.fade_out_s, 0.0)
        changes.append(f"afade=t=out:st={start_s:.3f}:d={params.fade_out_s:g}")
    return changes


def codec_arguments(
    sound: Stream, form: Format, bit_rate_kbps: int | None, changes: Sequence[str] = (), *, mono: bool = False
) -> list[str]:
    """Copies or encodes. Gaps are filled, so that the sound keeps its time."""
    if sound.codec in form.codecs and (bit_rate_kbps is None or form.kbps_per_channel is None) and not changes:
        return ["-c:a", "copy"]
    layouts = [f"aformat=channel_layouts={form.layouts}"] if form.layouts else []
    deep = form.deep if (sound.bit_depth or 0) > _PLAIN_BIT_DEPTH else ()
    heard = replace(sound, channels=1) if mono else sound
    chain = ",".join([_CONTINUOUS, *changes, *layouts])
    return ["-af", chain, *(deep or form.encoder), *_bit_rate(heard, form, bit_rate_kbps)]


def _waveforms(
    target: Path, form: Format, sound: Stream, duration_s: float | None, params: AudioExtractParams, task: Task
) -> list[Rendition]:
    if params.waveform is None:
        return []
    points, length_s = params.waveform_points, duration_s or 0.0
    outline = waveform.measure(
        str(target), form.demuxer, sound, task.map_progress(_ENCODED, 1), points=points, duration_s=length_s
    )
    return [_drawn(outline, name) for name in params.waveform]


def _drawn(outline: Waveform, name: str) -> Rendition:
    write, media_type = waveform.FORMS[name]
    width_px, height_px = (len(outline.steps), waveform.HEIGHT_PX) if name == "png" else (None, None)
    return Rendition(write(outline), name, media_type, width_px, height_px, name="waveform")


def _bit_rate(sound: Stream, form: Format, asked_kbps: int | None) -> list[str]:
    if form.kbps_per_channel is None:
        return []
    default_kbps, max_kbps = form.kbps_per_channel
    channels = min(sound.channels or 1, form.max_channels)
    return ["-b:a", f"{min(asked_kbps or default_kbps * channels, max_kbps * channels)}k"]


handler = bind(Operation.AUDIO_EXTRACT, audio_extract)
