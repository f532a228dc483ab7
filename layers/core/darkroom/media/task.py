"""The interface between operations and the worker that runs them. Operations know nothing of queues, buckets or jobs.

An operation is a function `(task, params) -> list[Rendition]`. It reads `task.source`, writes only below
`task.directory`, reports progress, and raises a MediaError when the media cannot be processed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from darkroom.errors import ProcessingTimedOutError


class Source(Protocol):
    """One input file. `media_type` is detected from the bytes; what the upload declared does not count."""

    @property
    def name(self) -> str:
        """The file name given at upload; used only to name results."""

    @property
    def media_type(self) -> str:
        """The detected media type, such as `image/jpeg`."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""

    @property
    def etag(self) -> str | None:
        """S3's ETag, which changes when the file is replaced; None for a local file."""

    def read(self) -> bytes:
        """Returns the whole file."""

    def download(self) -> Path:
        """Returns the local path of the whole file, which is downloaded on the first call."""

    def ffmpeg_input(self) -> str:
        """Returns what FFmpeg can open to read parts of the file: a presigned URL, or a local path if it is small."""


@dataclass(frozen=True)
class Rendition:
    """One result: its bytes, or a file below the task's directory, and its properties.

    `suffix` is the file name extension without the dot. `name` distinguishes renditions of one job that share a suffix
    and becomes part of the file name. `document` is a result that is data rather than media, or data about the media.
    """

    content: bytes | Path
    suffix: str
    media_type: str
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None
    document: dict[str, Any] | None = None
    name: str | None = None

    def file_name(self, stem: str) -> str:
        """The file name, which begins with `stem`."""
        return f"{stem}-{self.name}.{self.suffix}" if self.name else f"{stem}.{self.suffix}"


@dataclass(frozen=True)
class Limits:
    """The most that untrusted media may contain, checked before it is decoded."""

    pixels: int
    duration_s: float


def _ignore(_value: float) -> None:
    """The default callback."""


@dataclass(frozen=True)
class Task:
    """Everything an operation may use while it runs.

    `fetch` opens a second file by its id (the image of a watermark). `report_progress` takes a fraction from 0 to 1 and
    raises Superseded if the job has been canceled: call it at least once a second during long work. `report_speed`
    takes seconds of media processed per second; later progress reports include it. `deadline` is a time on the clock of
    `time.monotonic()`.
    """

    source: Source
    directory: Path
    limits: Limits
    deadline: float
    fetch: Callable[[str], Source]
    report_progress: Callable[[float], None] = field(default=_ignore)
    report_speed: Callable[[float], None] = field(default=_ignore)

    def map_progress(self, start: float, end: float) -> "Task":
        """Returns the same task for one part of the work: its progress 0 to 1 is reported as `start` to `end`."""
        return replace(self, report_progress=lambda fraction: self.report_progress(start + fraction * (end - start)))

    def heartbeat(self, fraction: float, period_s: float) -> Callable[[], None]:
        """Returns a function to call often during work of unknown length: it reports `fraction` once per period.

        It raises the same errors as `report_progress` and `remaining_s`.
        """
        next_report = time.monotonic()

        def report() -> None:
            nonlocal next_report
            self.remaining_s()
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + period_s
                self.report_progress(fraction)

        return report

    def remaining_s(self) -> float:
        """Seconds until the deadline. Raises ProcessingTimedOutError if it has passed."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise ProcessingTimedOutError
        return remaining
