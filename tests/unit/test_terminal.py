"""The demo's text output: tables, progress, sizes and durations."""

import io

from localstack.demo import terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_table_columns_fit_their_widest_cell_and_numbers_are_right_aligned() -> None:
    text = terminal.table(["job", "size"], [["resize", "9 kB"], ["a", "120 kB"]], right=(1,))

    assert text.splitlines() == ["job       size", "──────  ──────", "resize    9 kB", "a       120 kB"]


def test_log_gets_a_line_only_when_a_job_changed() -> None:
    stream = io.StringIO()
    bars = terminal.ProgressBars(stream)

    for status, progress in [("queued", 0), ("running", 0.1), ("running", 0.2), ("running", 0.6), ("completed", 1)]:
        bars.show([("resize", status, progress)])

    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["queued", "running", "running", "done"]


def test_terminal_lines_are_redrawn_in_place() -> None:
    stream = Terminal()
    bars = terminal.ProgressBars(stream)

    bars.show([("resize", "running", 0.5), ("watermark", "queued", 0)])
    before = len(stream.getvalue())
    assert stream.getvalue().startswith("\x1b[2K  resize")
    bars.show([("resize", "completed", 1), ("watermark", "running", 0)])

    assert stream.getvalue()[before:].startswith("\x1b[2A\x1b[2K  resize")


def test_sizes_and_durations_have_readable_units() -> None:
    assert [terminal.size(count) for count in (999, 12_345, 5_300_000)] == ["999 B", "12.3 kB", "5.3 MB"]
    assert [terminal.seconds(count) for count in (0.417, 59.2, 125)] == ["0.42 s", "59.20 s", "2 min 5 s"]
