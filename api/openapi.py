"""What the OpenAPI document says beyond what the routes say by themselves: their errors."""

from typing import Any

from fastapi import FastAPI

from api.problems import MEDIA_TYPE, Problem, title_of, type_of
from darkroom.contracts.operations import PARAMS
from darkroom.errors import DarkroomError, InternalError

_REF = "#/components/schemas/"


def problems(*errors: type[DarkroomError]) -> dict[int | str, dict[str, Any]]:
    """A route's errors, by status, each with an example; `internal_error` is every route's."""
    by_status: dict[int, list[type[DarkroomError]]] = {}
    every: tuple[type[DarkroomError], ...] = (*errors, InternalError)
    for error in every:
        by_status.setdefault(error.http_status, []).append(error)
    return {status: _described(by_status[status]) for status in sorted(by_status)}


def _described(errors: list[type[DarkroomError]]) -> dict[str, Any]:
    examples = {error.code: {"summary": error.code, "value": _example(error)} for error in errors}
    return {
        "description": ", ".join(f"`{code}`" for code in examples),
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}, "examples": examples}},
    }


def _example(error: type[DarkroomError]) -> dict[str, Any]:
    title = title_of(error)
    return {
        "type": type_of(error),
        "title": title,
        "status": error.http_status,
        "detail": f"{title}.",
        "code": error.code,
    }


def describe(app: FastAPI) -> dict[str, Any]:
    """FastAPI's own document, with the schemas that `problems` refers to.

    The operations' parameters are put in anew, since FastAPI drops defaults that are null and turns limits into floats.
    """
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for model in (*PARAMS.values(), Problem):
            schema = model.model_json_schema(ref_template=_REF + "{model}")
            schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
    return app.openapi_schema or {}
