"""What an operation is given and what it gives back. Operations know nothing of queues, buckets or jobs.

An operation is a function `(task, params) -> list[Rendition]`. It reads `task.source`, writes only below
`task.directory`, reports progress, and raises a MediaError when the media is at fault.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from darkroom.errors import ProcessingTimedOutError


class Source(Protocol):
    """One file to work on. `media_type` is what the bytes say, not what the upload declared."""

    @property
    def name(self) -> str:
        """The file name the upload gave, for naming results only."""

    @property
    def media_type(self) -> str:
        """The sniffed media type, such as `image/jpeg`."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""

    def read(self) -> bytes:
        """The whole file in memory."""

    def path(self) -> Path:
        """The whole file on local disk, fetched the first time."""

    def locate(self) -> str:
        """Where FFmpeg can read parts of it: a presigned URL, or a local path when the file is small."""


@dataclass(frozen=True)
class Rendition:
    """One result: its bytes in memory or in a file below the task's directory, and what it is.

    `suffix` is the file name ending without dot; `name` tells renditions of one job apart that have the same one, and
    becomes a part of the file name. `document` is a result that is data rather than media, or what is to be told of it.
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
        """The name of the file, which begins with `stem`."""
        return f"{stem}-{self.name}.{self.suffix}" if self.name else f"{stem}.{self.suffix}"


@dataclass(frozen=True)
class Limits:
    """What untrusted media may ask for, checked before it is decoded."""

    pixels: int
    duration_s: float


def _ignore(_value: float) -> None:
    """Progress or pace that nobody watches."""


@dataclass(frozen=True)
class Task:
    """Everything an operation may use while it runs.

    `fetch` opens a second file by its id (the picture of a watermark). `progress` takes a fraction from 0 to 1 and
    raises Superseded when the job was canceled meanwhile: call it at least once a second during long work.
    `pace` takes the speed of the work, in seconds of media per second, for the reports of progress that follow.
    `deadline` is on the clock of `time.monotonic()`.
    """

    source: Source
    directory: Path
    limits: Limits
    deadline: float
    fetch: Callable[[str], Source]
    progress: Callable[[float], None] = field(default=_ignore)
    pace: Callable[[float], None] = field(default=_ignore)

    def part(self, start: float, end: float) -> "Task":
        """The same task for a part of the work: its progress from 0 to 1 is that of the whole from `start` to `end`."""
        return replace(self, progress=lambda fraction: self.progress(start + fraction * (end - start)))

    def reporter(self, fraction: float, period_s: float) -> Callable[[], None]:
        """What to call often while work goes on that cannot be measured: it reports `fraction` once a period.

        Raises as `progress` and `remaining_s` do.
        """
        next_report = time.monotonic()

        def report() -> None:
            nonlocal next_report
            self.remaining_s()
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + period_s
                self.progress(fraction)

        return report

    def remaining_s(self) -> float:
        """Seconds until the deadline. Raises ProcessingTimedOutError when it has passed."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise ProcessingTimedOutError("The work did not end within the time that one run may take.")
        return remaining
