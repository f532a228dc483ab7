"""What every contract has in common: the base model, kinds of media, the format of ids.

Contracts are frozen pydantic models that refuse unknown fields and do not coerce: `"300"` is not a width.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DEFAULT_TENANT = "default"

FileId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]


class MediaKind(StrEnum):
    """What a file is, by its bytes."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


class Contract(BaseModel):
    """Base of every model here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


def explain(error: ValidationError) -> str:
    """One sentence per field that failed validation."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in detail["loc"])
        what = detail["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts) + "."
