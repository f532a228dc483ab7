"""What the API takes from clients: its routes, and the parameters of each that can be any text."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Mount

_CHOICES = ("anyOf", "oneOf", "allOf")


def served(application: FastAPI) -> Iterator[tuple[str, BaseRoute]]:
    """Every route, as method and path."""
    for found in iter_route_contexts(application.routes):
        route = found.original_route
        if isinstance(route, Mount):
            yield from ((f"{method} {route.path}/{{path}}", route) for method in ("GET", "HEAD"))
        else:
            yield from ((f"{method} {found.path}", route) for method in sorted(found.methods or {"?"}))


def texts_of(application: FastAPI) -> dict[str, set[str]]:
    """The parameters of each route that can be any text, so also the name of something: `path job_id`, `body file_id`.

    Numbers, truth values and texts of a fixed choice are left out.
    """
    document = application.openapi()
    return {name: set(_texts_of(name, route, document)) for name, route in served(application)}


def _texts_of(name: str, route: BaseRoute, document: dict[str, Any]) -> Iterator[str]:
    method, _, path = name.partition(" ")
    described = document["paths"].get(path, {}).get(method.lower())
    if described is None:
        yield from _undescribed_texts(route)
        return
    for parameter in described.get("parameters", []):
        if _is_text(parameter["schema"], document):
            yield f"{parameter['in']} {parameter['name'].lower()}"
    for content in described.get("requestBody", {}).get("content", {}).values():
        for field, schema in _fields(content["schema"], document, ""):
            if _is_text(schema, document):
                yield f"body {field}"


def _undescribed_texts(route: BaseRoute) -> Iterator[str]:
    """All parameters of a route that is not in the OpenAPI document."""
    if isinstance(route, Mount):
        yield "path path"
    elif isinstance(route, APIRoute):
        yield from _declared(route.dependant)


def _declared(dependant: Dependant) -> Iterator[str]:
    for place in ("path", "query", "header", "cookie", "body"):
        for parameter in getattr(dependant, f"{place}_params"):
            yield f"{place} {parameter.alias.lower()}"
    for part in dependant.dependencies:
        yield from _declared(part)


def _fields(schema: dict[str, Any], document: dict[str, Any], before: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of an object, those of objects in it, and those of the items of lists."""
    schema = _resolved(schema, document)
    for choice in _CHOICES:
        for part in schema.get(choice, ()):
            yield from _fields(part, document, before)
    if "items" in schema:
        yield from _fields(schema["items"], document, before)
    for name, field in schema.get("properties", {}).items():
        yield before + name, field
        yield from _fields(field, document, f"{before}{name}.")


def _is_text(schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a value can be any text, or an object or a list with such."""
    schema = _resolved(schema, document)
    if "enum" in schema or "const" in schema:
        return False
    parts = [part for choice in _CHOICES for part in schema.get(choice, ())]
    if parts:
        return any(_is_text(part, document) for part in parts)
    match schema.get("type"):
        case "array":
            return _is_text(schema.get("items", {}), document)
        case "object":
            return "properties" not in schema
        case kind:
            return kind in (None, "string")


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema
