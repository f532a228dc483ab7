"""Starts processes in their own session, records them, and stops them together with their descendants.

A process is identified by its id and start time, so that another process that gets the same id later is not stopped.
Descendants are found by parent, by process group, and by an inherited environment variable: the emulator's workers and
their FFmpeg processes may have left the session, and Erlang's port mapper leaves its parent.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from localstack.errors import StackError, last_lines

#: The environment variable of all processes of a stack. Its value is the stack's directory, `#`, and the name of the
#: recorded process from which the process descends.
MARK = "DARKROOM_STARTED_BY"

#: Seconds between SIGTERM and SIGKILL.
GRACE_S = 5.0

#: Seconds after SIGKILL until a process counts as one that does not end. A killed process needs processor time to end.
KILL_S = 30.0

#: Seconds between two signals, and between two looks at the process table.
_REPEAT_S = 1.0
_PAUSE_S = 0.02

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One row of the system's process table. `started` is equal only for the same process."""

    pid: int
    parent: int
    group: int
    zombie: bool
    started: str


@dataclass(frozen=True)
class Record:
    """A recorded process. `fingerprint` is a hash of how it was started."""

    name: str
    pid: int
    started: str
    fingerprint: str


def table() -> dict[int, Process]:
    """All processes of this machine, by id."""
    return _linux_table() if sys.platform == "linux" else _portable_table()


def _linux_table() -> dict[int, Process]:
    rows = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue  # it ended in the meantime
            # The command may contain spaces and brackets, so fields are counted from the last closing bracket.
            values = text[text.rindex(")") + 2 :].split()
            pid = int(entry.name)
            rows[pid] = Process(pid, int(values[1]), int(values[2]), values[0] in "ZX", values[19])
    return rows


def _portable_table() -> dict[int, Process]:
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,lstart="]
    rows = {}
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        pid, parent, group, state, started = line.split(None, 4)
        rows[int(pid)] = Process(int(pid), int(parent), int(group), state.startswith("Z"), started)
    return rows


class Registry:
    """The processes of one stack, recorded in files below its directory."""

    def __init__(self, directory: Path) -> None:
        self._mark = f"{directory}#"
        self._records = directory / "processes"
        self._logs = directory / "logs"

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self._logs / f"{name}.log"

    def records(self) -> dict[str, Record]:
        """Every process that was started and not stopped, whether it still runs or not."""
        found = {}
        for path in sorted(self._records.glob("*.json")):
            try:
                record = Record(**json.loads(path.read_text()))
            except (ValueError, TypeError):
                path.unlink(missing_ok=True)  # truncated by a crash
                continue
            found[record.name] = record
        return found

    def alive(self, name: str) -> Record | None:
        """The record of a process if it runs."""
        record = self.records().get(name)
        return record if record and _is_running(record, table()) else None

    def start(
        self, name: str, argv: list[str], environment: Mapping[str, str], directory: Path, fingerprint: str
    ) -> Record:
        """Starts a process that outlives this one and appends its output to its log. Raises StackError."""
        for path in (self._records, self._logs, directory):
            path.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            try:
                child = subprocess.Popen(
                    argv,
                    cwd=directory,
                    env={**environment, MARK: self._mark + name},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{name} could not be started: {error}.") from error
        child.returncode = 0  # it outlives this process: no warning that it was not awaited
        process = table().get(child.pid)
        record = Record(name, child.pid, process.started if process else "", fingerprint)
        self._write_record(record)
        return record

    def _write_record(self, record: Record) -> None:
        path = self._records / f"{record.name}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(record)))
        draft.replace(path)

    def stop(self, names: Iterable[str] | None = None) -> list[str]:
        """Stops the named processes, or all, with their descendants. Returns the names of those that ran."""
        records = self.records()
        chosen = list(records) if names is None else [name for name in names if name in records]
        running = [name for name in chosen if _is_running(records[name], table())]
        roots = {records[name].pid: records[name].started for name in running}
        marks = [self._mark] if names is None else [f"{self._mark}{name}\0" for name in names]
        stop(lambda: self._found(roots, marks))
        for name in chosen:
            (self._records / f"{name}.json").unlink(missing_ok=True)
        return running

    def _found(self, started: Mapping[int, str], marks: list[str]) -> dict[int, Process]:
        rows = table()
        # An id whose process ended may belong to another process by now; the id of a group is not used again.
        roots = {pid for pid in started if pid not in rows or rows[pid].started == started[pid]}
        found = {pid for pid, row in rows.items() if pid in roots or row.group in roots} | find_marked(marks)
        growing = True
        while growing:
            children = {pid for pid, row in rows.items() if row.parent in found}
            growing = not children <= found
            found |= children
        return {pid: rows[pid] for pid in found - _lineage(rows) if pid in rows and not rows[pid].zombie}


def find_marked(marks: list[str]) -> set[int]:
    """Ids of processes whose mark starts with one of these. Empty on systems other than Linux."""
    if sys.platform != "linux":
        return set()
    wanted = [f"\0{MARK}={mark}".encode() for mark in marks]
    found = set()
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                environment = b"\0" + (entry / "environ").read_bytes()
            except OSError:
                continue  # it ended, or belongs to another user
            if any(mark in environment for mark in wanted):
                found.add(int(entry.name))
    return found


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, for an error message."""
    output = path.read_text(errors="replace") if path.exists() else ""
    return last_lines(output, lines) or "(empty)"


def stop(find: Callable[[], dict[int, Process]]) -> None:
    """Stops the processes that `find` returns, first with SIGTERM, then with SIGKILL.

    Calls `find` repeatedly, since an ending process may start another. Raises StackError when one cannot be stopped.
    """
    remaining = _signal_until_gone(signal.SIGTERM, GRACE_S, find, {})
    remaining = _signal_until_gone(signal.SIGKILL, KILL_S, find, remaining)
    if remaining:
        raise StackError(f"These processes do not end: {', '.join(map(str, remaining))}. Try `kill -9` as their owner.")


def _signal_until_gone(
    number: signal.Signals, timeout_s: float, find: Callable[[], dict[int, Process]], known: dict[int, Process]
) -> dict[int, Process]:
    """Sends a signal, at least once, to these processes and those found. Returns those that remain after the time."""
    # The time begins after the first search: under load, one search can take longer than it.
    remaining = _remaining(known | find())
    until = time.monotonic() + timeout_s
    while remaining:
        for process in remaining.values():
            _signal(process, number)
        _wait_until_gone(remaining, min(_REPEAT_S, until - time.monotonic()))
        in_time = time.monotonic() < until
        remaining = _remaining(remaining | find())
        if not in_time:
            break
    return remaining


def _wait_until_gone(processes: dict[int, Process], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while _remaining(processes) and time.monotonic() < until:
        time.sleep(_PAUSE_S)


def _remaining(processes: dict[int, Process]) -> dict[int, Process]:
    rows = table()
    return {
        pid: process
        for pid, process in processes.items()
        if pid in rows and not rows[pid].zombie and rows[pid].started == process.started
    }


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)


def _lineage(rows: Mapping[int, Process]) -> set[int]:
    """The ids of this process and its ancestors, which are not stopped."""
    lineage = {os.getpid()}
    pid = os.getpid()
    while pid in rows and rows[pid].parent not in lineage:
        pid = rows[pid].parent
        lineage.add(pid)
    return lineage


def _is_running(record: Record, rows: Mapping[int, Process]) -> bool:
    process = rows.get(record.pid)
    return process is not None and not process.zombie and process.started == record.started
