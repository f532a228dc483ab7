"""The catalog of operations."""

from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.openapi import problem_responses
from api.principals import GuardedRoute, Reader
from api.request_models import examples_of
from api.response_models import ResponseModel
from darkroom.contracts.base import MediaKind
from darkroom.contracts.operations import Operation

router = APIRouter(tags=["operations"], route_class=GuardedRoute)


class OperationDescription(ResponseModel):
    """An operation: what it does and which files and parameters it accepts."""

    name: Operation = Field(description="Name of the operation, for `operation` in a job.")
    summary: str = Field(description="What it does, in a sentence.")
    accepts: list[MediaKind] = Field(description="Kinds of files that it accepts.")
    params: dict[str, Any] = Field(description="JSON Schema of its parameters, with limits and defaults.")
    examples: list[dict[str, Any]] = Field(description="Examples of parameters.")


class OperationCatalog(ResponseModel):
    """All operations."""

    operations: list[OperationDescription] = Field(description="The operations.")


@router.get(
    "/operations",
    response_model=OperationCatalog,
    summary="List the operations and their parameters",
    response_description="All operations.",
    responses=problem_responses(),
)
async def list_operations(_principal: Reader) -> Response:
    """Returns every operation with the kinds of files it accepts, the JSON Schema of its parameters and examples."""
    return Response(_catalog(), media_type="application/json")


@lru_cache(maxsize=1)
def _catalog() -> str:
    return OperationCatalog(operations=[_describe(operation) for operation in Operation]).model_dump_json()


def _describe(operation: Operation) -> OperationDescription:
    return OperationDescription(
        name=operation,
        summary=operation.summary,
        accepts=sorted(operation.accepts),
        params=operation.params.model_json_schema(),
        examples=examples_of(operation),
    )
