"""Calls the API's Lambda handler as API Gateway does: with events of an HTTP API in payload format 2.0."""

import base64
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

from darkroom import config
from darkroom.contracts.tenants import UNLIMITED, Principal, Quotas, Scope
from darkroom.tenants.context import to_context

#: Content types that API Gateway passes as text.
_TEXT = ("text/", "application/json", "application/xml", "application/javascript")


#: The authorizer's context for requests that name none.
_acting: ContextVar[dict[str, Any] | None] = ContextVar("acting", default=None)


@contextmanager
def acting_as(tenant: str, *scopes: Scope, quotas: Quotas | None = None) -> Iterator[None]:
    """The deployment is closed, and requests are made on behalf of this tenant, by default with all scopes."""
    limits = quotas or UNLIMITED
    principal = Principal(tenant=tenant, scopes=list(scopes or Scope), credential=f"{tenant}-key", quotas=limits)
    token = _acting.set(to_context(principal))
    try:
        with patch.dict(os.environ, DARKROOM_ACCESS="closed"):
            config.settings.cache_clear()
            yield
    finally:
        config.settings.cache_clear()
        _acting.reset(token)


class _Context:
    """The parts of Lambda's context that Mangum reads."""

    function_name = "darkroom-api"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:darkroom-api"
    memory_limit_in_mb = 512
    aws_request_id = "request"
    log_group_name = log_stream_name = "api"
    identity: Any = None
    client_context: Any = None

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def context() -> _Context:
    return _Context()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def event(
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    authorizer: dict[str, Any] | None = None,
    source_ip: str = "127.0.0.1",
) -> dict[str, Any]:
    """The event for one request. `target` is the path and query, such as /jobs?limit=2.

    `authorizer` is the context of the authorizer's answer; without it, no authorizer was called.
    """
    path, _, query = target.partition("?")
    headers = {"host": "api.example.com", "x-forwarded-proto": "https", "x-forwarded-port": "443", **(headers or {})}
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "darkroom",
            "domainName": "api.example.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source_ip,
                "userAgent": "tests",
            },
            "requestId": "request",
            "routeKey": "$default",
            "stage": "$default",
            "time": "24/Nov/2026:04:00:00 +0000",
            "timeEpoch": 1795492800000,
        },
        "isBase64Encoded": False,
    }
    if authorizer is not None:
        made["requestContext"]["authorizer"] = {"lambda": authorizer}
    if query:
        made["queryStringParameters"] = dict(parse_qsl(query))
    if body is not None:
        is_text = headers.get("content-type", "").startswith(_TEXT)
        made["body"] = body.decode() if is_text else base64.b64encode(body).decode()
        made["isBase64Encoded"] = not is_text
    return made


def reply(answer: dict[str, Any]) -> Reply:
    """The HTTP response that API Gateway makes of a function's result."""
    text = answer.get("body", "")
    body = base64.b64decode(text) if answer["isBase64Encoded"] else text.encode()
    return Reply(answer["statusCode"], answer.get("headers") or {}, body)


def call(
    method: str,
    target: str,
    *,
    json_body: Any = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    authorizer: dict[str, Any] | None = None,
    source_ip: str = "127.0.0.1",
) -> Reply:
    """Sends a request through the API's Lambda handler. See `event` and `acting_as`."""
    from api.main import handler

    headers = {name.lower(): value for name, value in (headers or {}).items()}
    if json_body is not None:
        body = json.dumps(json_body).encode()
        headers.setdefault("content-type", "application/json")
    request = event(
        method, target, body=body, headers=headers, authorizer=authorizer or _acting.get(), source_ip=source_ip
    )
    return reply(handler(request, context()))


def multipart(fields: dict[str, str], *, name: str, media_type: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a form whose last field, `file`, is `content`."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    quoted = name.replace("\\", "\\\\").replace('"', "%22")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n".encode()
        + content
        + b"\r\n"
    )
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), {
        "content-type": f"multipart/form-data; boundary={boundary}"
    }
