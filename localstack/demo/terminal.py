"""Text output of the demo: progress of jobs, tables, sizes and durations."""

import sys
from collections.abc import Sequence
from typing import TextIO

_BAR_WIDTH = 24
_DONE = {"completed": "done", "failed": "FAILED", "canceled": "canceled"}

#: Without a terminal, a line is printed each time that the progress has grown by this share.
_STEP = 0.25


class ProgressBars:
    """One line per job. On a terminal the lines are redrawn in place; elsewhere each change prints a line."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._in_place = stream.isatty()
        self._drawn = 0
        self._printed: dict[str, tuple[str, int]] = {}

    def show(self, jobs: Sequence[tuple[str, str, float]]) -> None:
        """Draws the jobs, each as its name, status and progress from 0 to 1."""
        if self._in_place:
            self._redraw([line(*job) for job in jobs])
        else:
            self._print_changes(jobs)
        self._stream.flush()

    def _redraw(self, lines: list[str]) -> None:
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._stream.write(up + "".join(f"\x1b[2K{text}\n" for text in lines))
        self._drawn = len(lines)

    def _print_changes(self, jobs: Sequence[tuple[str, str, float]]) -> None:
        for name, status, progress in jobs:
            now = (status, int(progress / _STEP))
            if self._printed.get(name) != now:
                self._printed[name] = now
                self._stream.write(line(name, status, progress) + "\n")


def line(name: str, status: str, progress: float) -> str:
    """One job as a progress bar."""
    share = 1.0 if status == "completed" else progress
    full = round(share * _BAR_WIDTH)
    return f"  {name:<18} {'█' * full}{'·' * (_BAR_WIDTH - full)} {share:4.0%}  {_DONE.get(status, status)}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table with a header. Columns are as wide as their widest cell; those in `right` are right-aligned."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]

    def set_row(row: Sequence[str]) -> str:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([set_row(heads), rule, *(set_row(row) for row in rows)])


def size(count_bytes: int) -> str:
    """A size with a suitable unit."""
    if count_bytes < 1000:
        return f"{count_bytes} B"
    if count_bytes < 1_000_000:
        return f"{count_bytes / 1000:.1f} kB"
    return f"{count_bytes / 1_000_000:.1f} MB"


def seconds(count_s: float) -> str:
    """A duration in seconds, or in minutes and seconds."""
    return f"{count_s:.2f} s" if count_s < 60 else f"{int(count_s // 60)} min {count_s % 60:.0f} s"
