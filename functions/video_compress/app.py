"""Encodes a video anew, smaller, as a file that starts to play before it is all there."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from darkroom.av import ffmpeg, filters, loudness, tags
from darkroom.av.lengths import check_uncut, track_ends
from darkroom.av.probe import Probe, Stream, check_duration, check_pixels, check_whole, probe
from darkroom.contracts.operations import Operation
from darkroom.contracts.video_params import MAX_CRF, VideoCompressParams
from darkroom.errors import CorruptMediaError, InternalError
from darkroom.jobs.worker import bind
from darkroom.media.geometry import Size
from darkroom.media.task import Rendition, Task
from functions.video_compress import crf_search, quality, size_search, subtitles
from functions.video_compress.encoders import ENCODERS, Container, Encoder, quality_arguments, rate_arguments
from functions.video_compress.output_check import Place, check_audible, check_visible

#: Parts of the work: measuring the loudness, the first pass, taking samples and encoding them, and the encodings; the
#: rest is looking at what was made.
_MEASURED = 0.05
_FIRST_PASS = 0.4
_SAMPLED = 0.12
_PROBED = 0.4
_ENCODED = 0.98

#: What every player takes. Surround sound is mixed down to two channels.
_MAX_SAMPLE_RATE_HZ = 48_000
_MAX_CHANNELS = 2

#: With a size to reach: part of it that the sound may take, its lowest bit rate, and bytes of index for each picture.
_SOUND_PART = 4
_LEAST_SOUND_KBPS = 16
_INDEX_BYTES = 24

_STATISTICS = "statistics"


@dataclass(frozen=True)
class Plan:
    """What is to be made of which streams."""

    found: Probe
    params: VideoCompressParams
    size: Size
    reading: list[str]
    writing: list[str]
    sound: Stream | None
    sound_kbps: int
    texts: list[Stream]

    @property
    def encoder(self) -> Encoder:
        """What writes the pictures."""
        return ENCODERS[self.params.codec]

    @property
    def film(self) -> Stream:
        """The pictures that are encoded."""
        return self.found.video()


def video_compress(task: Task, params: VideoCompressParams) -> list[Rendition]:
    """One film: upright, square pixels, never larger than the source, with sound where there is any.

    Data, cover pictures, tags that do not describe it and, unless asked for, subtitles are left out; title and chapters
    stay.
    """
    demuxer = ffmpeg.demuxer_of(task.source)
    source = task.source.download()
    check_uncut(source, demuxer)
    found = probe(str(source), demuxer, task)
    size = fit(check_pixels(found.video(), task.limits), params.max_height, params.max_width)
    check_duration(found, task.limits)

    reading = ffmpeg.input_arguments(str(source), demuxer, max_pixels=task.limits.pixels)
    texts = subtitles.kept(found, demuxer) if params.subtitles == "keep" else []
    plan = _plan(found, params, size, reading, texts, task)
    target, report = task.directory / f"video_compress.{plan.encoder.container.suffix}", None
    if params.target_ssim is not None:
        report = _reach(plan, params.target_ssim, target, task)
    elif params.max_bytes is not None:
        _fill(plan, params.max_bytes, target, task)
    elif params.bitrate_kbps is not None:
        _pace(plan, params.bitrate_kbps * 1000, target, task)
    else:
        _encode(plan, quality_arguments(plan.encoder, params.crf), target, task, span=(_begun(params), _ENCODED))
    made = _checked(plan, target, Place(str(source), demuxer, plan.film), task)
    container = plan.encoder.container
    return [
        Rendition(target, container.suffix, container.media_type, *size, duration_s=made.duration_s, document=report)
    ]


def fit(shown: Size, max_height: int | None, max_width: int | None = None) -> Size:
    """The size of the result for a displayed size: never larger, and even on both sides, as 4:2:0 wants it."""
    height = min(shown.height, max_height or shown.height)
    if max_width is not None and shown.width * height > max_width * shown.height:
        width = _even(max_width, min(max_width, shown.width))
        return Size(width, _even(shown.height * width / shown.width, height))
    height = _even(height, height)
    return Size(_even(shown.width * height / shown.height, min(shown.width, max_width or shown.width)), height)


def _even(length: float, limit: int) -> int:
    return max(2, min(round(length / 2) * 2, limit // 2 * 2))


def _plan(
    found: Probe, params: VideoCompressParams, size: Size, reading: list[str], texts: list[Stream], task: Task
) -> Plan:
    sound = None if params.audio == "none" else found.sound()
    kbps = sound_kbps(params, found.duration_s)
    gain = None
    if sound is not None and params.loudness is not None:
        span = (0.0, _MEASURED)
        gain = loudness.gain_db(reading, sound, params.loudness, task, duration_s=found.duration_s, span=span)
    container = ENCODERS[params.codec].container
    heard = sound_arguments(sound, kbps, container=container, choice=params.audio, gain_db=gain) if sound else []
    writing = [*heard, *tags.arguments(found, sound), *subtitles.arguments(texts, container)]
    return Plan(found, params, size, reading, writing, sound, kbps, texts)


def _begun(params: VideoCompressParams) -> float:
    return 0.0 if params.loudness is None else _MEASURED


def sound_kbps(params: VideoCompressParams, duration_s: float | None) -> int:
    """The sound's bit rate: what was asked for, or less where it would take too much of the bytes."""
    if params.max_bytes is None or not duration_s:
        return params.audio_bitrate_kbps
    share = int(params.max_bytes * 8 / duration_s / 1000 / _SOUND_PART)
    return min(params.audio_bitrate_kbps, max(share, _LEAST_SOUND_KBPS))


