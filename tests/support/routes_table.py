"""What the API takes from clients, and what of it names something that belongs to a tenant.

Everything here is compared with the routes of the API, so a route or a parameter that is missing fails a test. A new
parameter goes to `ids` if its value can name something that belongs to somebody: then it is attacked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from darkroom.contracts.tenants import Scope


class Names(StrEnum):
    """What the value of a parameter names."""

    JOB = "job"
    FILE = "file"
    LINK = "upload link"
    TENANT = "tenant"
    KEY = "API key"
    JOB_POSITION = "position in a list of jobs"
    LINK_POSITION = "position in a list of upload links"
    TENANT_POSITION = "position in a list of tenants"
    KEY_POSITION = "position in a list of keys"
    IDEMPOTENCY_KEY = "idempotency key"

    @property
    def is_looked_up(self) -> bool:
        """Whether a request fails if what is named does not exist."""
        return not self.is_position and self is not Names.IDEMPOTENCY_KEY

    @property
    def is_position(self) -> bool:
        """Whether it names a place in a list, where something need not be."""
        return self in (Names.JOB_POSITION, Names.LINK_POSITION, Names.TENANT_POSITION, Names.KEY_POSITION)


#: The body of a request with a file in a form.
FILE_FORM = "form"

TRACE = frozenset({"header traceparent"})
IDEMPOTENCY = {"header idempotency-key": Names.IDEMPOTENCY_KEY}


def params_texts(prefix: str) -> frozenset[str]:
    """Parameters of operations that can be any text and name nothing."""
    return frozenset(
        f"body {prefix}params.{name}" for name in ("background", "color", "outline_color", "text", "track")
    )


@dataclass(frozen=True)
class Route:
    """A route: the scopes of which it needs one, none if it is public, and its parameters that can be any text.

    `ids` are those that name something, `texts` the others. `query` and `body` are those of a request that reaches
    what they name; `{job_id}` and so on stand for the values.
    """

    scopes: tuple[Scope, ...] = ()
    ids: Mapping[str, Names] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    query: str = ""
    body: Any = None


_READ, _WRITE, _ADMIN = (Scope.READ,), (Scope.WRITE,), (Scope.ADMIN,)
_READ_OR_LINK, _WRITE_OR_LINK = (*_READ, Scope.UPLOAD), (*_WRITE, Scope.UPLOAD)
_WATERMARK = {"operation": "watermark", "params": {"image_file_id": "{image_file_id}"}}
_JOB = {"path job_id": Names.JOB}
_LINK = {"path link_id": Names.LINK}
_TENANT = {"path tenant": Names.TENANT}
_KEY = _TENANT | {"path key_id": Names.KEY}
_KEY_TEXTS = frozenset({"body name", "body expires_at"})

ROUTES: dict[str, Route] = {
    "GET /": Route(),
    "GET /docs": Route(),
    "GET /docs-assets/{path}": Route(texts=frozenset({"path path"})),
    "GET /health": Route(),
    "GET /openapi.json": Route(),
    "HEAD /docs-assets/{path}": Route(texts=frozenset({"path path"})),
    "GET /health/parts": Route(_ADMIN),
    "GET /operations": Route(_READ),
    "GET /usage": Route(_READ),
    "POST /upload": Route(_WRITE, IDEMPOTENCY, frozenset({"body file"}), body=FILE_FORM),
    "POST /uploads": Route(
        _WRITE_OR_LINK,
        IDEMPOTENCY | {"body jobs.params.image_file_id": Names.FILE},
        TRACE | {"body name", "body media_type"} | params_texts("jobs."),
        body={"name": "a.png", "media_type": "image/png", "jobs": [_WATERMARK]},
    ),
    "GET /files/{file_id}": Route(_READ_OR_LINK, {"path file_id": Names.FILE}),
    "GET /jobs": Route(_READ, {"query before": Names.JOB_POSITION}, query="before={before}"),
    "POST /jobs": Route(
        _WRITE,
        IDEMPOTENCY | {"body file_id": Names.FILE, "body params.image_file_id": Names.FILE},
        TRACE | params_texts(""),
        body={"file_id": "{file_id}"} | _WATERMARK,
    ),
    "GET /jobs/{job_id}": Route(_READ_OR_LINK, _JOB, query="wait=0.1"),
    "DELETE /jobs/{job_id}": Route(_WRITE, _JOB),
    "GET /jobs/{job_id}/download": Route(_READ_OR_LINK, _JOB),
    "POST /jobs/{job_id}/retry": Route(_WRITE, _JOB | IDEMPOTENCY, TRACE),
    "POST /upload-links": Route(
        _WRITE,
        {"body jobs.params.image_file_id": Names.FILE},
        frozenset({"body media_types"}) | params_texts("jobs."),
        body={"jobs": [_WATERMARK]},
    ),
    "GET /upload-links": Route(_WRITE, {"query after": Names.LINK_POSITION}, query="after={after}"),
    "GET /upload-links/{link_id}": Route(_WRITE, _LINK),
    "DELETE /upload-links/{link_id}": Route(_WRITE, _LINK),
    "GET /tenants": Route(_ADMIN, {"query after": Names.TENANT_POSITION}, query="after={after}"),
    "POST /tenants": Route(_ADMIN, {"body name": Names.TENANT}, frozenset({"body title"}), body={"name": "{name}"}),
    "GET /tenants/{tenant}": Route(_ADMIN, _TENANT),
    "GET /tenants/{tenant}/usage": Route(_ADMIN, _TENANT),
    "PUT /tenants/{tenant}/quotas": Route(_ADMIN, _TENANT, body={"queued_jobs": 5}),
    "POST /tenants/{tenant}/suspend": Route(_ADMIN, _TENANT),
    "POST /tenants/{tenant}/resume": Route(_ADMIN, _TENANT),
    "GET /tenants/{tenant}/keys": Route(_ADMIN, _TENANT | {"query after": Names.KEY_POSITION}, query="after={after}"),
    "POST /tenants/{tenant}/keys": Route(_ADMIN, _TENANT, _KEY_TEXTS, body={"name": "a", "scopes": ["read"]}),
    "GET /tenants/{tenant}/keys/{key_id}": Route(_ADMIN, _KEY),
    "PATCH /tenants/{tenant}/keys/{key_id}": Route(_ADMIN, _KEY, _KEY_TEXTS, body={"name": "b"}),
    "POST /tenants/{tenant}/keys/{key_id}/rotate": Route(_ADMIN, _KEY),
    "DELETE /tenants/{tenant}/keys/{key_id}": Route(_ADMIN, _KEY),
    "DELETE /tenants/{tenant}": Route(_ADMIN, _TENANT),
}
