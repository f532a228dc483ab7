"""Reads CPU times, command lines and environments of processes from Linux's /proc. Ended processes read as empty."""

import os
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

#: Fields of /proc/<pid>/stat after the command's name: user and system time of the process, then of its children.
_OWN_TIMES = slice(11, 13)
_ALL_TIMES = slice(11, 15)


def cpu_seconds(pid: int, *, children: bool) -> float:
    """CPU seconds of a process, with `children` also those of the ended children that it has waited for."""
    # The command's name may contain spaces and parentheses: the fields start after the last closing one.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[_ALL_TIMES if children else _OWN_TIMES])) / _TICKS_PER_S


def command_line(pid: int) -> str:
    """A process' program and arguments, separated by spaces."""
    return _read(pid, "cmdline").replace("\0", " ")


def environments() -> dict[int, dict[str, str]]:
    """The environment of each process that this user may read, by process id."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    return {pid: environment for pid in pids if (environment := _environment(pid))}


def _environment(pid: int) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in _read(pid, "environ").split("\0") if "=" in pair)


def executables() -> dict[int, Path]:
    """The program of each process that this user may read, by process id."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = (entry / "exe").readlink()
            except OSError:
                continue
    return found


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_bytes().decode(errors="replace")
    except OSError:
        return ""
