"""The FFmpeg arguments of an encoding, built from a plan without running anything."""

from pathlib import Path

from darkroom.av import filters
from darkroom.av.inputs import file_url
from darkroom.av.probe import Stream
from functions.video_compress.plan import CompressionPlan

#: File in which the first of two passes stores its statistics for the second.
_STATISTICS = "statistics"


def output_arguments(plan: CompressionPlan, rate: list[str], target: Path, *, max_duration_s: float) -> list[str]:
    """Everything after the input. `rate` are the arguments of the rate control."""
    limit_s = f"{max_duration_s + 1:g}"  # one second more, so that the check of the output notices a longer video
    return [
        *video_arguments(plan, rate),
        *plan.other_arguments,
        *("-t", limit_s, *plan.encoder.container.muxer, file_url(target)),
    ]


def first_pass_arguments(plan: CompressionPlan, rate: list[str]) -> list[str]:
    """Everything after the input for the first of two passes, which writes statistics and no media."""
    return [*video_arguments(plan, rate), "-an", "-pass", "1", "-passlogfile", _STATISTICS, "-f", "null", "-"]


def second_pass_arguments() -> list[str]:
    """What the second pass adds to its rate control."""
    return ["-pass", "2", "-passlogfile", _STATISTICS]


def video_arguments(plan: CompressionPlan, rate: list[str]) -> list[str]:
    """The video stream, filtered and encoded."""
    return [
        *filter_arguments(plan),
        *encoder_arguments(plan, rate),
        *timing_arguments(plan.video, plan.params.max_fps),
    ]


def filter_arguments(plan: CompressionPlan) -> list[str]:
    """The video stream as the encoder receives it."""
    chain = filters.encode_filters(plan.video, plan.size, plan.params.max_fps)
    return ["-map", f"0:{plan.video.index}", "-vf", chain]


def encoder_arguments(plan: CompressionPlan, rate: list[str]) -> list[str]:
    """The encoder with its preset and rate control."""
    return [*plan.encoder.arguments, *plan.encoder.presets[plan.params.preset], *rate]


def timing_arguments(video: Stream, max_fps: float | None = None) -> list[str]:
    """Keeps the timestamp of every frame. A variable frame rate needs the time base of the source for that."""
    irregular = video.variable_frame_rate and not filters.drops_frames(video, max_fps)
    return ["-fps_mode", "vfr", *(["-enc_time_base", "demux"] if irregular else [])]