def arguments(plan: Plan, rate: list[str], target: Path, *, max_duration_s: float) -> list[str]:
    """What FFmpeg is to make of its one input."""
    limit = f"{max_duration_s + 1:g}"
    return [
        *picture_arguments(plan, rate),
        *plan.writing,
        *("-t", limit, *plan.encoder.container.muxer, ffmpeg.file_url(target)),
    ]


def picture_arguments(plan: Plan, rate: list[str]) -> list[str]:
    """The film, filtered and encoded."""
    return [*filter_arguments(plan), *encoder_arguments(plan, rate), *timing_arguments(plan.film, plan.params.max_fps)]


def filter_arguments(plan: Plan) -> list[str]:
    """The film's pictures as the encoder gets them."""
    return ["-map", f"0:{plan.film.index}", "-vf", filters.encoded(plan.film, plan.size, plan.params.max_fps)]


def encoder_arguments(plan: Plan, rate: list[str]) -> list[str]:
    """What is made of the pictures."""
    return [*plan.encoder.arguments, *plan.encoder.presets[plan.params.preset], *rate]


def timing_arguments(film: Stream, max_fps: float | None = None) -> list[str]:
    """Every picture keeps its time. Where they come at irregular times, no grid of even steps would fit them."""
    irregular = film.variable_frame_rate and not filters.is_thinned(film, max_fps)
    return ["-fps_mode", "vfr", *(["-enc_time_base", "demux"] if irregular else [])]


def sound_arguments(
    sound: Stream, bit_rate_kbps: int, *, container: Container, choice: str = "auto", gain_db: float | None = None
) -> list[str]:
    """Copied where that is wanted and possible; else encoded, gaps in it filled, so that it stays in step."""
    selected = ["-map", f"0:{sound.index}"]
    small = choice == "auto" and _is_small(sound, bit_rate_kbps, container)
    if gain_db is None and (small or (choice == "copy" and sound.codec in container.holds)):
        return [*selected, "-c:a", "copy"]
    chain = ["aresample=async=1:first_pts=0", *(loudness.filters(gain_db) if gain_db is not None else [])]
    encoding = ["-af", ",".join(chain), *container.sound, "-b:a", f"{bit_rate_kbps}k"]
    if (sound.channels or 0) > _MAX_CHANNELS:
        encoding += ["-ac", str(_MAX_CHANNELS)]
    if (sound.sample_rate_hz or 0) > _MAX_SAMPLE_RATE_HZ or gain_db is not None:
        encoding += ["-ar", str(min(sound.sample_rate_hz or _MAX_SAMPLE_RATE_HZ, _MAX_SAMPLE_RATE_HZ))]
    return [*selected, *encoding]


