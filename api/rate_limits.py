"""The headers RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10): what a client may still use.

Both are lists of structured fields (RFC 9651), with an item for each quota that matters to the request.
"""

from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom.errors import QuotaExceededError

#: The unit of bytes that the draft defines. It defines none for jobs and minutes, so theirs is a parameter of our own.
_BYTES = "content-bytes"

_STATE = "rate_limits"


@dataclass(frozen=True)
class RateLimit:
    """A quota: its name and size, per window if it is renewed, what is left of it, and in how many seconds it is whole.

    `unit` is None for requests.
    """

    name: str
    quota: int
    left: int
    window_s: int | None = None
    reset_s: int | None = None
    unit: str | None = None

    @property
    def policy_item(self) -> str:
        """The item of the header RateLimit-Policy."""
        unit = "" if self.unit is None else f';{"qu" if self.unit == _BYTES else "darkroom-unit"}="{self.unit}"'
        return f'"{self.name}";q={self.quota}{unit}{_parameter("w", self.window_s)}'

    @property
    def limit_item(self) -> str:
        """The item of the header RateLimit."""
        return f'"{self.name}";r={self.left}{_parameter("t", self.reset_s)}'


def _parameter(name: str, value: int | None) -> str:
    return "" if value is None else f";{name}={value}"


def set_limit(state: dict[str, Any], limit: RateLimit) -> None:
    """Adds a quota to the headers of the response to a request, or replaces it. `state` is that of the request."""
    state.setdefault(_STATE, {})[limit.name] = limit


def report_exceeded(state: dict[str, Any], error: QuotaExceededError) -> None:
    """Adds the quota for which a request is refused, if its limit may be told. `t` is when to repeat the request."""
    if not error.limit:
        return
    limit = RateLimit(
        name=error.code.removeprefix("quota_"),
        quota=error.limit,
        left=0,
        window_s=error.window_s,
        reset_s=error.retry_after_s,
        unit=error.unit,
    )
    set_limit(state, limit)


class RateLimitHeaders:
    """ASGI middleware: adds the headers to the response to a request of a principal with quotas."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""

        async def send_with_headers(message: Message) -> None:
            limits: dict[str, RateLimit] = scope.get("state", {}).get(_STATE, {})
            if limits and message["type"] == "http.response.start":
                policy = ", ".join(limit.policy_item for limit in limits.values())
                left = ", ".join(limit.limit_item for limit in limits.values())
                headers = [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
