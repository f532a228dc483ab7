"""One structured log line per request, and the response to unhandled exceptions.

A line has no headers and no query, so no credentials: of these it has the public id.
"""

import time
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response
from darkroom.errors import InternalError
from darkroom.log import logger
from darkroom.tracing import continue_trace, trace_id

_TRACEPARENT = b"traceparent"


class RequestLog:
    """ASGI middleware: sets the request's trace, responds 500 to an unhandled exception and logs the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        state["traceparent"] = continue_trace(_header(scope, _TRACEPARENT))
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observe)
        except Exception as error:  # noqa: BLE001 - the client gets a response whatever it is
            logger().exception("unhandled exception in the API", extra={"trace_id": trace_id(state["traceparent"])})
            if not status:
                response = problem_response(Request(scope), InternalError(f"{type(error).__name__}: {error}"))
                await response(scope, receive, observe)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        logger().info("request", extra=_line(scope) | {"status": status, "ms": milliseconds})


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _line(scope: Scope) -> dict[str, Any]:
    route = scope.get("route")
    line = {
        "method": scope["method"],
        "route": getattr(route, "path", None),
        "trace_id": trace_id(scope["state"]["traceparent"]),
    }
    known = scope.get("path_params", {}) | scope["state"]
    names = ("tenant", "credential", "job_id", "file_id", "code")
    return line | {name: known[name] for name in names if name in known}
