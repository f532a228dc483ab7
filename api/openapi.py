"""The OpenAPI document: what FastAPI makes of the routes, their errors, and a request model for each operation."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api.problems import MEDIA_TYPE, Problem, title_of, type_of
from api.request_models import AttachedJobRequest, JobRequest, needs_params
from darkroom.contracts.base import MediaKind, Params, model_title
from darkroom.contracts.operations import Operation
from darkroom.errors import AccessError, DarkroomError, InternalError, RequestQuotaError, StorageUnavailableError

_REF = "#/components/schemas/"


#: The errors of every route that needs a scope.
_ACCESS_ERRORS: tuple[type[DarkroomError], ...] = (
    *AccessError.__subclasses__(),
    RequestQuotaError,
    StorageUnavailableError,
)


def problem_responses(*errors: type[DarkroomError], public: bool = False) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, by status, each error with an example.

    Every route can have `internal_error`, and every one that is not public the errors of access.
    """
    by_status: dict[int, list[type[DarkroomError]]] = {}
    every: tuple[type[DarkroomError], ...] = (*errors, *(() if public else _ACCESS_ERRORS), InternalError)
    for error in dict.fromkeys(every):
        by_status.setdefault(error.http_status, []).append(error)
    return {status: _error_response(by_status[status]) for status in sorted(by_status)}


def _error_response(errors: list[type[DarkroomError]]) -> dict[str, Any]:
    examples = {error.code: {"summary": title_of(error), "value": _example(error)} for error in errors}
    titles = [f"{title_of(error)} (`{error.code}`)." for error in errors]
    return {
        "description": " ".join(titles),
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


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, completed.

    The schemas of operations' parameters come from pydantic, since FastAPI drops defaults that are null and turns
    limits into floats.
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
        schemas["MediaKind"]["title"] = model_title(MediaKind)
        schemas["Body_upload_file"] |= {"title": "File upload", "description": "A form with the file."}
        del schemas[Params.__name__]
        for methods in document["paths"].values():
            for operation in methods.values():
                _describe_access(operation)
    return app.openapi_schema or {}


def _describe_access(operation: dict[str, Any]) -> None:
    """Names the scopes of a route, of which any one suffices, or marks it as public."""
    scopes = [(scheme, scope) for entry in operation.pop("security", []) for scheme in entry for scope in entry[scheme]]
    operation["security"] = [{scheme: [scope]} for scheme, scope in scopes]
    if scopes:
        names = " or ".join(f"`{scope}`" for _, scope in scopes)
        operation["description"] += f"\n\nNeeds the scope {names}."


def _by_operation(name: str, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One schema per operation in place of one for all, and the choice between them by `operation`."""
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
    fields = schema["properties"]
    name = {"const": operation, "type": "string", "description": fields["operation"]["description"]}
    params = fields["params"] | {"$ref": _REF + operation.params.__name__}
    optional = set() if needs_params(operation) else {"params"}
    return schema | {
        "title": f"{schema['title']}: {operation}",
        "description": operation.summary,
        "properties": fields | {"operation": name, "params": params},
        "required": [field for field in schema["required"] if field not in optional],
    }
