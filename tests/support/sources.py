"""Local files instead of uploads, so that tests can call an operation as a function."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.errors import FileNotFoundInStoreError, UnsupportedMediaTypeError
from darkroom.media.sniff import HEAD_BYTES, sniff_type
from darkroom.media.task import Limits, Source, Task

PIXELS = 250_000_000
DURATION_S = 6 * 3600
DEADLINE_S = 120


@dataclass
class LocalSource:
    """A local file as a Source. Its type is detected from its bytes unless `declared` is given."""

    local: Path
    declared: str | None = None
    etag: str | None = None
    reads: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        return self.local.name

    @property
    def media_type(self) -> str:
        if self.declared is not None:
            return self.declared
        with self.local.open("rb") as file:
            found = sniff_type(file.read(HEAD_BYTES))
        if found is None:
            raise UnsupportedMediaTypeError(f"{self.name} is of no supported type.")
        return found.name

    @property
    def size_bytes(self) -> int:
        return self.local.stat().st_size

    def read(self) -> bytes:
        self.reads += 1
        return self.local.read_bytes()

    def download(self) -> Path:
        return self.local

    def ffmpeg_input(self) -> str:
        return str(self.local)


class UrlSource(LocalSource):
    """A local file that FFmpeg reads from `url`. Downloading it fails the test."""

    def __init__(self, local: Path, url: str) -> None:
        super().__init__(local)
        self.url = url

    def ffmpeg_input(self) -> str:
        return self.url

    def download(self) -> Path:
        raise AssertionError("the whole file was downloaded")


def make_task(
    source: Source | Path,
    directory: Path,
    *,
    files: Mapping[str, Source | Path] | None = None,
    pixels: int = PIXELS,
    duration_s: float = DURATION_S,
    deadline_s: float = DEADLINE_S,
    progress: Callable[[float], None] = lambda _fraction: None,
) -> Task:
    """A task for `source` that writes below `directory` and fetches `files` by their ids."""
    known = {file_id: _as_source(file) for file_id, file in (files or {}).items()}

    def fetch(file_id: str) -> Source:
        if file_id not in known:
            raise FileNotFoundInStoreError(file_id)
        return known[file_id]

    return Task(
        source=_as_source(source),
        directory=directory,
        limits=Limits(pixels=pixels, duration_s=duration_s),
        deadline=time.monotonic() + deadline_s,
        fetch=fetch,
        report_progress=progress,
    )


def _as_source(file: Source | Path) -> Source:
    return LocalSource(file) if isinstance(file, Path) else file


def make_task_for(content: bytes, directory: Path, media_type: str | None = None, *, pixels: int = PIXELS) -> Task:
    """A task whose source has these bytes; `media_type` replaces the detected type."""
    (directory / "source").write_bytes(content)
    return make_task(LocalSource(directory / "source", media_type), directory, pixels=pixels)
