"""Who may use which route: every route needs one scope or is public, and refuses a request before it reads the body."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.main import app
from api.principals import GuardedRoute, Reader, scopes_of
from darkroom.contracts.tenants import Principal, Quotas, Scope
from darkroom.errors import (
    CredentialsExpiredError,
    CredentialsInvalidError,
    StorageUnavailableError,
    TenantSuspendedError,
)
from darkroom.tenants.context import denial, to_context
from tests.support.gateway import Reply, call
from tests.support.routes import served

#: Everything that may be used without credentials.
PUBLIC = {
    "GET /",
    "GET /health",
    "GET /docs",
    "GET /openapi.json",
    "GET /docs-assets/{path}",
    "HEAD /docs-assets/{path}",
}

#: The scopes of the routes whose method does not tell them. The token of an upload link has the scope `upload` only.
OTHERS = {
    "GET /health/parts": [Scope.ADMIN],
    "GET /upload-links": [Scope.WRITE],
    "GET /upload-links/{link_id}": [Scope.WRITE],
    "POST /uploads": [Scope.WRITE, Scope.UPLOAD],
    "GET /files/{file_id}": [Scope.READ, Scope.UPLOAD],
    "GET /jobs/{job_id}": [Scope.READ, Scope.UPLOAD],
    "GET /jobs/{job_id}/download": [Scope.READ, Scope.UPLOAD],
}

ID = "019ab0c4-7f3a-7c21-9d54-3f1b8e6a2c07"


def principal(*scopes: Scope) -> Principal:
    return Principal(tenant="acme", scopes=list(scopes), credential="acme-k3y", quotas=Quotas())


def unguarded(application: FastAPI) -> set[str]:
    """The routes that check no scope, or check it only after the body was read."""
    return {
        name
        for name, route in served(application)
        if not isinstance(route, APIRoute) or scopes_of(route) is None or not isinstance(route, GuardedRoute)
    }


def guarded() -> list[tuple[str, list[str]]]:
    found = [(name, route) for name, route in served(app) if isinstance(route, APIRoute)]
    return [(name, [*scopes]) for name, route in found if (scopes := scopes_of(route)) is not None]


def send(name: str, authorizer: dict[str, Any] | None) -> Reply:
    """A request to a route, with a body that is no JSON and no form."""
    method, _, path = name.partition(" ")
    values = {
        "job_id": ID,
        "file_id": ID,
        "link_id": "acme-7q2xk4mzt5ba",
        "tenant": "acme",
        "key_id": "acme-7q2xk4mzt5ba",
    }
    target = path.format(**values)
    return call(method, target, body=b"{", headers={"content-type": "application/json"}, authorizer=authorizer)


def test_every_route_needs_a_scope_or_is_public() -> None:
    assert unguarded(app) == PUBLIC


def test_route_without_a_scope_is_noticed() -> None:
    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @application.get("/careless")
    async def careless() -> None: ...

    @application.get("/late")
    async def late(_principal: Reader) -> None: ...

    assert unguarded(application) == {"GET /careless", "GET /late"}


def test_every_route_needs_the_scope_of_its_method_or_is_for_admins() -> None:
    assert dict(guarded()).keys() > OTHERS.keys()
    for name, scopes in guarded():
        of_method = Scope.READ if name.startswith("GET") else Scope.WRITE
        assert scopes == OTHERS.get(name, [Scope.ADMIN if " /tenants" in name else of_method]), name


@pytest.mark.usefixtures("closed_access")
@pytest.mark.parametrize("name", [name for name, _ in guarded()])
class TestClosed:
    """Each route of a deployment that is closed."""

    def test_request_that_no_authorizer_saw_is_refused(self, name: str) -> None:
        reply = send(name, None)

        assert (reply.status, reply.json["code"]) == (401, "credentials_missing")
        assert reply.headers["www-authenticate"] == 'Bearer realm="darkroom"'

    def test_denied_request_is_refused(self, name: str) -> None:
        reply = send(name, denial(CredentialsExpiredError('The key "k" has expired.')))

        assert (reply.status, reply.json["code"]) == (401, "credentials_expired")
        assert reply.json["detail"] == 'The key "k" has expired.'
        assert reply.headers["www-authenticate"] == (
            'Bearer realm="darkroom", error="invalid_token", error_description="The key \'k\' has expired."'
        )

    def test_request_without_the_scope_is_refused(self, name: str) -> None:
        needed = dict(guarded())[name]
        others = principal(*(scope for scope in Scope if scope not in needed))

        reply = send(name, to_context(others))

        assert (reply.status, reply.json["code"]) == (403, "scope_missing")
        assert (
            f'error="insufficient_scope", error_description="{reply.json["detail"].replace(chr(34), chr(39))}"'
            in (reply.headers["www-authenticate"])
        )
        assert reply.headers["www-authenticate"].endswith(f'scope="{" ".join(needed)}"')


@pytest.mark.usefixtures("closed_access")
def test_request_with_the_scope_is_carried_out() -> None:
    assert call("GET", "/operations", authorizer=to_context(principal(Scope.READ))).status == 200


@pytest.mark.usefixtures("closed_access")
@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/docs-assets/swagger-ui.css"])
def test_public_route_needs_no_credentials(path: str) -> None:
    assert call("GET", path).status == 200


@pytest.mark.usefixtures("closed_access")
@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_documentation_that_is_not_public_needs_credentials_of_any_scope(path: str) -> None:
    denied = call("GET", path, authorizer=denial(CredentialsInvalidError()))

    assert (denied.status, denied.json["code"]) == (401, "credentials_invalid")
    assert call("GET", path, authorizer=to_context(principal(Scope.ADMIN))).status == 200


@pytest.mark.usefixtures("closed_access")
@pytest.mark.parametrize("path", ["/jobs", "/nowhere"])
def test_preflight_request_succeeds_without_credentials(path: str) -> None:
    reply = call("OPTIONS", path)

    assert (reply.status, reply.body) == (204, b"")


@pytest.mark.usefixtures("open_access")
def test_open_deployment_needs_no_credentials_and_ignores_those_that_are_sent() -> None:
    denied = denial(CredentialsInvalidError())

    assert call("GET", "/operations").status == call("GET", "/operations", authorizer=denied).status == 200


@pytest.mark.usefixtures("closed_access")
def test_outage_while_credentials_are_checked_is_no_refusal() -> None:
    reply = call("GET", "/operations", authorizer=denial(StorageUnavailableError("The store is down.")))

    assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")
    assert "www-authenticate" not in reply.headers
    assert reply.headers["retry-after"]


@pytest.mark.usefixtures("closed_access")
def test_other_credentials_do_not_help_a_suspended_tenant() -> None:
    reply = call("GET", "/operations", authorizer=denial(TenantSuspendedError()))

    assert (reply.status, reply.json["code"]) == (403, "tenant_suspended")
    assert "www-authenticate" not in reply.headers
