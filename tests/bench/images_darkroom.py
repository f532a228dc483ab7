"""Runs the image operations as functions."""

import time
from dataclasses import dataclass
from pathlib import Path

from darkroom.contracts.image_params import ResizeParams, ThumbnailParams
from darkroom.media.task import Limits, Rendition, Source, Task
from functions.resize.app import resize
from functions.thumbnail.app import thumbnail
from tests.bench.images_worker import serve


@dataclass
class MemorySource:
    """A file in memory."""

    name: str
    media_type: str
    content: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    @property
    def etag(self) -> str | None:
        return None

    def read(self) -> bytes:
        return self.content

    def download(self) -> Path:
        raise NotImplementedError

    def ffmpeg_input(self) -> str:
        raise NotImplementedError


def work(operation: str, fmt: str, content: bytes) -> bytes:
    def fetch(_file_id: str) -> Source:
        raise NotImplementedError

    source = MemorySource("photo", f"image/{fmt}", content)
    limits = Limits(pixels=250_000_000, duration_s=0)
    task = Task(source, Path("/nonexistent"), limits, time.monotonic() + 120, fetch)
    (rendition,) = _run(operation, task)
    assert isinstance(rendition.content, bytes)
    return rendition.content


def _run(operation: str, task: Task) -> list[Rendition]:
    if operation == "resize":
        return resize(task, ResizeParams(width=1600, height=1600, quality=80))
    return thumbnail(task, ThumbnailParams(width=320, height=320, quality=80))


if __name__ == "__main__":
    serve(work)
