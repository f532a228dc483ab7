"""Readers for what a run of FFmpeg or ffprobe prints: its standard output, its progress, the end of its errors."""

import re
from typing import Protocol

from darkroom.errors import CorruptMediaError

#: Most bytes of standard output that a run may write. ffprobe's JSON on real files is far smaller.
_STDOUT_MAX_BYTES = 16 * 1024 * 1024

#: Bytes of standard error that are kept: the last lines name the cause.
_STDERR_KEPT_BYTES = 8 * 1024

#: Bytes of an incomplete progress line that are kept for the next read. Complete lines are shorter.
_LINE_MAX_BYTES = 256


class StdoutReader(Protocol):
    """Receives standard output in pieces.

    `fraction` is the job's progress from 0 to 1, `media_s` the seconds of media written so far, and `speed` the seconds
    of media per second of work. The last two are None where they are not measured.
    """

    fraction: float
    media_s: float | None
    speed: float | None

    @property
    def content(self) -> bytes:
        """The output that was kept."""

    def feed(self, data: bytes) -> None:
        """Receives the next bytes."""


class StdoutCollector:
    """Keeps all output. Raises CorruptMediaError beyond `_STDOUT_MAX_BYTES`."""

    media_s: float | None = None
    speed: float | None = None

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction
        self._content = bytearray()

    @property
    def content(self) -> bytes:
        """All output so far."""
        return bytes(self._content)

    def feed(self, data: bytes) -> None:
        """Receives the next bytes."""
        self._content += data
        if len(self._content) > _STDOUT_MAX_BYTES:
            raise CorruptMediaError("The file is damaged: the description of its content is too long.")


class ProgressReader:
    """Reads the lines of FFmpeg's `-progress`. The fraction never decreases."""

    content = b""
    media_s: float | None
    speed: float | None
    _TIME = re.compile(rb"out_time_us=(\d+)\n")
    _SPEED = re.compile(rb"speed= *(\d+(?:\.\d+)?(?:e[+-]?\d+)?)x\n")

    def __init__(self, duration_s: float | None, span: tuple[float, float]) -> None:
        self.fraction, self.media_s, self.speed = span[0], None, None
        self._start, self._end = span
        self._duration_s = duration_s
        self._incomplete_line = b""

    def feed(self, data: bytes) -> None:
        """Receives the next bytes."""
        lines = self._incomplete_line + data
        for match in self._TIME.finditer(lines):
            self.media_s = int(match[1]) / 1_000_000
            done = min(self.media_s / self._duration_s, 1.0) if self._duration_s else 0.0
            self.fraction = max(self.fraction, self._start + done * (self._end - self._start))
        for match in self._SPEED.finditer(lines):
            self.speed = float(match[1])
        self._incomplete_line = lines[lines.rfind(b"\n") + 1 :][-_LINE_MAX_BYTES:]


class StderrTail:
    """Keeps the end of standard error."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> None:
        """Receives the next bytes."""
        self._kept = (self._kept + data)[-_STDERR_KEPT_BYTES:]

    @property
    def text(self) -> str:
        """The end of standard error as text."""
        return self._kept.decode(errors="replace")


class NetworkStderrTail(StderrTail):
    """Keeps the end of the errors of a run with `-v level+warning`, and of its warnings only the HTTP errors.

    FFmpeg reports a refused request as a warning, and what it then makes of the missing bytes as an error of the file.
    """

    _LEVEL = re.compile(rb"((?:\[[^]]* @ [^]]*\] )*)\[(\w+)\] ")
    _ERRORS = frozenset({b"error", b"fatal", b"panic"})
    _HTTP_ERROR = b"HTTP error "

    def __init__(self) -> None:
        super().__init__()
        self._incomplete_line = b""
        self._keeps_lines = True

    def feed(self, data: bytes) -> None:
        """Receives the next bytes."""
        *lines, self._incomplete_line = (self._incomplete_line + data).split(b"\n")
        for line in lines:
            self._feed_line(line)
        if len(self._incomplete_line) > _STDERR_KEPT_BYTES:
            self._feed_line(self._incomplete_line)
            self._incomplete_line = b""

    def _feed_line(self, line: bytes) -> None:
        level = self._LEVEL.match(line)
        if level is not None:  # a line without one continues the line before
            self._keeps_lines = level[2] in self._ERRORS or line.startswith(self._HTTP_ERROR, level.end())
            line = level[1] + line[level.end() :]
        if self._keeps_lines:
            super().feed(line + b"\n")
