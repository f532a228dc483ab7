"""The catalogue of operations."""

from functools import lru_cache
from inspect import getdoc
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.documents import Document
from api.openapi import problems
from api.schemas import examples_of
from darkroom.contracts.base import MediaKind
from darkroom.contracts.operations import ACCEPTS, PARAMS, Operation

router = APIRouter(tags=["operations"])


class OperationDocument(Document):
    """What one operation does and takes."""

    name: Operation
    summary: str = Field(description="What it does, in a sentence.")
    accepts: list[MediaKind] = Field(description="The kinds of files it works on.")
    params: dict[str, Any] = Field(description="Its parameters as a JSON Schema, with limits and defaults.")
    examples: list[dict[str, Any]] = Field(description="Parameters that are valid.")


class Catalogue(Document):
    """Every operation."""

    operations: list[OperationDocument]


@router.get(
    "/operations",
    response_model=Catalogue,
    summary="List the operations and their parameters",
    response_description="All operations.",
    responses=problems(),
)
async def list_operations() -> Response:
    """The catalogue: what can be done to which kind of file, and with which parameters."""
    return Response(_catalogue(), media_type="application/json")


@lru_cache(maxsize=1)
def _catalogue() -> str:
    return Catalogue(operations=[_describe(operation) for operation in Operation]).model_dump_json()


def _describe(operation: Operation) -> OperationDocument:
    schema = PARAMS[operation].model_json_schema()
    return OperationDocument(
        name=operation,
        summary=(getdoc(PARAMS[operation]) or "").partition("\n")[0],
        accepts=sorted(ACCEPTS[operation]),
        params=schema,
        examples=examples_of(operation),
    )
