"""Follows the logs of processes, containers and functions, for `make logs`."""

import subprocess
import time
from pathlib import Path
from typing import BinaryIO

from localstack.services import compose, native
from localstack.services.processes import Registry
from localstack.settings import Settings

#: Seconds between two reads of the logs.
_PAUSE_S = 0.3

#: Bytes at the end of each log that are shown at first.
_RECENT_BYTES = 4000


def follow(settings: Settings) -> None:
    """Prints new lines of all logs, also of services that start later, until it is interrupted."""
    directory = Registry(settings.directory).log("any").parent
    others = [compose.follow(settings)] if compose.has_containers(settings) else []
    if settings.tools.exists():
        others.append(_follow_functions(settings))
    files: dict[Path, BinaryIO] = {}
    try:
        while True:
            for path in sorted(directory.glob("*.log")):
                if path not in files:
                    files[path] = _open_near_end(path)
                _print_new(path.stem, files[path])
            time.sleep(_PAUSE_S)
    finally:
        for process in others:
            process.terminate()
            process.wait()
        for file in files.values():
            file.close()


def _follow_functions(settings: Settings) -> subprocess.Popen[bytes]:
    argv = [str(settings.tools), "-m", "localstack.aws.function_logs"]
    return subprocess.Popen(argv, cwd=settings.root, env=native.own_environment(settings), stdin=subprocess.DEVNULL)


def _open_near_end(path: Path) -> BinaryIO:
    file = path.open("rb")
    size = path.stat().st_size
    if size > _RECENT_BYTES:
        file.seek(size - _RECENT_BYTES)
        file.readline()  # the rest of the first, incomplete line
    return file


def _print_new(name: str, file: BinaryIO) -> None:
    for line in file.readlines():
        print(f"{name:10} {line.decode(errors='replace').rstrip()}", flush=True)
