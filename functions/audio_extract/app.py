"""Extracts the audio of a video, or converts an audio file to another format; on request with its waveform."""

from collections.abc import Sequence
from pathlib import Path

from darkroom.av import ffmpeg, loudness
from darkroom.av.inputs import choose_demuxer, file_url, input_arguments
from darkroom.av.probe import Probe, Stream, check_duration, probe
from darkroom.av.tags import tag_arguments
from darkroom.av.truncation import check_output_duration, check_structure
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError
from darkroom.jobs.worker import bind
from darkroom.media.task import Rendition, Task
from functions.audio_extract.excerpt import Excerpt
from functions.audio_extract.formats import AUDIO_FORMATS, AudioFormat
from functions.audio_extract.waveform import render_waveforms

#: The job's progress, from 0 to 1, at which measuring the loudness and encoding end. The rest is for the result's check
#: and the waveform.
_LOUDNESS_END = 0.3
_ENCODE_END = 0.98

#: FFmpeg filters that fill gaps, and that mix all channels into one.
_FILL_GAPS = "aresample=async=1"
_MIX_TO_MONO = "aformat=channel_layouts=mono"

#: Bits per sample of lossless results, unless the source states more. A lossy source states none.
_DEFAULT_BIT_DEPTH = 16


def audio_extract(task: Task, params: AudioExtractParams) -> list[Rendition]:
    """One audio file, and its waveform on request. The audio is copied without loss where nothing about it changes.

    Keeps chapters, where the format holds them, and the tags that describe the content. Drops cover images and all
    other tags.
    """
    demuxer, audio_format = choose_demuxer(task.source), AUDIO_FORMATS[params.format]
    source = task.source.download()
    check_structure(source, demuxer)
    found = probe(str(source), demuxer, task)
    audio = found.audio_stream(params.track)
    check_duration(found, task.limits)
    excerpt = Excerpt.choose(found, audio, params)

    opening = [*excerpt.seek_arguments, *input_arguments(str(source), demuxer, max_pixels=task.limits.pixels)]
    gain_db = _measure_gain_db(opening, audio, excerpt, params, task)
    target = task.directory / f"audio_extract.{audio_format.suffix}"
    writing = extract_arguments(found, params, target, max_duration_s=task.limits.duration_s, gain_db=gain_db)
    span = (0.0 if gain_db is None else _LOUDNESS_END, _ENCODE_END)
    output = ffmpeg.run("ffmpeg", [*opening, *writing], task, duration_s=excerpt.expected_s, span=span)

    made = probe(str(target), audio_format.demuxer, task, span=(_ENCODE_END, 1.0))
    # A raw AAC file does not state its duration; ffprobe would estimate it from the first frames.
    duration_s = output.media_s if audio_format.demuxer == "aac" else made.duration_s
    check_output_duration(excerpt.apply_duration(audio), duration_s, demuxer=demuxer)
    check_duration(made, task.limits)
    if made.default_audio_stream() is None:
        raise CorruptMediaError("The file is damaged or cut short: its audio track is empty.")
    renditions = [Rendition(target, audio_format.suffix, audio_format.media_type, duration_s=duration_s)]
    if params.waveform is not None:
        renditions += render_waveforms(
            params.waveform,
            str(target),
            audio_format.demuxer,
            made.audio_stream(),
            task.map_progress(_ENCODE_END, 1),
            points=params.waveform_points,
            duration_s=duration_s or 0.0,
        )
    return renditions


def extract_arguments(
    found: Probe, params: AudioExtractParams, target: Path, *, max_duration_s: float, gain_db: float | None = None
) -> list[str]:
    """FFmpeg arguments after the input."""
    audio, audio_format = found.audio_stream(params.track), AUDIO_FORMATS[params.format]
    changes = change_filters(params, audio, gain_db, Excerpt.choose(found, audio, params).expected_s)
    limit_s = f"{max_duration_s + 1:g}"  # one second more, so that the check of the duration notices longer audio
    return [
        *("-map", f"0:{audio.index}"),
        *codec_arguments(audio, audio_format, params.bitrate_kbps, changes, mono=params.mono),
        *tag_arguments(found, audio),
        *("-t", limit_s, *audio_format.muxer, file_url(target)),
    ]


def change_filters(
    params: AudioExtractParams, audio: Stream, gain_db: float | None, expected_s: float | None
) -> list[str]:
    """FFmpeg filters for the requested changes; empty where the audio may be copied."""
    changes = [_MIX_TO_MONO] if params.mono and audio.channels != 1 else []
    # Lossless formats are encoded, to cut between samples. Lossy formats are cut between packets, to keep the quality.
    if AUDIO_FORMATS[params.format].kbps_per_channel is None and (params.start_s or params.duration_s):
        changes.append("anull")
    changes += loudness.gain_filters(gain_db) if gain_db is not None else []
    if params.fade_in_s is not None or params.fade_out_s is not None:
        changes.append("asetpts=PTS-STARTPTS")  # the audio may start later than its file
    if params.fade_in_s is not None:
        changes.append(f"afade=t=in:d={params.fade_in_s:g}")
    if params.fade_out_s is not None:
        start_s = max((expected_s or 0.0) - params.fade_out_s, 0.0)
        changes.append(f"afade=t=out:st={start_s:.3f}:d={params.fade_out_s:g}")
    return changes


def codec_arguments(
    audio: Stream,
    audio_format: AudioFormat,
    bit_rate_kbps: int | None,
    changes: Sequence[str] = (),
    *,
    mono: bool = False,
) -> list[str]:
    """FFmpeg arguments that copy the audio where it has the right codec and no change, else encode it without gaps."""
    has_rate = bit_rate_kbps is not None and audio_format.kbps_per_channel is not None
    if audio.codec in audio_format.codecs and not has_rate and not changes:
        return ["-c:a", "copy"]
    layouts = [f"aformat=channel_layouts={audio_format.layouts}"] if audio_format.layouts else []
    encoder = audio_format.high_depth_encoder if (audio.bit_depth or 0) > _DEFAULT_BIT_DEPTH else ()
    filters = ",".join([_FILL_GAPS, *changes, *layouts])
    bit_rate = _bit_rate_arguments(1 if mono else audio.channels or 1, audio_format, bit_rate_kbps)
    return ["-af", filters, *(encoder or audio_format.encoder), *bit_rate]


def _bit_rate_arguments(channels: int, audio_format: AudioFormat, requested_kbps: int | None) -> list[str]:
    if audio_format.kbps_per_channel is None:
        return []
    default_kbps, max_kbps = audio_format.kbps_per_channel
    channels = min(channels, audio_format.max_channels)
    return ["-b:a", f"{min(requested_kbps or default_kbps * channels, max_kbps * channels)}k"]


def _measure_gain_db(
    opening: Sequence[str], audio: Stream, excerpt: Excerpt, params: AudioExtractParams, task: Task
) -> float | None:
    """The gain that reaches the requested loudness; None where none is requested."""
    if params.loudness is None:
        return None
    return loudness.measure_gain_db(
        opening,
        audio,
        params.loudness,
        task,
        prefilter=f"{_FILL_GAPS},{_MIX_TO_MONO}" if params.mono else _FILL_GAPS,
        duration_s=excerpt.expected_s,
        span=(0.0, _LOUDNESS_END),
    )


handler = bind(Operation.AUDIO_EXTRACT, audio_extract)
