"""`make logs`: what every part says, as it says it. The emulator's log holds the output of the functions."""

import time
from pathlib import Path
from typing import BinaryIO

from localstack import compose
from localstack.processes import Registry
from localstack.settings import Settings

_PAUSE_S = 0.3

#: Bytes of each log that are shown at first.
_RECENT_BYTES = 4000


def logs(settings: Settings) -> None:
    """Follows all logs until interrupted; a part that starts later joins."""
    directory = Registry(settings.directory).log("any").parent
    containers = compose.follow(settings) if compose.runs(settings) else None
    files: dict[Path, BinaryIO] = {}
    try:
        while True:
            for path in sorted(directory.glob("*.log")):
                if path not in files:
                    files[path] = _open_near_end(path)
                _print_new(path.stem, files[path])
            time.sleep(_PAUSE_S)
    finally:
        for file in files.values():
            file.close()
        if containers:
            containers.terminate()


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
