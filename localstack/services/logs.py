"""`make logs`: what every part says, as it says it: processes, containers and functions."""

import subprocess
import time
from pathlib import Path
from typing import BinaryIO

from localstack.services import compose, native
from localstack.services.processes import Registry
from localstack.settings import Settings

_PAUSE_S = 0.3

#: Bytes of each log that are shown at first.
_RECENT_BYTES = 4000


def follow(settings: Settings) -> None:
    """Follows all logs until interrupted; a part that starts later joins."""
    directory = Registry(settings.directory).log("any").parent
    others = [compose.follow(settings)] if compose.runs(settings) else []
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
        for other in others:
            other.terminate()
            other.wait()
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
        file.readline()  # the rest of a line
    return file


def _print_new(name: str, file: BinaryIO) -> None:
    for line in file.readlines():
        print(f"{name:10} {line.decode(errors='replace').rstrip()}", flush=True)
