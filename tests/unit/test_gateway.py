"""The proxy in front of the emulated API Gateway: what it passes on unchanged, what it adds, what it rejects."""

import asyncio
import dataclasses
import io
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from yarl import URL

from localstack.aws.gateway import MAX_BODY_BYTES, Gateway
from localstack.settings import Settings, load

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Conversation = Callable[[aiohttp.ClientSession], Awaitable[None]]


def settings_for(emulator_port: int) -> Settings:
    settings = load({"DARKROOM_STACK": "mine"})
    return dataclasses.replace(settings, ports=dataclasses.replace(settings.ports, emulator=emulator_port))


async def serve(application: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(application, lingering_time=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def converse(talk: Conversation, answer: Answer | None, api_id: str | None = "api-1") -> list[web.Request]:
    """Sends requests to a gateway whose emulator responds with `answer`, or does not run. Returns what it received."""
    received: list[web.Request] = []

    async def emulate(request: web.Request) -> web.StreamResponse:
        received.append(request)
        assert answer is not None
        return await answer(request)

    async def run() -> None:
        ports = unused_port(), unused_port()
        emulator = web.Application(client_max_size=2 * MAX_BODY_BYTES)
        emulator.router.add_route("*", "/{path:.*}", emulate)
        gateway = Gateway(settings_for(ports[0]), lambda _settings: api_id).application()
        runners = [await serve(gateway, ports[1])] + ([await serve(emulator, ports[0])] if answer else [])
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{ports[1]}", auto_decompress=False) as client:
                await talk(client)
        finally:
            for runner in runners:
                await runner.cleanup()

    loop = asyncio.new_event_loop()  # asyncio.run would leave the process without a current loop
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return received


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"headers": dict(request.headers), "path": request.raw_path, "bytes": len(body)})


def test_request_is_forwarded_to_the_api_with_its_path_unchanged() -> None:
    async def talk(client: aiohttp.ClientSession) -> None:
        await client.get(URL("/files/a%2Fb%20c?x=1&x=%2F", encoded=True))

    (request,) = converse(talk, echo)

    assert request.raw_path == "/_aws/execute-api/api-1/files/a%2Fb%20c?x=1&x=%2F"


def test_forwarded_headers_name_client_and_scheme() -> None:
    async def talk(client: aiohttp.ClientSession) -> None:
        await client.get("/", headers={"X-Forwarded-For": "192.0.2.1", "Host": "pictures.test:8000", "X-Mine": "1"})

    (request,) = converse(talk, echo)

    assert request.headers["Host"] == "pictures.test:8000"
    assert request.headers["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
    assert request.headers["X-Forwarded-Proto"] == "http"
    assert request.headers["X-Forwarded-Port"] == "8000"
    assert request.headers["X-Mine"] == "1"


def test_hop_by_hop_headers_are_not_forwarded() -> None:
    async def talk(client: aiohttp.ClientSession) -> None:
        await client.get("/", headers={"Connection": "keep-alive, X-Private", "X-Private": "1", "TE": "trailers"})

    (request,) = converse(talk, echo)

    assert not {"X-Private", "TE"} & set(request.headers)


@pytest.mark.parametrize("status", [200, 202, 204, 304, 307, 404, 422, 500, 503])
def test_responses_of_every_status_pass_unchanged(status: int) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        headers = {"Location": "http://127.0.0.1:1/elsewhere", "Content-Type": "application/problem+json"}
        return web.Response(status=status, headers=headers, body=b"" if status in (204, 304) else b'{"a": 1}')

    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.get("/", allow_redirects=False) as got:
            assert got.status == status
            assert got.headers["Location"] == "http://127.0.0.1:1/elsewhere"
            assert "Server" not in got.headers
            assert await got.read() == (b"" if status in (204, 304) else b'{"a": 1}')

    converse(talk, answer)


def test_repeated_headers_and_compressed_bodies_are_kept() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"})
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response

    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.get("/") as got:
            assert got.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert got.headers["Content-Encoding"] == "gzip"
            assert await got.read() == b"\x1f\x8bnot really"

    converse(talk, answer)


def test_body_is_unchanged_in_both_directions() -> None:
    content = bytes(range(256)) * 4000

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read(), content_type="application/octet-stream")

    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.post("/", data=content) as got:
            assert await got.read() == content

    converse(talk, answer)


def test_long_response_is_streamed() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.sleep(0.5)
        await response.write(b"second")
        return response

    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.get("/") as got:
            assert await asyncio.wait_for(got.content.readany(), 0.4) == b"first"
            assert await got.content.read() == b"second"

    converse(talk, answer)


def test_response_to_head_has_its_length_and_no_body() -> None:
    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.head("/") as got:
            assert int(got.headers["Content-Length"]) > 0
            assert await got.read() == b""

    (request,) = converse(talk, echo)

    assert request.method == "HEAD"


def test_body_over_the_limit_of_api_gateway_is_rejected() -> None:
    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.post("/", data=io.BytesIO(bytes(MAX_BODY_BYTES + 1))) as got:
            assert got.status == 413

    assert converse(talk, echo) == []


@pytest.mark.parametrize(("answer", "api_id"), [(None, "api-1"), (echo, None)])
def test_response_without_a_stack_is_a_problem_document(answer: Answer | None, api_id: str | None) -> None:
    async def talk(client: aiohttp.ClientSession) -> None:
        async with client.get("/jobs") as got:
            problem = json.loads(await got.read())
            assert (got.status, got.content_type) == (503, "application/problem+json")
            assert got.headers["Retry-After"]
            assert problem["code"] == "stack_unavailable"
            assert problem["status"] == 503

    converse(talk, answer, api_id)


def test_next_client_is_served_after_one_disconnected() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3 if request.path.endswith("slow") else 0)
        return web.Response(text="fine")

    async def talk(client: aiohttp.ClientSession) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("/slow"), 0.1)
        async with client.get("/quick") as got:
            assert await got.text() == "fine"

    converse(talk, answer)
