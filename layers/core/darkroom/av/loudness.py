"""Loudness normalization by EBU R128: measure the whole audio stream, then apply one gain and limit the peaks.

FFmpeg's `ebur128` filter measures the integrated loudness (ITU-R BS.1770).
"""

import math
import re
from collections.abc import Sequence

from darkroom.av import ffmpeg
from darkroom.av.probe import Stream
from darkroom.media.task import Task

#: Audio below this loudness in LUFS is silence with noise: a gain would only amplify the noise.
_SILENCE_LUFS = -65.0

#: Largest peak as a fraction of full scale: 1.5 dB below, because lossy encoders overshoot.
_PEAK = 0.84

_REPORT = "loudness.txt"
_INTEGRATED = re.compile(r"^lavfi\.r128\.I=(\S+)$", re.MULTILINE)


def measure_gain_db(
    opening: Sequence[str],
    audio: Stream,
    target_lufs: float,
    task: Task,
    *,
    prefilter: str = "anull",
    duration_s: float | None = None,
    span: tuple[float, float] = (0.0, 0.0),
) -> float:
    """Returns the gain that brings an audio stream, after `prefilter`, to the target loudness; 0 for silence.

    `opening` are the arguments that open the input. `duration_s` and `span` are those of `ffmpeg.run`.
    """
    filters = f"{prefilter},ebur128=metadata=1:framelog=quiet,ametadata=mode=print:key=lavfi.r128.I:file={_REPORT}"
    measuring = ["-map", f"0:{audio.index}", "-af", filters, "-f", "null", "-"]
    ffmpeg.run("ffmpeg", [*opening, *measuring], task, duration_s=duration_s, span=span)
    found = _INTEGRATED.findall((task.directory / _REPORT).read_text())
    measured_lufs = float(found[-1]) if found else -math.inf
    return target_lufs - measured_lufs if math.isfinite(measured_lufs) and measured_lufs > _SILENCE_LUFS else 0.0


def gain_filters(gain_db: float) -> list[str]:
    """FFmpeg filters that apply a gain and limit the peaks."""
    return [f"volume={gain_db:.2f}dB", f"alimiter=limit={_PEAK}:attack=5:release=50:level=disabled:latency=1"]
