"""Processor time of the parts of a running stack, from /proc (Linux). What other processes do does not disturb it."""

import os
import re
import resource
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from localstack.services import native
from localstack.services.processes import Registry, table
from localstack.settings import Settings

#: What every contestant uses.
SHARED = (native.EMULATOR, native.BROKER, native.CACHE)

#: What Darkroom's local stack runs besides.
OWN = (native.MAPPING, native.GATEWAY)

_TICKS = os.sysconf("SC_CLK_TCK")
_WORKER = re.compile(r"ministack-lambda-(?P<function>.+)-[a-z0-9_]{8}/")


class Stack:
    """The processes of one stack."""

    def __init__(self, settings: Settings) -> None:
        registry = Registry(settings.directory)
        self._prefix = f"{settings.stack}-"
        self._pids = {name: record.pid for name, record in registry.records().items() if registry.alive(name)}

    def services(self, names: Iterable[str]) -> Counter[str]:
        """Seconds of services so far. Their children's do not count: the emulator's are the functions."""
        return Counter({name: _seconds(self._pids[name], children=False) for name in names if name in self._pids})

    def functions(self) -> Counter[str]:
        """Seconds of the environments that live now, programs that they have called included, by function."""
        seconds: Counter[str] = Counter()
        emulator = self._pids[native.EMULATOR]
        for row in table().values():
            worker = _WORKER.search(_command(row.pid)) if row.parent == emulator else None
            if worker:
                seconds[worker["function"].removeprefix(self._prefix)] += _seconds(row.pid, children=True)
        return seconds


def family(pid: int) -> float:
    """Seconds of a process and its children, those that have ended included."""
    children = [row.pid for row in table().values() if row.parent == pid]
    return sum(_seconds(each, children=True) for each in (pid, *children))


def own() -> float:
    """Seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _seconds(pid: int, *, children: bool) -> float:
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11 : 15 if children else 13])) / _TICKS  # utime, stime, and those of its children


def _command(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
