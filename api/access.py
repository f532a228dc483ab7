"""One structured log line per request, and the last resort for errors that nobody foresaw."""

import time
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from darkroom.errors import InternalError
from darkroom.log import logger
from darkroom.tracing import continue_trace, trace_id

_TRACEPARENT = b"traceparent"


class RequestLog:
    """ASGI middleware: gives the request its trace, answers 500 where the app raises, logs how it went."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
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
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the client gets an answer
            logger().exception("the API has a defect", extra={"trace_id": trace_id(state["traceparent"])})
            if not status:
                response = problems.respond(Request(scope), InternalError(f"{type(error).__name__}: {error}"))
                await response(scope, receive, observe)
        milliseconds = round((time.perf_counter() - begun) * 1000, 1)
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
    return line | {name: known[name] for name in ("job_id", "file_id", "code") if name in known}
