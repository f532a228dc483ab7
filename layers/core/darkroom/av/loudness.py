"""Loudness by EBU R128: measured over the whole sound, then reached by one gain, with a limit for the peaks."""

import math
import re

from darkroom.av import ffmpeg
from darkroom.av.probe import Stream
from darkroom.media.task import Task

#: Sounds quieter than this, in LUFS, are silence with noise; raising it would only raise the noise.
_SILENCE_LUFS = -65.0

#: The most that peaks may reach, 1.5 dB below full scale: encoders overshoot a little.
_PEAK = 0.84

_REPORT = "loudness.txt"
_LINE = re.compile(r"^lavfi\.r128\.I=(\S+)$", re.MULTILINE)


def gain_db(
    reading: list[str],
    sound: Stream,
    target_lufs: float,
    task: Task,
    *,
    first: str = "anull",
    duration_s: float | None = None,
    span: tuple[float, float] = (0.0, 0.0),
) -> float:
    """The gain that brings a sound, after the filter `first`, to a loudness; 0 for silence.

    `reading` are the arguments that open the input.
    """
    measuring = f"{first},ebur128=metadata=1:framelog=quiet,ametadata=mode=print:key=lavfi.r128.I:file={_REPORT}"
    writing = ["-map", f"0:{sound.index}", "-af", measuring, "-f", "null", "-"]
    ffmpeg.run("ffmpeg", [*reading, *writing], task, duration_s=duration_s, span=span)
    found = _LINE.findall((task.directory / _REPORT).read_text())
    measured = float(found[-1]) if found else -math.inf
    return target_lufs - measured if math.isfinite(measured) and measured > _SILENCE_LUFS else 0.0


def filters(gain: float) -> list[str]:
    """FFmpeg's filters that apply a gain in decibels and keep the peaks in bounds."""
    return [f"volume={gain:.2f}dB", f"alimiter=limit={_PEAK}:attack=5:release=50:level=disabled:latency=1"]
