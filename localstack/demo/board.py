"""What the demo shows: jobs while they run, results when they are done."""

import sys
from collections.abc import Sequence
from typing import TextIO

_BAR_WIDTH = 24
_DONE = {"completed": "done", "failed": "FAILED", "canceled": "canceled"}

#: Progress is told again, where lines cannot be rewritten, after this fraction more of the work.
_STEP = 0.25


class Board:
    """One line per job. A terminal sees the lines change in place; a log gets a line for each change."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._in_place = stream.isatty()
        self._drawn = 0
        self._told: dict[str, tuple[str, int]] = {}

    def show(self, jobs: Sequence[tuple[str, str, float]]) -> None:
        """Draws the jobs, each as its name, status and progress from 0 to 1."""
        if self._in_place:
            self._redraw([line(*job) for job in jobs])
        else:
            self._tell(jobs)
        self._stream.flush()

    def _redraw(self, lines: list[str]) -> None:
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._stream.write(up + "".join(f"\x1b[2K{text}\n" for text in lines))
        self._drawn = len(lines)

    def _tell(self, jobs: Sequence[tuple[str, str, float]]) -> None:
        for name, status, progress in jobs:
            now = (status, int(progress / _STEP))
            if self._told.get(name) != now:
                self._told[name] = now
                self._stream.write(line(name, status, progress) + "\n")


def line(name: str, status: str, progress: float) -> str:
    """One job as a bar."""
    share = 1.0 if status == "completed" else progress
    full = round(share * _BAR_WIDTH)
    return f"  {name:<18} {'█' * full}{'·' * (_BAR_WIDTH - full)} {share:4.0%}  {_DONE.get(status, status)}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows below their heads, each column as wide as its widest cell; columns in `right` are set to the right."""
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
    """A number of bytes as people write it."""
    if count_bytes < 1000:
        return f"{count_bytes} B"
    if count_bytes < 1_000_000:
        return f"{count_bytes / 1000:.1f} kB"
    return f"{count_bytes / 1_000_000:.1f} MB"


def seconds(count_s: float) -> str:
    """A stretch of time as people write it."""
    return f"{count_s:.2f} s" if count_s < 60 else f"{int(count_s // 60)} min {count_s % 60:.0f} s"
