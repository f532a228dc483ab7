"""The security headers of every response. A route that sets one of them itself keeps its own."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_SCHEME = b"x-forwarded-proto"


class SecurityHeaders:
    """ASGI middleware: adds the headers that a response does not have."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        over_https = any(name == _SCHEME and value == b"https" for name, value in scope["headers"])
        wanted = (*_HEADERS, _TRANSPORT) if over_https else _HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                missing = (header for header in wanted if header[0] not in present)
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
