"""Preflight requests of browsers, which carry no credentials."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Preflight:
    """ASGI middleware: responds to OPTIONS with 204 and nothing else.

    API Gateway adds the headers that say which origins, methods and headers the deployment allows.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self.app(scope, receive, send)
