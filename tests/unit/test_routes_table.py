"""The table of routes that the tests of isolation attack has every route, with its scopes and its parameters."""

from collections.abc import Mapping

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.main import app
from api.principals import GuardedRoute, Reader, scopes_of
from api.request_models import UploadRequest
from darkroom.contracts.tenants import Scope
from tests.support.routes import served, texts_of
from tests.support.routes_table import ROUTES, Names, Route


def differences(application: FastAPI, table: Mapping[str, Route]) -> set[str]:
    """Where the API and a table differ."""
    routes, texts = dict(served(application)), texts_of(application)
    found = {f"{name} is not in the table" for name in routes.keys() - table}
    found |= {f"{name} is not a route" for name in table.keys() - routes}
    for name in routes.keys() & table:
        route, entry = routes[name], table[name]
        scopes = scopes_of(route) or () if isinstance(route, APIRoute) else ()
        if sorted(scopes) != sorted(entry.scopes):
            found.add(f"{name} needs one of the scopes {', '.join(sorted(scopes))}")
        known = entry.ids.keys() | entry.texts
        found |= {f"{name} has the parameter {text}" for text in texts[name] - known}
        found |= {f"{name} has no parameter {text}" for text in known - texts[name]}
    return found


def test_table_has_every_route_and_every_parameter() -> None:
    assert not differences(app, ROUTES)


def application() -> FastAPI:
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    made.router.route_class = GuardedRoute

    @made.get("/things/{thing_id}")
    async def get_thing(thing_id: str, _principal: Reader, of: str = "", limit: int = 1) -> None: ...

    @made.post("/things")
    async def add_thing(body: UploadRequest, _principal: Reader) -> None: ...

    return made


LISTED = {
    "GET /things/{thing_id}": Route((Scope.READ,), {"path thing_id": Names.FILE, "query of": Names.JOB}),
    "POST /things": Route((Scope.READ,), texts=frozenset({"body name", "body media_type"})),
}


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({}, None),
        ({"POST /things": None}, "POST /things is not in the table"),
        ({"GET /other": Route()}, "GET /other is not a route"),
        (
            {"GET /things/{thing_id}": Route((Scope.READ,), {"path thing_id": Names.FILE})},
            "GET /things/{thing_id} has the parameter query of",
        ),
        (
            {"POST /things": Route((Scope.READ,), texts=frozenset({"body name"}))},
            "POST /things has the parameter body media_type",
        ),
        (
            {"POST /things": Route((Scope.WRITE,), texts=LISTED["POST /things"].texts)},
            "POST /things needs one of the scopes read",
        ),
        (
            {"POST /things": Route((Scope.READ,), texts=LISTED["POST /things"].texts | {"body gone"})},
            "POST /things has no parameter body gone",
        ),
    ],
)
def test_difference_is_noticed(changed: dict[str, Route | None], difference: str | None) -> None:
    table = {name: route for name, route in (LISTED | changed).items() if route is not None}

    assert differences(application(), table) == ({difference} if difference else set())
