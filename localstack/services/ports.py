"""Ports: whether one is free, and which process uses it."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from localstack.errors import StackError
from localstack.settings import PURPOSES, Settings, port_variable


def require_free(settings: Settings, names: list[str]) -> None:
    """Raises StackError if ports are in use; names their purpose, their process and the variable that changes them."""
    taken = [name for name in names if not is_free(getattr(settings.ports, name))]
    if taken:
        lines = [_describe(settings, name) for name in taken]
        raise StackError("\n".join(["Another program uses a required port.", *lines]))


def is_free(port: int) -> bool:
    """Whether a process can listen on `port` of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _describe(settings: Settings, name: str) -> str:
    port = getattr(settings.ports, name)
    holder = owner(port) or "a process of another user"
    return (
        f"  Port {port}, for {PURPOSES[name]}, is used by {holder}. "
        f"Stop it, or choose another port: {port_variable(name)}=<port> make up"
    )


def owner(port: int) -> str:
    """The id and command of the process that listens on `port`; empty if this user cannot see it."""
    pid = _linux_owner(port) if sys.platform == "linux" else _portable_owner(port)
    return f"process {pid} ({_command(pid)})" if pid else ""


def _linux_owner(port: int) -> int:
    sockets = _listening(port)
    owners = (int(entry.name) for entry in Path("/proc").glob("[0-9]*") if sockets & _open_files(entry / "fd"))
    return next(owners, 0)


def _open_files(directory: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # the process ended, or belongs to another user
        for link in directory.iterdir():
            with contextlib.suppress(OSError):  # closed in the meantime
                found.add(str(link.readlink()))
    return found


def _listening(port: int) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        source = Path("/proc/net") / name
        for line in source.read_text().splitlines()[1:] if source.exists() else []:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _portable_owner(port: int) -> int:
    try:
        completed = subprocess.run(
            ["lsof", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"],  # noqa: S607 - its path differs between systems
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return 0
    first = completed.stdout.split()
    return int(first[0]) if first else 0


def _command(pid: int) -> str:
    completed = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return completed.stdout.strip()[:80] or "unknown"
