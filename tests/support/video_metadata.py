"""Runs video_metadata."""

import json
from pathlib import Path
from typing import Any

from darkroom.contracts.video_params import VideoMetadataParams
from functions.video_metadata.app import video_metadata
from tests.support.sources import make_task


def describe(file: Path, folder: Path) -> dict[str, Any]:
    """The document about a file, which is the same in the job and in the result."""
    (rendition,) = video_metadata(make_task(file, folder), VideoMetadataParams())
    assert rendition.document is not None
    assert isinstance(rendition.content, bytes)
    assert json.loads(rendition.content) == rendition.document
    assert (rendition.suffix, rendition.media_type) == ("json", "application/json")
    return rendition.document


def only_entry(document: dict[str, Any], kind: str) -> dict[str, Any]:
    """The document's only stream of a type."""
    (stream,) = [stream for stream in document["streams"] if stream["type"] == kind]
    assert isinstance(stream, dict)
    return stream
