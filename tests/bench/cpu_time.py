"""CPU time of the processes of a running stack (Linux). Other processes on the machine do not affect it."""

import re
import resource
from collections.abc import Iterable, Mapping

from localstack.services import native
from localstack.services.processes import Registry, table
from localstack.settings import Settings
from tests.support import proc

#: Services that Darkroom and the baseline both use.
SHARED = (native.EMULATOR, native.BROKER, native.CACHE)

#: Services that only Darkroom's local stack runs.
DARKROOM_ONLY = (native.MAPPING, native.GATEWAY)

#: CPU seconds by the name of a service, a function or a process.
Seconds = dict[str, float]

_WORKER = re.compile(r"ministack-lambda-(?P<function>.+)-[a-z0-9_]{8}/")


class StackProcesses:
    """The processes of one stack."""

    def __init__(self, settings: Settings) -> None:
        registry = Registry(settings.directory)
        self._prefix = f"{settings.stack}-"
        self._pids = {name: record.pid for name, record in registry.records().items() if registry.alive(name)}

    def services(self, names: Iterable[str]) -> Seconds:
        """CPU time of services so far, without their child processes: the emulator's are the functions."""
        return {name: proc.cpu_seconds(self._pids[name], children=False) for name in names if name in self._pids}

    def functions(self) -> Seconds:
        """CPU time so far of the running function environments and the programs they called, by function."""
        seconds: Seconds = {}
        emulator = self._pids[native.EMULATOR]
        for row in table().values():
            worker = _WORKER.search(proc.command_line(row.pid)) if row.parent == emulator else None
            if worker:
                name = worker["function"].removeprefix(self._prefix)
                seconds[name] = seconds.get(name, 0.0) + proc.cpu_seconds(row.pid, children=True)
        return seconds


def with_children(pid: int) -> float:
    """CPU seconds of a process and its children, running and ended."""
    children = [row.pid for row in table().values() if row.parent == pid]
    return sum(proc.cpu_seconds(each, children=True) for each in (pid, *children))


def this_process() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> Seconds:
    """What was used in between. A process that ended in between counts as nothing."""
    return {name: max(0.0, seconds - before.get(name, 0.0)) for name, seconds in after.items()}


def add(total: Seconds, more: Mapping[str, float]) -> None:
    """Adds `more` to `total`, in place."""
    for name, seconds in more.items():
        total[name] = total.get(name, 0.0) + seconds
