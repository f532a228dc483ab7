"""The routes for tenants, and requests that their tests share."""

from typing import Any

from tests.support.gateway import Reply, call

#: The routes that only the operator may use, with a valid body.
OPERATOR_ROUTES: list[tuple[str, str, Any]] = [
    ("PUT", "/tenants/{}/quotas", {}),
    ("POST", "/tenants/{}/suspend", None),
    ("POST", "/tenants/{}/resume", None),
    ("DELETE", "/tenants/{}", None),
]


def create(name: str = "acme", **more: Any) -> Reply:
    """Creates a tenant."""
    return call("POST", "/tenants", json_body={"name": name, **more})


def code_of(reply: Reply) -> tuple[int, str]:
    """The status and the code of an error."""
    return reply.status, reply.json["code"]
