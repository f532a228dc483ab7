"""Measures the memory that a command and the stack that it leaves running take.

    python3 -m tests.bench.memory make up
    python3 -m tests.bench.memory make chaos N=1000

Prints the machine's available memory before, at its lowest and after the command, and the same of the memory of the
stacks below this folder and of the command's processes, which holds on a machine where other programs run too. Each
page that processes share counts once.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from localstack.services import memory
from localstack.services.processes import MARK, find_marked, table
from localstack.settings import ROOT

#: Seconds between two samples, and from the end of the command to the last one.
_PERIOD_S = 1.0
_SETTLE_S = 3.0

_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


class Samples:
    """Available memory of the machine and memory of the processes, in bytes, in the order of their time."""

    def __init__(self) -> None:
        self.available: list[int] = []
        self.processes: list[int] = []

    def take(self, command: int | None = None) -> None:
        """Adds one sample. `command` is the process id of the command while it runs."""
        available = memory.available_bytes()
        if available is None:
            sys.exit("This system does not report its available memory.")
        self.available.append(available)
        self.processes.append(sum(map(_shared_bytes, _processes(command))))

    def print(self) -> None:
        """Prints both rows."""
        before, lowest, after = self.available[0], min(self.available), self.available[-1]
        print(
            f"available  before {_gb(before)}, lowest {_gb(lowest)}, after {_gb(after)}: "
            f"{_gb(before - lowest)} taken at most, {_gb(before - after)} at the end"
        )
        before, highest, after = self.processes[0], max(self.processes), self.processes[-1]
        print(f"processes  before {_gb(before)}, highest {_gb(highest)}, after {_gb(after)}", flush=True)


def _processes(command: int | None) -> set[int]:
    """The processes of the stacks below this folder, the command and its descendants."""
    found = find_marked([f"{ROOT}/"]) | ({command} if command else set())
    rows = table()
    growing = True
    while growing:
        children = {pid for pid, row in rows.items() if row.parent in found}
        growing = not children <= found
        found |= children
    return found


def _shared_bytes(pid: int) -> int:
    """A process's memory, of shared pages its share."""
    try:
        match = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0  # it ended
    return int(match[1]) * 1024 if match else 0


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def main() -> int:
    """The command; returns the exit code of the measured command."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    samples = Samples()
    samples.take()
    # Otherwise a mark of this process would count the measurement as a part of a stack.
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    process = subprocess.Popen(sys.argv[1:], env=environment)
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_PERIOD_S):
            samples.take(process.pid)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        status = process.wait()
    finally:
        ended.set()
        sampler.join()
    time.sleep(_SETTLE_S)
    samples.take()
    samples.print()
    return status


if __name__ == "__main__":
    sys.exit(main())
