"""Forwards `http://localhost:8000` to the emulated API Gateway: `python -m localstack.aws.gateway`.

A reverse proxy that adds the headers that API Gateway adds (X-Forwarded-*) and rejects the requests that API Gateway
rejects (a Content-Length over 10 MB). Everything else is streamed unchanged in both directions.
"""

import asyncio
import http
import json
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from multidict import CIMultiDict
from yarl import URL

from localstack.aws import deployed
from localstack.aws.clients import create_client
from localstack.settings import Settings, load

log = logging.getLogger("gateway")

#: The logical id of the API in the template.
API_RESOURCE = "HttpApi"

#: API Gateway's limit for the body of a request.
MAX_BODY_BYTES = 10_000_000

#: Responses up to this size are read as a whole, which is faster than streaming.
_SMALL_BYTES = 65_536

#: Seconds. API Gateway times out after 30.
_TIMEOUT_S = 35
_CONNECT_TIMEOUT_S = 2

#: Headers of a single connection (RFC 9110, section 7.6.1), which a proxy does not forward.
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


class Gateway:
    """Forwards to the API of one stack, which is looked up at the first request and after connection errors."""

    def __init__(self, settings: Settings, find: Callable[[Settings], str | None] | None = None) -> None:
        self._settings = settings
        self._find = find or find_api
        self._client: aiohttp.ClientSession | None = None
        self._api_id: str | None = None
        self._lookup_lock = asyncio.Lock()

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self.forward)
        application.cleanup_ctx.append(self._with_client)
        application.on_response_prepare.append(_remove_server_header)
        return application

    async def _with_client(self, _application: web.Application) -> Any:
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=_TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        yield
        await self._client.close()

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Forwards one request and returns the response."""
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.json_response({"message": "Request Entity Too Large"}, status=413)
        target = await self._target(request)
        if target is None:
            return unavailable(f"The stack '{self._settings.stack}' is not deployed. Run `make up`.")
        try:
            return await self._exchange(request, target)
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError) as error:
            self._api_id = None
            return unavailable(f"The emulated API Gateway does not respond: {error}.")
        except TimeoutError:
            # The response of API Gateway after a time-out.
            return web.json_response({"message": "Service Unavailable"}, status=503)

    async def _target(self, request: web.Request) -> URL | None:
        if self._api_id is None:
            async with self._lookup_lock:
                self._api_id = self._api_id or await asyncio.to_thread(self._find, self._settings)
        return upstream(self._settings, self._api_id, request.raw_path) if self._api_id else None

    async def _exchange(self, request: web.Request, target: URL) -> web.StreamResponse:
        assert self._client is not None  # noqa: S101 - created before the first request
        body = request.content if request.can_read_body else None
        async with self._client.request(
            request.method, target, headers=request_headers(request), data=body, allow_redirects=False
        ) as reply:
            headers = without_hop_by_hop(reply.headers.items())
            size = reply.content_length
            if size is not None and size <= _SMALL_BYTES and request.method != "HEAD":
                return web.Response(status=reply.status, reason=reply.reason, headers=headers, body=await reply.read())
            response = web.StreamResponse(status=reply.status, reason=reply.reason, headers=headers)
            await response.prepare(request)
            async for piece in reply.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


async def _remove_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    """Removes the header that the library adds; API Gateway sends none."""
    response.headers.popall("Server", None)


def find_api(settings: Settings) -> str | None:
    """The API's id in the deployed stack; None if it is not deployed."""
    config = Config(connect_timeout=_CONNECT_TIMEOUT_S, read_timeout=5, retries={"max_attempts": 0})
    client = create_client(settings, "cloudformation", config)
    try:
        return deployed.physical_id(settings.stack, client, API_RESOURCE)
    except BotoCoreError as error:
        log.warning("cannot read the stack: %s", error)
        return None


def upstream(settings: Settings, api_id: str, raw_path: str) -> URL:
    """The emulator's URL of a path of the API. The path is kept as it was sent, without decoding."""
    if settings.emulator == "localstack":
        return URL(
            f"http://{api_id}.execute-api.{settings.service_host}:{settings.ports.emulator}{raw_path}", encoded=True
        )
    return URL(f"{settings.endpoint_url}/_aws/execute-api/{api_id}{raw_path}", encoded=True)


def request_headers(request: web.Request) -> CIMultiDict[str]:
    """The headers of the client and those that API Gateway adds."""
    headers = without_hop_by_hop(request.headers.items())
    earlier = request.headers.get("X-Forwarded-For")
    peer = request.remote or "127.0.0.1"
    headers["X-Forwarded-For"] = f"{earlier}, {peer}" if earlier else peer
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Port"] = str(request.url.port or 80)
    return headers


def without_hop_by_hop(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """The end-to-end headers, including repeated ones."""
    pairs = list(headers)
    named = {name.strip().lower() for key, text in pairs if key.lower() == "connection" for name in text.split(",")}
    return CIMultiDict((key, text) for key, text in pairs if key.lower() not in _HOP_BY_HOP | named)


def unavailable(detail: str) -> web.Response:
    """A response with a problem document (RFC 9457) for a stack that cannot be reached."""
    status = http.HTTPStatus.SERVICE_UNAVAILABLE
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": detail,
        "code": "stack_unavailable",
    }
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/problem+json", headers={"Retry-After": "2"}
    )


def main() -> int:
    """Serves until SIGTERM or SIGINT."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING, stream=sys.stdout)
    settings = load()

    async def application() -> web.Application:
        return Gateway(settings).application()

    web.run_app(
        application(), host="127.0.0.1", port=settings.ports.api, access_log=None, print=None, shutdown_timeout=1.0
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
