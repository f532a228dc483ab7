"""The base of every contract, kinds of media, the format of identifiers.

Contracts are frozen pydantic models that refuse unknown fields and do not coerce: `"300"` is not a width.
"""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FileId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]


class MediaKind(StrEnum):
    """Kind of a file, determined from its content."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


def model_title(model: type) -> str:
    """The title of a model in JSON schemas: the words of its class name, `ResizeParams` as "Resize parameters"."""
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__.removesuffix("Details"))
    return words.replace("Params", "Parameters").capitalize()


class Contract(BaseModel):
    """Base of every model here."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
        model_title_generator=model_title,
    )


class Params(Contract):
    """Parameters of an operation. The docstring of each subclass describes its operation in the API."""


def validation_message(error: ValidationError) -> str:
    """One sentence that names every field that failed validation and why."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in detail["loc"])
        what = detail["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts) + "."
