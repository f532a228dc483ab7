"""Short parts of a film, kept without loss as the encoder gets its pictures, and how like them an encoding is.

What is compared is therefore the same size, colours, rate and number of pictures on both sides. The measure is SSIM
(Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004) as FFmpeg's filter
computes it: the mean over all pictures of its weighted mean over the three planes. VMAF is not in the ffmpeg layer.
Neither is a decoder of AV1: there Pillow decodes, and only the brightness is compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from darkroom.av import ffmpeg
from darkroom.errors import CorruptMediaError
from darkroom.media.geometry import Size
from darkroom.media.task import Task
from functions.video_compress.encoders import Encoder

#: A film of up to so many seconds is looked at as a whole.
WHOLE_S = 24.0

#: Of a longer one parts are taken, evenly over it: their length, and one for so many seconds of film, within bounds.
PART_S = 4.0
_PART_EVERY_S = 60.0
_PARTS = (5, 10)

#: Without loss, and quickly rather than small. Its files are a third smaller than FFV1's, and made in half the time.
_LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
_DEMUXER, _MUXER = "mov", ("-f", "mp4")

#: Pictures are compared by their number. The same colours are written on both, or FFmpeg would convert one of them.
_ALIKE = "settb=1/25,setpts=N,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
_COMPARED = "[0:v]{made}{alike}[made];[1:v]{wanted}{alike}[wanted];[made][wanted]ssim=stats_file=-"
_SCORE = re.compile(rb" All:(\d\.\d+)")

#: AV1 is decoded to brightness from 0 to 255, of which a film uses 16 to 235, and exactly only with these colours.
_AS_BT601 = ("-vf", "setparams=range=tv:colorspace=smpte170m")
_TO_FILM = "lut=c0=round(16+val*219/255),"

#: Bytes that the brightness of a sample may take on the disk; of a larger one not every picture is looked at.
_BRIGHTNESS_BYTES = 500_000_000


@dataclass(frozen=True)
class Part:
    """A part of a film, in seconds."""

    start_s: float
    length_s: float


def parts(duration_s: float | None) -> list[Part]:
    """Which parts are taken of a film; of one that does not say how long it is, the beginning."""
    if duration_s is None or duration_s <= WHOLE_S:
        return [Part(0.0, WHOLE_S)]
    fewest, most = _PARTS
    count = min(max(round(duration_s / _PART_EVERY_S), fewest), most)
    step = duration_s / count
    return [Part((number + 0.5) * step - PART_S / 2, PART_S) for number in range(count)]


@dataclass(frozen=True)
class Samples:
    """Parts of a film on disk, and how many seconds they play together."""

    paths: tuple[Path, ...]
    media_s: float


def taken(
    reading: Sequence[str], pictures: Sequence[str], duration_s: float | None, task: Task, *, span: tuple[float, float]
) -> Samples:
    """Samples of the film that `reading` opens, its pictures chosen, filtered and timed by `pictures`.

    Raises as `ffmpeg.run` does.
    """
    places, paths, media_s = parts(duration_s), list[Path](), 0.0
    step = (span[1] - span[0]) / (len(places) + 1)
    for number, part in enumerate(places):
        path = task.directory / f"sample-{number}.mp4"
        begun = span[0] + number * step
        length_s = _take(part, reading, pictures, path, task, span=(begun, begun + step))
        # Where a film is shorter than it says, or cannot be sought in, there is nothing.
        if length_s or len(places) == 1:
            paths.append(path)
            media_s += length_s
        else:
            path.unlink(missing_ok=True)
    if not paths:
        return taken(reading, pictures, None, task, span=(span[1] - step, span[1]))
    return Samples(tuple(paths), media_s)


def _take(
    part: Part, reading: Sequence[str], pictures: Sequence[str], target: Path, task: Task, *, span: tuple[float, float]
) -> float:
    seeking = ["-ss", f"{part.start_s:.3f}"] if part.start_s else []
    writing = [*pictures, *_LOSSLESS, *_MUXER, ffmpeg.file_url(target)]
    arguments = [*seeking, "-t", f"{part.length_s:g}", *reading, *writing]
    return ffmpeg.run("ffmpeg", arguments, task, duration_s=part.length_s, span=span).media_s or 0.0


def score(
    samples: Samples, encoder: Encoder, encoding: Sequence[str], size: Size, task: Task, *, span: tuple[float, float]
) -> float:
    """The SSIM, from 0 to 1, of all pictures of the samples when they are encoded so; `size` is theirs.

    Raises CorruptMediaError when there is no picture.
    """
    scores, container = list[float](), encoder.container
    trial = task.directory / f"sample-made.{container.suffix}"
    step = (span[1] - span[0]) / len(samples.paths)
    each_s = samples.media_s / len(samples.paths)
    for number, path in enumerate(samples.paths):
        begun, end = span[0] + number * step, span[0] + (number + 1) * step
        colours = [] if encoder.decodes else _AS_BT601
        writing = [*colours, *encoding, *container.muxer, ffmpeg.file_url(trial)]
        ffmpeg.run("ffmpeg", [*_opened(path, _DEMUXER, task), *writing], task, duration_s=each_s, span=(begun, end))
        if encoder.decodes:
            scores += _ssim(_opened(trial, container.demuxer, task), path, task, fraction=end)
        else:
            scores += _ssim_of_av1(trial, path, size, task, fraction=end)
        trial.unlink()
    if not scores:
        raise CorruptMediaError("The file is damaged or cut short: there is no picture in its video stream.")
    return fmean(scores)


def _opened(path: Path, demuxer: str, task: Task) -> list[str]:
    return ffmpeg.input_arguments(str(path), demuxer, max_pixels=task.limits.pixels)


def _ssim(
    made: Sequence[str], sample: Path, task: Task, *, fraction: float, to_film: str = "", wanted: str = ""
) -> list[float]:
    """How like each picture of a sample what was made of it is. `made` are the arguments that open that.

    `to_film` and `wanted` are filters, each with a comma, that make what was made and the sample comparable.
    """
    graph = _COMPARED.format(made=to_film, wanted=wanted, alike=_ALIKE)
    comparing = ["-lavfi", graph, "-fps_mode", "passthrough", "-f", "null", "-"]
    arguments = [*made, *_opened(sample, _DEMUXER, task), *comparing]
    finished = ffmpeg.run("ffmpeg", arguments, task, span=(fraction, fraction))
    return [float(found) for found in _SCORE.findall(finished.stdout)]


def _ssim_of_av1(made: Path, sample: Path, size: Size, task: Task, *, fraction: float) -> list[float]:
    from darkroom.images import pillow  # with libvips and Pillow, which nothing else here needs

    sequence, pictures = made.with_suffix(".avif"), made.with_suffix(".gray")
    copying = ["-map", "0:v:0", "-c", "copy", "-f", "avif", ffmpeg.file_url(sequence)]
    ffmpeg.run("ffmpeg", [*_opened(made, _DEMUXER, task), *copying], task, span=(fraction, fraction))
    look = task.heartbeat(fraction, ffmpeg.REPORT_PERIOD_S)
    step = pillow.write_brightness(sequence, pictures, max_bytes=_BRIGHTNESS_BYTES, on_frame=look)
    raw = ["-protocol_whitelist", "file", "-f", "rawvideo", "-pixel_format", "gray"]
    reading = [*raw, "-video_size", f"{size.width}x{size.height}", "-i", ffmpeg.file_url(pictures)]
    brightness = f"select=not(mod(n\\,{step})),extractplanes=y,"
    scores = _ssim(reading, sample, task, fraction=fraction, to_film=_TO_FILM, wanted=brightness)
    for path in (sequence, pictures):
        path.unlink()
    return scores
