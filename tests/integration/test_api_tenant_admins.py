"""Who may manage which tenant: the operator all of them, an admin of another tenant only its own."""

import json
from typing import Any

import pytest

from darkroom.contracts.tenants import OPERATOR_TENANT, Scope
from darkroom.tenants import records
from tests.integration.tenant_routes import OPERATOR_ROUTES, code_of, create
from tests.support.gateway import Reply, acting_as, call


def without_trace(reply: Reply) -> tuple[int, Any, dict[str, str]]:
    """What a client can learn from a response. The trace is that of the request, and so is the path."""
    body = {name: value for name, value in reply.json.items() if name not in ("trace_id", "instance")}
    return reply.status, body, reply.headers


def test_admin_of_another_tenant_sees_its_own_tenant_only() -> None:
    for name in ("acme", "acme-2"):
        create(name)

    with acting_as("acme", Scope.ADMIN):
        own = call("GET", "/tenants/acme")
        others = [call("GET", f"/tenants/{name}") for name in ("acme-2", "nobody", "default")]
        lists = [call("GET", "/tenants"), create("beta")]

    assert (own.status, own.json["name"]) == (200, "acme")
    assert [code_of(reply) for reply in others] == [(404, "tenant_not_found")] * 3
    assert [code_of(reply) for reply in lists] == [(403, "operator_required")] * 2
    assert records.read_tenant("beta") is None


@pytest.mark.parametrize(("method", "path", "body"), [*OPERATOR_ROUTES, ("GET", "/tenants/{}", None)])
def test_tenant_of_others_looks_like_one_that_does_not_exist(method: str, path: str, body: Any) -> None:
    for name in ("acme", "zeta"):
        create(name)

    with acting_as("acme", Scope.ADMIN):
        foreign = call(method, path.format("zeta"), json_body=body)
        missing = call(method, path.format("none"), json_body=body)

    answer = json.loads(json.dumps(without_trace(foreign)).replace("zeta", "none"))
    assert answer == json.loads(json.dumps(without_trace(missing)))
    assert foreign.status == 404


@pytest.mark.parametrize(("method", "path", "body"), OPERATOR_ROUTES)
def test_admin_of_another_tenant_cannot_change_its_own_tenant(method: str, path: str, body: Any) -> None:
    create()
    before = call("GET", "/tenants/acme").json

    with acting_as("acme", Scope.ADMIN):
        assert code_of(call(method, path.format("acme"), json_body=body)) == (403, "operator_required")

    assert call("GET", "/tenants/acme").json == before


def test_operators_keys_without_the_scope_admin_manage_nothing() -> None:
    create()

    with acting_as(OPERATOR_TENANT, Scope.READ, Scope.WRITE):
        for method, path, body in [("GET", "/tenants", None), ("GET", "/tenants/acme", None), *OPERATOR_ROUTES]:
            assert code_of(call(method, path.format("acme"), json_body=body)) == (403, "scope_missing")
