"""The outline of a sound: its lowest and highest level in each of many equal steps, as data and as pictures."""

import json
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from darkroom.av import ffmpeg
from darkroom.av.probe import Stream
from darkroom.images.png import PNG_PALETTE, png_header, write_png
from darkroom.media.task import Task

#: Seconds of sound that FFmpeg holds at once; longer steps are put together of several.
_HELD_S = 10.0

#: Height of a picture in pixels; each step is one pixel wide.
HEIGHT_PX = 256

#: Colour of the pictures, as red, green, blue.
_INK = (38, 70, 83)

_REPORT = "waveform.txt"
_LEVEL = re.compile(r"^lavfi\.astats\.Overall\.(?:Min|Max)_level=(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Waveform:
    """`steps` are the lowest and the highest level, from -1 to 1, of `samples_per_step` samples of any channel."""

    sample_rate_hz: int
    samples_per_step: int
    steps: tuple[tuple[float, float], ...]


def measure(location: str, demuxer: str, sound: Stream, task: Task, *, points: int, duration_s: float) -> Waveform:
    """The outline of a whole sound in at most `points` steps."""
    rate = sound.sample_rate_hz or 48_000
    samples = max(math.ceil(duration_s * rate / points), 1)
    parts = math.ceil(samples / (_HELD_S * rate))
    part = math.ceil(samples / parts)
    chain = (
        f"aformat=sample_fmts=flt,asetnsamples=n={part}:p=0,"
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Min_level+Max_level,"
        f"ametadata=mode=print:file={_REPORT}"
    )
    after = ["-map", f"0:{sound.index}", "-af", chain, "-f", "null", "-"]
    ffmpeg.read("ffmpeg", location, demuxer, task, after=after)
    levels = [_level(found) for found in _LEVEL.findall((task.directory / _REPORT).read_text())]
    pairs = list(zip(levels[::2], levels[1::2], strict=True))
    groups = (pairs[start : start + parts] for start in range(0, len(pairs), parts))
    steps = tuple((min(low for low, _ in group), max(high for _, high in group)) for group in groups)
    return Waveform(rate, part * parts, steps)


def _level(text: str) -> float:
    level = float(text)
    return min(max(level, -1.0), 1.0) if math.isfinite(level) else 0.0


def as_json(waveform: Waveform) -> bytes:
    """In the form that players of waveforms read: lowest and highest level in turn, as 8-bit numbers."""
    data = [round(level * 127) for step in waveform.steps for level in step]
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


def as_svg(waveform: Waveform) -> bytes:
    """One closed line around the sound, that fills any box it is put into."""
    above = [f"{x},{_row(high)}" for x, (_, high) in enumerate(waveform.steps)]
    below = [f"{x},{_row(low)}" for x, (low, _) in enumerate(waveform.steps)]
    ink = "".join(f"{part:02x}" for part in _INK)
    line = " ".join([*above, *reversed(below)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(len(waveform.steps), 1)} {HEIGHT_PX}" '
        f'preserveAspectRatio="none"><polygon fill="#{ink}" stroke="#{ink}" points="{line}"/></svg>\n'
    ).encode()


def as_png(waveform: Waveform) -> bytes:
    """A column for each step, on a transparent ground; one bit for each pixel."""
    width = max(len(waveform.steps), 1)
    spans = [(_row(high), max(_row(low), _row(high) + 1)) for low, high in waveform.steps]
    rows = bytearray()
    for row in range(HEIGHT_PX):
        bits = "".join("1" if top <= row < bottom else "0" for top, bottom in spans).ljust(-(-width // 8) * 8, "0")
        rows += b"\x00" + int(bits, 2).to_bytes(len(bits) // 8)
    return write_png(
        [
            png_header(width, HEIGHT_PX, bit_depth=1, color_type=PNG_PALETTE),
            (b"PLTE", bytes((255, 255, 255, *_INK))),
            (b"tRNS", b"\x00\xff"),
            (b"IDAT", zlib.compress(bytes(rows), 9)),
        ]
    )


def _row(level: float) -> int:
    """The row of a level, counted from the top."""
    return min(int((1 - level) / 2 * HEIGHT_PX), HEIGHT_PX - 1)


#: By name: what writes it, and its media type.
FORMS: dict[str, tuple[Callable[[Waveform], bytes], str]] = {
    "json": (as_json, "application/json"),
    "svg": (as_svg, "image/svg+xml"),
    "png": (as_png, "image/png"),
}
