"""Runs FFmpeg and ffprobe. No other module starts them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from darkroom.av import process
from darkroom.av.ffmpeg_errors import has_failed, input_ended_early, run_error
from darkroom.av.inputs import input_arguments, is_url
from darkroom.av.output import NetworkStderrTail, ProgressReader, StderrTail, StdoutCollector, StdoutReader
from darkroom.config import layer_folders
from darkroom.errors import ConfigurationError
from darkroom.media.task import Task
from darkroom.timeouts import current_timeouts

Program = Literal["ffmpeg", "ffprobe"]

#: Largest block FFmpeg may allocate at once. It holds a frame of 250 megapixels in 4:2:0.
MAX_ALLOC_BYTES = 512 * 1024 * 1024

#: `-y`: without it FFmpeg does not overwrite an existing file, and exits with code 0.
_GLOBAL_ARGUMENTS: dict[Program, tuple[str, ...]] = {
    "ffmpeg": ("-nostdin", "-y", "-hide_banner", "-max_alloc", str(MAX_ALLOC_BYTES)),
    "ffprobe": ("-hide_banner", "-max_alloc", str(MAX_ALLOC_BYTES)),
}


@dataclass(frozen=True)
class RunOutput:
    """A successful run: its standard output, and the end of its standard error.

    `media_s` is the length in seconds of the media that FFmpeg wrote, None where its progress was not read.
    """

    stdout: bytes
    stderr: str
    media_s: float | None = None


@lru_cache
def binary(program: Program) -> Path:
    """The program's file in a layer, never one on PATH. Raises ConfigurationError."""
    folders = layer_folders("bin")
    for path in (folder / program for folder in folders):
        if path.is_file():
            if not os.access(path, os.X_OK):
                path.chmod(0o755)  # the local emulator unpacks layers without their modes; Lambda keeps them
            return path
    raise ConfigurationError(f"{program} was not found in {', '.join(map(str, folders))}: the ffmpeg layer is missing.")


def read(
    program: Program,
    location: str,
    demuxer: str,
    task: Task,
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    span: tuple[float, float] = (0.0, 0.0),
) -> RunOutput:
    """Runs a program on one input, with the arguments `before` and `after` it. Otherwise like `run`.

    Raises StorageUnavailableError or CorruptMediaError also when the input ends too early, which FFmpeg accepts.
    """
    remote = is_url(location)
    etag = task.source.etag if remote else None
    opening = input_arguments(location, demuxer, max_pixels=task.limits.pixels, etag=etag)
    output = run(program, [*before, *opening, *after], task, span=span, reads_url=remote)
    if input_ended_early(output.stderr):
        raise run_error(0, output.stderr)
    return output


def run(
    program: Program,
    arguments: Sequence[str],
    task: Task,
    *,
    duration_s: float | None = None,
    span: tuple[float, float] = (0.0, 0.0),
    reads_url: bool = False,
) -> RunOutput:
    """Runs a program in the task's directory until it exits, at most until the task's deadline.

    One that reads a URL ends earlier when no data arrives: after the time-out of a response of S3.

    `span` is the part of the job's progress that this run covers. An empty span reports its start throughout; any other
    follows FFmpeg's own progress through `duration_s` seconds of media.
    Raises the error of `run_error`, ProcessingTimedOutError, StorageUnavailableError when no data arrives, or
    Superseded when the job was canceled.
    """
    reads_progress = program == "ffmpeg" and span[0] < span[1]
    stdout: StdoutReader = ProgressReader(duration_s, span) if reads_progress else StdoutCollector(span[0])
    stderr = NetworkStderrTail() if reads_url else StderrTail()
    command = _command(program, arguments, reads_progress=reads_progress, reads_url=reads_url)
    with process.start_confined(command, task) as child:
        watch = process.InputWatch(child, current_timeouts().storage_read_s) if reads_url else None
        exit_code = process.wait_for_exit(child, stdout, stderr, task, input_watch=watch)
    if has_failed(exit_code, stderr.text):
        raise run_error(exit_code, stderr.text)
    return RunOutput(stdout=stdout.content, stderr=stderr.text, media_s=stdout.media_s)


def _command(program: Program, arguments: Sequence[str], *, reads_progress: bool, reads_url: bool) -> list[str]:
    verbosity = ("-v", "level+warning" if reads_url else "error")
    period_s = process.REPORT_PERIOD_S / 2  # so that every report finds new figures
    progress = ("-progress", "pipe:1", "-stats_period", str(period_s)) if reads_progress else ()
    return [str(binary(program)), *_GLOBAL_ARGUMENTS[program], *verbosity, *progress, *arguments]
