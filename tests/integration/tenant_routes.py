"""The routes for tenants, and requests that their tests share."""

from collections.abc import Iterator
from typing import Any

import pytest

from darkroom.contracts.tenants import OPERATOR_TENANT, UNLIMITED
from tests.support.gateway import Reply, acting_as, call

#: The routes that only the operator may use, with a valid body.
OPERATOR_ROUTES: list[tuple[str, str, Any]] = [
    ("PUT", "/tenants/{}/quotas", {}),
    ("POST", "/tenants/{}/suspend", None),
    ("POST", "/tenants/{}/resume", None),
    ("DELETE", "/tenants/{}", None),
]


@pytest.fixture(autouse=True)
def as_operator() -> Iterator[None]:
    """The deployment is closed; a request that names no principal is one of its operator."""
    with acting_as(OPERATOR_TENANT, quotas=UNLIMITED):
        yield


def create(name: str = "acme", **more: Any) -> Reply:
    """Creates a tenant."""
    return call("POST", "/tenants", json_body={"name": name, **more})


def code_of(reply: Reply) -> tuple[int, str]:
    """The status and the code of an error."""
    return reply.status, reply.json["code"]