def _is_small(sound: Stream, bit_rate_kbps: int, container: Container) -> bool:
    plays = sound.codec == "opus" if "vorbis" in container.holds else sound.codec == "aac" and sound.profile == "LC"
    small = sound.bit_rate_bps is not None and sound.bit_rate_bps <= bit_rate_kbps * 1000
    plain = (sound.channels or 9) <= _MAX_CHANNELS and (sound.sample_rate_hz or 0) <= _MAX_SAMPLE_RATE_HZ
    return plays and small and plain


def _encode(plan: Plan, rate: list[str], target: Path, task: Task, *, span: tuple[float, float]) -> None:
    writing = arguments(plan, rate, target, max_duration_s=task.limits.duration_s)
    ffmpeg.run("ffmpeg", [*plan.reading, *writing], task, duration_s=plan.found.duration_s, span=span)


def _reach(plan: Plan, wanted: float, target: Path, task: Task) -> dict[str, Any]:
    """Leaves at `target` the film with the highest factor whose samples have the wanted SSIM; returns what was found.

    Where none has it, with the best that was tried. The search ends early when the time is needed for the film itself.
    """
    duration_s, begun, clock = plan.film.duration_s or plan.found.duration_s, _begun(plan.params), time.monotonic()
    timing = timing_arguments(plan.film, plan.params.max_fps)
    taken = quality.taken(plan.reading, [*filter_arguments(plan), *timing], duration_s, task, span=(begun, _SAMPLED))
    taking_s, begun, needed_s = time.monotonic() - clock, _SAMPLED, 0.0

    def measure(factor: int) -> float:
        nonlocal begun, needed_s
        clock, end = time.monotonic(), begun + (_PROBED - begun) / 2
        encoding = [*encoder_arguments(plan, quality_arguments(plan.encoder, factor)), *timing]
        found = quality.score(taken, plan.encoder, encoding, plan.size, task, span=(begun, end))
        measuring_s, begun = time.monotonic() - clock, end
        # Another round, and the film at the pace of this one.
        needed_s = measuring_s + (taking_s + measuring_s) * (duration_s or 0.0) / max(taken.media_s, 1.0)
        return found

    found, rounds = crf_search.search(
        measure,
        wanted=wanted,
        first=plan.encoder.crf,
        most=MAX_CRF[plan.params.codec],
        slope_db=plan.encoder.slope_db,
        proceed=lambda: task.remaining_s() > needed_s,
    )
    for path in taken.paths:
        path.unlink()
    _encode(plan, quality_arguments(plan.encoder, found.crf), target, task, span=(begun, _ENCODED))
    return {
        "codec": plan.params.codec,
        "crf": found.crf,
        "ssim": round(found.score, 5),
        "target_ssim": wanted,
        "target_met": found.score >= wanted,
        "sampled_s": round(taken.media_s, 3),
        "rounds": rounds,
    }


def _pace(plan: Plan, bit_rate_bps: int, target: Path, task: Task) -> None:
    """Leaves at `target` the film in an average bit rate."""
    passes, begun = _first_pass(plan, bit_rate_bps, task)
    _encode(plan, [*rate_arguments(plan.encoder, bit_rate_bps), *passes], target, task, span=(begun, _ENCODED))


def _first_pass(plan: Plan, bit_rate_bps: int, task: Task) -> tuple[list[str], float]:
    """Finds out where the film needs bits, with an encoder that can; returns its arguments for the second pass and how
    far the whole work is."""
    begun = _begun(plan.params)
    if not plan.encoder.two_passes:
        return [], begun
    rate = rate_arguments(plan.encoder, bit_rate_bps)
    first = [*picture_arguments(plan, rate), "-an", "-pass", "1", "-passlogfile", _STATISTICS, "-f", "null", "-"]
    span = (begun, _FIRST_PASS)
    ffmpeg.run("ffmpeg", [*plan.reading, *first], task, duration_s=plan.found.duration_s, span=span)
    return ["-pass", "2", "-passlogfile", _STATISTICS], _FIRST_PASS


