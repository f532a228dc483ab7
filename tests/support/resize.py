"""Runs resize on the bytes of an image."""

from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.contracts.image_params import ResizeParams
from darkroom.media.task import Rendition
from functions.resize.app import resize
from tests.support.image_checks import open_result
from tests.support.sources import make_task_for


def resize_rendition(content: bytes, folder: Path, **params: Any) -> Rendition:
    """The rendition at a width of 300 pixels unless `params` say otherwise."""
    (rendition,) = resize(make_task_for(content, folder), ResizeParams.model_validate({"width": 300, **params}))
    return rendition


def resized(content: bytes, folder: Path, **params: Any) -> Image.Image:
    """The image of `resize_rendition`, checked by `open_result`."""
    return open_result(resize_rendition(content, folder, **params))
