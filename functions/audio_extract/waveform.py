"""The waveform of an audio stream: its lowest and highest level in each of many equal steps, as data and as images."""

import json
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from darkroom.av import ffmpeg
from darkroom.av.probe import Stream
from darkroom.images.png import PNG_PALETTE, png_header, write_png
from darkroom.media.task import Rendition, Task

#: Seconds of audio that FFmpeg holds in memory at once. Longer steps are combined from several blocks.
_BLOCK_S = 10.0

#: Height of the images in pixels. Each step is one pixel wide.
HEIGHT_PX = 256

#: Color of the images, as red, green, blue.
_COLOR = (38, 70, 83)

#: Largest level in the JSON, whose levels are 8-bit integers.
_JSON_MAX_LEVEL = 127

#: Sample rate in Hz where the stream states none.
_DEFAULT_SAMPLE_RATE_HZ = 48_000

_REPORT = "waveform.txt"
_LEVEL = re.compile(r"^lavfi\.astats\.Overall\.(?:Min|Max)_level=(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Waveform:
    """`steps` are the lowest and the highest level, from -1 to 1, of `samples_per_step` samples over all channels."""

    sample_rate_hz: int
    samples_per_step: int
    steps: tuple[tuple[float, float], ...]


def render_waveforms(
    names: Sequence[str], location: str, demuxer: str, audio: Stream, task: Task, *, points: int, duration_s: float
) -> list[Rendition]:
    """One rendition for each of the formats json, png and svg in `names`. Otherwise like `measure_waveform`."""
    waveform = measure_waveform(location, demuxer, audio, task, points=points, duration_s=duration_s)
    return [_render(waveform, name) for name in names]


def measure_waveform(
    location: str, demuxer: str, audio: Stream, task: Task, *, points: int, duration_s: float
) -> Waveform:
    """The waveform of a whole audio stream in at most `points` steps. Raises the same errors as `ffmpeg.read`."""
    rate_hz = audio.sample_rate_hz or _DEFAULT_SAMPLE_RATE_HZ
    step_samples = max(math.ceil(duration_s * rate_hz / points), 1)
    blocks_per_step = math.ceil(step_samples / (_BLOCK_S * rate_hz))
    block_samples = math.ceil(step_samples / blocks_per_step)
    filters = (
        f"aformat=sample_fmts=flt,asetnsamples=n={block_samples}:p=0,"
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Min_level+Max_level,"
        f"ametadata=mode=print:file={_REPORT}"
    )
    after = ["-map", f"0:{audio.index}", "-af", filters, "-f", "null", "-"]
    ffmpeg.read("ffmpeg", location, demuxer, task, after=after)
    levels = [_parse_level(found) for found in _LEVEL.findall((task.directory / _REPORT).read_text())]
    blocks = list(zip(levels[::2], levels[1::2], strict=True))
    groups = (blocks[start : start + blocks_per_step] for start in range(0, len(blocks), blocks_per_step))
    steps = tuple((min(low for low, _ in group), max(high for _, high in group)) for group in groups)
    return Waveform(rate_hz, block_samples * blocks_per_step, steps)


def _parse_level(text: str) -> float:
    level = float(text)
    return min(max(level, -1.0), 1.0) if math.isfinite(level) else 0.0


def to_json(waveform: Waveform) -> bytes:
    """Version 2 of the format of audiowaveform, which peaks.js reads: lowest and highest levels in turn, in 8 bits."""
    data = [round(level * _JSON_MAX_LEVEL) for step in waveform.steps for level in step]
    document = {
        "version": 2,
        "channels": 1,
        "sample_rate": waveform.sample_rate_hz,
        "samples_per_pixel": waveform.samples_per_step,
        "bits": 8,
        "length": len(waveform.steps),
        "data": data,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def to_svg(waveform: Waveform) -> bytes:
    """One closed polygon, scaled to any box that it is shown in."""
    above = [f"{x},{_row(high)}" for x, (_, high) in enumerate(waveform.steps)]
    below = [f"{x},{_row(low)}" for x, (low, _) in enumerate(waveform.steps)]
    color = "".join(f"{channel:02x}" for channel in _COLOR)
    points = " ".join([*above, *reversed(below)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(len(waveform.steps), 1)} {HEIGHT_PX}" '
        f'preserveAspectRatio="none"><polygon fill="#{color}" stroke="#{color}" points="{points}"/></svg>\n'
    ).encode()


def to_png(waveform: Waveform) -> bytes:
    """One column per step on a transparent background, one bit per pixel."""
    width = max(len(waveform.steps), 1)
    spans = [(_row(high), max(_row(low), _row(high) + 1)) for low, high in waveform.steps]
    rows = bytearray()
    for row in range(HEIGHT_PX):
        bits = "".join("1" if top <= row < bottom else "0" for top, bottom in spans).ljust(-(-width // 8) * 8, "0")
        rows += b"\x00" + int(bits, 2).to_bytes(len(bits) // 8)
    return write_png(
        [
            png_header(width, HEIGHT_PX, bit_depth=1, color_type=PNG_PALETTE),
            (b"PLTE", bytes((255, 255, 255, *_COLOR))),
            (b"tRNS", b"\x00\xff"),
            (b"IDAT", zlib.compress(bytes(rows), 9)),
        ]
    )


def _row(level: float) -> int:
    """The row of a level in pixels, counted from the top."""
    return min(int((1 - level) / 2 * HEIGHT_PX), HEIGHT_PX - 1)


def _render(waveform: Waveform, name: str) -> Rendition:
    write, media_type = _FORMATS[name]
    width_px, height_px = (len(waveform.steps), HEIGHT_PX) if name == "png" else (None, None)
    return Rendition(write(waveform), name, media_type, width_px, height_px, name="waveform")


#: The function that writes each format, and its media type.
_FORMATS: dict[str, tuple[Callable[[Waveform], bytes], str]] = {
    "json": (to_json, "application/json"),
    "svg": (to_svg, "image/svg+xml"),
    "png": (to_png, "image/png"),
}
