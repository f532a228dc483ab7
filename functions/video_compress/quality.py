"""Lossless samples of a video as the encoder receives it, and the SSIM of an encoding of them.

Both sides of the comparison therefore have the same size, colors, rate and number of frames. The measure is SSIM (Wang
et al., "Image quality assessment: from error visibility to structural similarity", 2004) as FFmpeg's filter computes
it: the mean over all frames of its weighted mean over the three planes. The ffmpeg layer has no VMAF. It has no decoder
for AV1 either: there Pillow decodes, and only the brightness is compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from darkroom.av import ffmpeg, process
from darkroom.av.inputs import file_url, input_arguments
from darkroom.errors import CorruptMediaError
from darkroom.media.geometry import Size
from darkroom.media.task import Task
from functions.video_compress.encoders import Encoder

#: A video of up to so many seconds is its own sample.
WHOLE_MAX_S = 24.0

#: A longer one is sampled evenly: the length of a sample, and one sample per so many seconds of video, within bounds by
#: which a trial encodes 20 to 40 seconds of video.
SAMPLE_S = 4.0
_SAMPLE_EVERY_S = 60.0
_MIN_SAMPLES, _MAX_SAMPLES = 5, 10

#: Lossless, fast rather than small. The files are a third smaller than FFV1's, and written in half the time.
_LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
_DEMUXER, _MUXER = "mov", ("-f", "mp4")

#: Frames are compared by their number. Both inputs are labeled with the same colors, or FFmpeg would convert one.
_ALIGN = "settb=1/25,setpts=N,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
_COMPARE = "[0:v]{made}{align}[made];[1:v]{sample}{align}[sample];[made][sample]ssim=stats_file=-"
_SCORE = re.compile(rb" All:(\d\.\d+)")

#: Pillow decodes AV1 to brightness from 0 to 255, of which video uses 16 to 235. It is exact only with these colors.
_LABEL_BT601 = ("-vf", "setparams=range=tv:colorspace=smpte170m")
_FULL_TO_VIDEO_RANGE = "lut=c0=round(16+val*219/255),"

#: Bytes of disk for the decoded brightness of one sample. Of a larger sample only some frames are compared.
_BRIGHTNESS_MAX_BYTES = 500_000_000


@dataclass(frozen=True)
class SampleRange:
    """The part of a video that becomes a sample, in seconds."""

    start_s: float
    length_s: float


@dataclass(frozen=True)
class Samples:
    """Sample files on disk, and the seconds of video in all of them together."""

    paths: tuple[Path, ...]
    media_s: float


def choose_samples(duration_s: float | None) -> list[SampleRange]:
    """Which parts of a video are sampled; the beginning where its duration is unknown."""
    if duration_s is None or duration_s <= WHOLE_MAX_S:
        return [SampleRange(0.0, WHOLE_MAX_S)]
    count = min(max(round(duration_s / _SAMPLE_EVERY_S), _MIN_SAMPLES), _MAX_SAMPLES)
    step_s = duration_s / count
    return [SampleRange((number + 0.5) * step_s - SAMPLE_S / 2, SAMPLE_S) for number in range(count)]


def take_samples(
    opening: Sequence[str], video: Sequence[str], duration_s: float | None, task: Task, *, span: tuple[float, float]
) -> Samples:
    """Writes the samples of the video that the arguments `opening` open and `video` select, filter and time.

    Raises the same errors as `ffmpeg.run`.
    """
    ranges, paths, media_s = choose_samples(duration_s), list[Path](), 0.0
    step = (span[1] - span[0]) / (len(ranges) + 1)
    for number, chosen in enumerate(ranges):
        path = task.directory / f"sample-{number}.mp4"
        start = span[0] + number * step
        length_s = _take_sample(chosen, opening, video, path, task, span=(start, start + step))
        # A sample is empty where the video is shorter than stated or not seekable.
        if length_s or len(ranges) == 1:
            paths.append(path)
            media_s += length_s
        else:
            path.unlink(missing_ok=True)
    if not paths:
        return take_samples(opening, video, None, task, span=(span[1] - step, span[1]))
    return Samples(tuple(paths), media_s)


def _take_sample(
    chosen: SampleRange,
    opening: Sequence[str],
    video: Sequence[str],
    target: Path,
    task: Task,
    *,
    span: tuple[float, float],
) -> float:
    """Returns the seconds that were written."""
    seeking = ["-ss", f"{chosen.start_s:.3f}"] if chosen.start_s else []
    writing = [*video, *_LOSSLESS, *_MUXER, file_url(target)]
    arguments = [*seeking, "-t", f"{chosen.length_s:g}", *opening, *writing]
    return ffmpeg.run("ffmpeg", arguments, task, duration_s=chosen.length_s, span=span).media_s or 0.0


def measure_ssim(
    samples: Samples, encoder: Encoder, encoding: Sequence[str], size: Size, task: Task, *, span: tuple[float, float]
) -> float:
    """Encodes the samples with the arguments `encoding`; returns their mean SSIM from 0 to 1. `size` is their size.

    Raises CorruptMediaError when they have no frames.
    """
    scores, container = list[float](), encoder.container
    trial = task.directory / f"sample-made.{container.suffix}"
    step = (span[1] - span[0]) / len(samples.paths)
    each_s = samples.media_s / len(samples.paths)
    for number, path in enumerate(samples.paths):
        start, end = span[0] + number * step, span[0] + (number + 1) * step
        label = [] if encoder.decodable else _LABEL_BT601
        writing = [*label, *encoding, *container.muxer, file_url(trial)]
        ffmpeg.run("ffmpeg", [*_open(path, _DEMUXER, task), *writing], task, duration_s=each_s, span=(start, end))
        if encoder.decodable:
            scores += _compare(_open(trial, container.demuxer, task), path, task, fraction=end)
        else:
            scores += _compare_av1(trial, path, size, task, fraction=end)
        trial.unlink()
    if not scores:
        raise CorruptMediaError("The file is damaged or cut short: its video track has no frames.")
    return fmean(scores)


def _open(path: Path, demuxer: str, task: Task) -> list[str]:
    return input_arguments(str(path), demuxer, max_pixels=task.limits.pixels)


def _compare(
    opening: Sequence[str],
    sample: Path,
    task: Task,
    *,
    fraction: float,
    made_filters: str = "",
    sample_filters: str = "",
) -> list[float]:
    """The SSIM of each frame of an encoding with the sample it was made from. `opening` opens the encoding.

    `made_filters` and `sample_filters`, each ending in a comma, make the two comparable.
    """
    graph = _COMPARE.format(made=made_filters, sample=sample_filters, align=_ALIGN)
    comparing = ["-lavfi", graph, "-fps_mode", "passthrough", "-f", "null", "-"]
    arguments = [*opening, *_open(sample, _DEMUXER, task), *comparing]
    output = ffmpeg.run("ffmpeg", arguments, task, span=(fraction, fraction))
    return [float(found) for found in _SCORE.findall(output.stdout)]


def _compare_av1(made: Path, sample: Path, size: Size, task: Task, *, fraction: float) -> list[float]:
    from darkroom.images import pillow  # loads libvips and Pillow, which nothing else here needs

    sequence, brightness = made.with_suffix(".avif"), made.with_suffix(".gray")
    copying = ["-map", "0:v:0", "-c", "copy", "-f", "avif", file_url(sequence)]
    ffmpeg.run("ffmpeg", [*_open(made, _DEMUXER, task), *copying], task, span=(fraction, fraction))
    report = task.heartbeat(fraction, process.REPORT_PERIOD_S)
    step = pillow.write_brightness(sequence, brightness, max_bytes=_BRIGHTNESS_MAX_BYTES, on_frame=report)
    raw = ["-protocol_whitelist", "file", "-f", "rawvideo", "-pixel_format", "gray"]
    opening = [*raw, "-video_size", f"{size.width}x{size.height}", "-i", file_url(brightness)]
    every_step = f"select=not(mod(n\\,{step})),extractplanes=y,"
    scores = _compare(
        opening, sample, task, fraction=fraction, made_filters=_FULL_TO_VIDEO_RANGE, sample_filters=every_step
    )
    for path in (sequence, brightness):
        path.unlink()
    return scores
