"""What the OpenAPI document says beyond what the routes say by themselves: their errors."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api.problems import MEDIA_TYPE, Problem, title_of, type_of
from api.schemas import AttachedJobRequest, JobRequest, needs_params
from darkroom.contracts.base import Params
from darkroom.contracts.operations import Operation
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
    """FastAPI's own document, with the schemas that `problems` refers to and a request for each operation.

    The operations' parameters come from pydantic, since FastAPI drops defaults that are null and turns limits into
    floats.
    """
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        models: list[type[BaseModel]] = [*(operation.params for operation in Operation), Problem]
        for model in models:
            schema = model.model_json_schema(ref_template=_REF + "{model}")
            schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
        for name in (JobRequest.__name__, AttachedJobRequest.__name__):
            schemas |= _by_operation(name, schemas[name])
        del schemas[Params.__name__]
    return app.openapi_schema or {}


def _by_operation(name: str, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A schema with an operation and its parameters as one schema per operation, and the choice between them."""
    found = {operation: operation.params.__name__.replace("Params", name) for operation in Operation}
    choice = {
        "title": schema["title"],
        "description": schema["description"],
        "oneOf": [{"$ref": _REF + variant} for variant in found.values()],
        "discriminator": {
            "propertyName": "operation",
            "mapping": {operation: _REF + variant for operation, variant in found.items()},
        },
    }
    return {name: choice} | {variant: _variant(schema, operation) for operation, variant in found.items()}


def _variant(schema: dict[str, Any], operation: Operation) -> dict[str, Any]:
    optional = set() if needs_params(operation) else {"params"}
    params = {"$ref": _REF + operation.params.__name__}
    return schema | {
        "title": f"{schema['title']}: {operation}",
        "description": operation.summary,
        "properties": schema["properties"] | {"operation": {"const": operation, "type": "string"}, "params": params},
        "required": [name for name in schema["required"] if name not in optional],
    }