def _fill(plan: Plan, most_bytes: int, target: Path, task: Task) -> None:
    """Leaves at `target` the film that fills the bytes, but no more than the source has where that can be helped.

    Raises ResultTooLargeError.
    """
    encoder, duration_s = plan.encoder, plan.film.duration_s or plan.found.duration_s
    if duration_s is None:
        raise CorruptMediaError("The file does not say how long it is, so that no size can be aimed at.")
    wanted_bytes = min(most_bytes, task.source.size_bytes)
    passes, begun = _first_pass(plan, max(int(wanted_bytes * 8 / duration_s), 1000), task)
    best_bytes, trial = 0, target.with_stem("trial")

    def encode(bit_rate_bps: int) -> int:
        nonlocal begun, best_bytes
        end = begun + (_ENCODED - begun) / 2
        _encode(plan, [*rate_arguments(encoder, bit_rate_bps), *passes], trial, task, span=(begun, end))
        begun, size_bytes = end, trial.stat().st_size
        if best_bytes < size_bytes <= most_bytes:
            trial.replace(target)
            best_bytes = size_bytes
        return size_bytes

    size_search.search(
        encode,
        wanted_bytes=wanted_bytes,
        most_bytes=most_bytes,
        other_bytes=_other_bytes(plan, duration_s),
        duration_s=duration_s,
    )


def _other_bytes(plan: Plan, duration_s: float) -> int:
    """About how much of the file will not be pictures."""
    sound_bps = 0 if plan.sound is None else plan.sound_kbps * 1000
    if "copy" in plan.writing and plan.sound is not None and plan.sound.bit_rate_bps:
        sound_bps = plan.sound.bit_rate_bps
    fps = min(plan.film.frame_rate or 25.0, plan.params.max_fps or 240.0)
    return int(duration_s * (sound_bps / 8 + fps * _INDEX_BYTES))


def _checked(plan: Plan, target: Path, source: Place, task: Task) -> Probe:
    """What was made. Raises CorruptMediaError when the source was cut short, InternalError for a fault of ours."""
    demuxer, film = plan.encoder.container.demuxer, plan.film
    made = _timed(probe(str(target), demuxer, task, span=(_ENCODED, 1.0)), target, demuxer)
    check_duration(made, task.limits)
    seen, wanted = (made.video().codec, made.video().width_px, made.video().height_px), (plan.encoder.codec, *plan.size)
    if plan.sound is not None and made.sound() is None:
        raise CorruptMediaError("The file is damaged or cut short: there is nothing in its audio stream.")
    if seen != wanted:
        raise InternalError(f"The encoder made {seen} instead of {wanted}.")
    if sum(stream.kind == "subtitle" for stream in made.streams) != len(plan.texts):
        raise InternalError("The encoder lost subtitles.")
    made_s, fps = made.video().duration_s, plan.params.max_fps
    check_whole(film, made_s, demuxer=source.demuxer, frame_rate=fps)
    check_visible(Place(str(target), demuxer, made.video()), source, task)
    if plan.sound is not None:
        check_whole(plan.sound, made.audio().duration_s, demuxer=source.demuxer)
        check_audible(Place(str(target), demuxer, made.audio()), replace(source, stream=plan.sound), task)
    return made


def _timed(made: Probe, target: Path, demuxer: str) -> Probe:
    """What was made, with the lengths that players see."""
    if demuxer != "mov":
        return made
    starts, ends = [stream.start_s or 0.0 for stream in made.streams], track_ends(target)
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    streams = (replace(stream, duration_s=length) for stream, length in zip(made.streams, lengths, strict=True))
    return replace(made, streams=tuple(streams), duration_s=max(ends) - min(starts))


handler = bind(Operation.VIDEO_COMPRESS, video_compress)
