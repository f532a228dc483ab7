"""The contact sheet: one image of the demo's inputs and results, made with the engines of the built layers.

Frames of videos come from the FFmpeg layer. The drawing itself runs in a process that has the imaging layer on its path
(`localstack.demo.drawing`), because the Python of the demo has no packages.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from localstack.demo import report, terminal
from localstack.demo.jobs import Finished
from localstack.errors import StackError
from localstack.settings import Settings

#: What the drawing process reads: see `localstack.demo.drawing.Cell`.
Cell = dict[str, Any]

_TIMEOUT_S = 60
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def make(settings: Settings, jobs: Sequence[Finished], target: Path) -> Path:
    """Draws every input, followed by the results of its jobs, to `target`. Raises StackError when that fails."""
    with TemporaryDirectory() as temporary:
        cells = list(_cells(settings, jobs, Path(temporary)))
        names = list(dict.fromkeys(job.submitted.source.name for job in jobs))
        _draw(settings, {"title": f"Darkroom: {len(jobs)} jobs on {' and '.join(names)}", "cells": cells}, target)
    return target


def _cells(settings: Settings, jobs: Sequence[Finished], temporary: Path) -> Iterator[Cell]:
    for source in dict.fromkeys(job.submitted.source for job in jobs):
        details = f"input, {terminal.size(source.stat().st_size)}{_shown(source)}"
        yield _cell(source.name, details, image=_image(settings, source, temporary))
        for job in jobs:
            if job.submitted.source == source:
                yield _result(settings, job, temporary)


def _result(settings: Settings, job: Finished, temporary: Path) -> Cell:
    operation = job.submitted.operation
    if not job.completed:
        return _cell(operation, job.document["status"], facts=[("error", report.failure(job))])
    output = job.document["outputs"][0]
    details = f"{report.describe(output)}, {terminal.size(output['size_bytes'])}{_shown(job.files[0])}"
    images = [image for file in job.files if (image := _image(settings, file, temporary))]
    return _cell(operation, details, image=images[0] if images else None, facts=facts(job.document["document"] or {}))


def _cell(title: str, details: str, *, image: Path | None = None, facts: Sequence[tuple[str, str]] = ()) -> Cell:
    return {"title": title, "details": details, "image": image and str(image), "facts": [] if image else list(facts)}


def _shown(file: Path) -> str:
    """The end of a caption: which part of the file its image shows."""
    return {".mp4": ": first frame", ".mp3": ": waveform"}.get(file.suffix, "")


def _image(settings: Settings, file: Path, temporary: Path) -> Path | None:
    """The file itself if it is an image, the first frame of a video, or None."""
    if file.suffix in _IMAGE_SUFFIXES:
        return file
    if file.suffix != ".mp4":
        return None
    frame = temporary / f"{file.stem}.tiff"  # the layer's FFmpeg has no PNG encoder
    argv = ["-v", "error", "-i", str(file), "-frames:v", "1", "-pix_fmt", "rgb24", "-y", str(frame)]
    _run([str(settings.build / "FfmpegLayer" / "bin" / "ffmpeg"), *argv], f"take the first frame of {file.name}")
    return frame


def facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What video_metadata found, as pairs of a label and a value."""
    found = [
        ("container", document.get("container")),
        ("duration", _with_unit(document.get("duration_s"), "s")),
        ("bit rate", _kilobits(document)),
    ]
    for stream in document.get("streams", []):
        kind = stream["type"]
        found += [
            (kind, " ".join(part for part in (stream["codec"], stream["profile"]) if part)),
            ("frame size", f"{stream['width_px']} x {stream['height_px']}" if stream.get("width_px") else None),
            ("frame rate", _with_unit(stream.get("frame_rate"), "fps")),
            ("frames", stream.get("frame_count")),
            ("key frame every", _with_unit(stream.get("key_frame_interval_s"), "s")),
            ("pixel format", stream.get("pixel_format")),
            ("sample rate", _with_unit(stream.get("sample_rate_hz"), "Hz")),
            ("channels", stream.get("channel_layout")),
        ]
    return [(label, str(value)) for label, value in found if value]


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.6g} {unit}"


def _kilobits(document: dict[str, Any]) -> str | None:
    rate = document.get("bit_rate_bps")
    return rate and f"{rate / 1000:.0f} kbit/s"


def _draw(settings: Settings, sheet: dict[str, Any], target: Path) -> None:
    layer = settings.build / "ImagingLayer"
    font = layer / "fonts" / "DejaVuSans.ttf"
    argv = [str(settings.tools), "-m", "localstack.demo.drawing", str(font), str(target)]
    path = os.pathsep.join([str(settings.root), str(layer / "python")])
    _run(argv, "draw the contact sheet", text=json.dumps(sheet), env={**os.environ, "PYTHONPATH": path})


def _run(argv: list[str], purpose: str, *, text: str = "", env: dict[str, str] | None = None) -> None:
    try:
        completed = subprocess.run(
            argv, input=text, env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"Could not {purpose}: {error}. The layers must be built for this machine.") from error
    if completed.returncode:
        raise StackError(f"Could not {purpose}: {completed.stderr.strip()[-500:]}")
