"""The four ways to encode: to a CRF, to an SSIM, to an average bit rate, and to a size in bytes.

Each writes the result to `target`.
"""

import time
from pathlib import Path
from typing import Any

from darkroom.av import ffmpeg
from darkroom.contracts.video_params import MAX_CRF
from darkroom.errors import CorruptMediaError
from darkroom.media.task import Task
from functions.video_compress import quality
from functions.video_compress.arguments import (
    encoder_arguments,
    filter_arguments,
    first_pass_arguments,
    output_arguments,
    second_pass_arguments,
    timing_arguments,
)
from functions.video_compress.crf_search import search_crf
from functions.video_compress.encoders import crf_arguments, rate_arguments
from functions.video_compress.plan import CompressionPlan
from functions.video_compress.size_search import search_bit_rate

#: The job's progress, from 0 to 1, at which each stage ends. The rest is for checking the result.
_FIRST_PASS_END = 0.4
_SAMPLES_END = 0.12
_SEARCH_END = 0.4
ENCODE_END = 0.98

#: Bytes that a container needs for each frame.
_INDEX_BYTES = 24

#: Frame rates for the estimate of the index where the source states none or no limit is set.
_USUAL_FPS, _LARGEST_FPS = 25.0, 240.0

#: Lowest bit rate of a first pass.
_MIN_BIT_RATE_BPS = 1000


def encode_to_crf(plan: CompressionPlan, crf: int | None, target: Path, task: Task) -> None:
    """Encodes with a constant rate factor, None for the encoder's default."""
    _encode(plan, crf_arguments(plan.encoder, crf), target, task, span=(plan.encode_start, ENCODE_END))


def encode_to_ssim(plan: CompressionPlan, target_ssim: float, target: Path, task: Task) -> dict[str, Any]:
    """Encodes with the largest CRF whose samples reach the SSIM; returns the report for the job's document.

    Where no CRF reaches it, uses the best one tried. The search ends early when the remaining time is needed for
    encoding the video itself.
    """
    duration_s, timing = plan.duration_s, timing_arguments(plan.video, plan.params.max_fps)
    started, span = time.monotonic(), (plan.encode_start, _SAMPLES_END)
    samples = quality.take_samples(plan.opening, [*filter_arguments(plan), *timing], duration_s, task, span=span)
    sampling_s, progress, needed_s = time.monotonic() - started, _SAMPLES_END, 0.0

    def measure(crf: int) -> float:
        nonlocal progress, needed_s
        started, end = time.monotonic(), progress + (_SEARCH_END - progress) / 2
        encoding = [*encoder_arguments(plan, crf_arguments(plan.encoder, crf)), *timing]
        ssim = quality.measure_ssim(samples, plan.encoder, encoding, plan.size, task, span=(progress, end))
        measuring_s, progress = time.monotonic() - started, end
        # Another trial, and the whole video at the speed of this trial.
        needed_s = measuring_s + (sampling_s + measuring_s) * (duration_s or 0.0) / max(samples.media_s, 1.0)
        return ssim

    best, trials = search_crf(
        measure,
        target=target_ssim,
        first_crf=plan.encoder.default_crf,
        max_crf=MAX_CRF[plan.params.codec],
        slope_db=plan.encoder.slope_db,
        may_continue=lambda: task.remaining_s() > needed_s,
    )
    for path in samples.paths:
        path.unlink()
    _encode(plan, crf_arguments(plan.encoder, best.crf), target, task, span=(progress, ENCODE_END))
    return {
        "codec": plan.params.codec,
        "crf": best.crf,
        "ssim": round(best.score, 5),
        "target_ssim": target_ssim,
        "target_met": best.score >= target_ssim,
        "sampled_s": round(samples.media_s, 3),
        "rounds": trials,
    }


def encode_to_bit_rate(plan: CompressionPlan, bit_rate_bps: int, target: Path, task: Task) -> None:
    """Encodes to an average bit rate of the video stream."""
    second_pass, start = _run_first_pass(plan, bit_rate_bps, task)
    rate = [*rate_arguments(plan.encoder, bit_rate_bps), *second_pass]
    _encode(plan, rate, target, task, span=(start, ENCODE_END))


def encode_to_size(plan: CompressionPlan, max_bytes: int, target: Path, task: Task) -> None:
    """Encodes to the best quality that fits into `max_bytes`; where possible no larger than the source.

    Raises ResultTooLargeError when nothing fits, and CorruptMediaError when the source states no duration.
    """
    duration_s = plan.duration_s
    if duration_s is None:
        raise CorruptMediaError("The file does not state its duration, so its size cannot be limited.")
    wanted_bytes = min(max_bytes, task.source.size_bytes)
    second_pass, progress = _run_first_pass(plan, max(int(wanted_bytes * 8 / duration_s), _MIN_BIT_RATE_BPS), task)
    best_bytes, trial = 0, target.with_stem("trial")

    def encode(bit_rate_bps: int) -> int:
        nonlocal progress, best_bytes
        end = progress + (ENCODE_END - progress) / 2
        rate = [*rate_arguments(plan.encoder, bit_rate_bps), *second_pass]
        _encode(plan, rate, trial, task, span=(progress, end))
        progress, size_bytes = end, trial.stat().st_size
        if best_bytes < size_bytes <= max_bytes:
            trial.replace(target)
            best_bytes = size_bytes
        return size_bytes

    search_bit_rate(
        encode,
        wanted_bytes=wanted_bytes,
        max_bytes=max_bytes,
        other_bytes=_estimate_other_bytes(plan, duration_s),
        duration_s=duration_s,
    )


def _run_first_pass(plan: CompressionPlan, bit_rate_bps: int, task: Task) -> tuple[list[str], float]:
    """Lets the encoder find out where the video needs bits, if it has two passes.

    Returns the arguments that the second pass needs, and the job's progress.
    """
    if not plan.encoder.two_passes:
        return [], plan.encode_start
    first_pass = first_pass_arguments(plan, rate_arguments(plan.encoder, bit_rate_bps))
    span = (plan.encode_start, _FIRST_PASS_END)
    ffmpeg.run("ffmpeg", [*plan.opening, *first_pass], task, duration_s=plan.found.duration_s, span=span)
    return second_pass_arguments(), _FIRST_PASS_END


def _encode(plan: CompressionPlan, rate: list[str], target: Path, task: Task, *, span: tuple[float, float]) -> None:
    writing = output_arguments(plan, rate, target, max_duration_s=task.limits.duration_s)
    ffmpeg.run("ffmpeg", [*plan.opening, *writing], task, duration_s=plan.found.duration_s, span=span)


def _estimate_other_bytes(plan: CompressionPlan, duration_s: float) -> int:
    """Approximate bytes of the result that are not video: the audio and the container's index."""
    audio_bps = 0 if plan.audio is None else plan.audio_kbps * 1000
    if "copy" in plan.other_arguments and plan.audio is not None and plan.audio.bit_rate_bps:
        audio_bps = plan.audio.bit_rate_bps
    fps = min(plan.video.frame_rate or _USUAL_FPS, plan.params.max_fps or _LARGEST_FPS)
    return int(duration_s * (audio_bps / 8 + fps * _INDEX_BYTES))
