"""The proxy in front of the emulated API Gateway: what goes through untouched, what it adds, what it refuses."""

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
    """Runs a conversation with a gateway whose emulator gives the answer, or is not there. Returns what was asked."""
    asked: list[web.Request] = []

    async def emulate(request: web.Request) -> web.StreamResponse:
        asked.append(request)
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

    loop = asyncio.new_event_loop()  # and not asyncio.run, which leaves the process without a current loop
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return asked


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"headers": dict(request.headers), "path": request.raw_path, "bytes": len(body)})


def test_request_goes_to_the_api_with_its_path_as_it_was_written():
    async def talk(client):
        await client.get(URL("/files/a%2Fb%20c?x=1&x=%2F", encoded=True))

    (request,) = converse(talk, echo)

    assert request.raw_path == "/_aws/execute-api/api-1/files/a%2Fb%20c?x=1&x=%2F"


def test_headers_tell_where_the_request_came_from():
    async def talk(client):
        await client.get("/", headers={"X-Forwarded-For": "192.0.2.1", "Host": "pictures.test:8000", "X-Mine": "1"})

    (request,) = converse(talk, echo)

    assert request.headers["Host"] == "pictures.test:8000"
    assert request.headers["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
    assert request.headers["X-Forwarded-Proto"] == "http"
    assert request.headers["X-Forwarded-Port"] == "8000"
    assert request.headers["X-Mine"] == "1"


def test_headers_of_one_connection_are_not_passed_on():
    async def talk(client):
        await client.get("/", headers={"Connection": "keep-alive, X-Private", "X-Private": "1", "TE": "trailers"})

    (request,) = converse(talk, echo)

    assert not {"X-Private", "TE"} & set(request.headers)


@pytest.mark.parametrize("status", [200, 202, 204, 304, 307, 404, 422, 500, 503])
def test_answers_of_every_status_pass_untouched(status):
    async def answer(_request):
        headers = {"Location": "http://127.0.0.1:1/elsewhere", "Content-Type": "application/problem+json"}
        return web.Response(status=status, headers=headers, body=b"" if status in (204, 304) else b'{"a": 1}')

    async def talk(client):
        async with client.get("/", allow_redirects=False) as got:
            assert got.status == status
            assert got.headers["Location"] == "http://127.0.0.1:1/elsewhere"
            assert "Server" not in got.headers
            assert await got.read() == (b"" if status in (204, 304) else b'{"a": 1}')

    converse(talk, answer)


def test_cookies_stay_apart_and_compressed_bodies_compressed():
    async def answer(_request):
        response = web.Response(body=b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"})
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response

    async def talk(client):
        async with client.get("/") as got:
            assert got.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert got.headers["Content-Encoding"] == "gzip"
            assert await got.read() == b"\x1f\x8bnot really"

    converse(talk, answer)


def test_body_is_carried_both_ways_byte_for_byte():
    content = bytes(range(256)) * 4000

    async def answer(request):
        return web.Response(body=await request.read(), content_type="application/octet-stream")

    async def talk(client):
        async with client.post("/", data=content) as got:
            assert await got.read() == content

    converse(talk, answer)


def test_long_answer_is_passed_on_while_it_comes():
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.sleep(0.5)
        await response.write(b"second")
        return response

    async def talk(client):
        async with client.get("/") as got:
            assert await asyncio.wait_for(got.content.readany(), 0.4) == b"first"
            assert await got.content.read() == b"second"

    converse(talk, answer)


def test_answer_to_head_keeps_its_length_and_has_no_body():
    async def talk(client):
        async with client.head("/") as got:
            assert int(got.headers["Content-Length"]) > 0
            assert await got.read() == b""

    (request,) = converse(talk, echo)

    assert request.method == "HEAD"


def test_body_that_api_gateway_would_refuse_is_refused():
    async def talk(client):
        async with client.post("/", data=io.BytesIO(bytes(MAX_BODY_BYTES + 1))) as got:
            assert got.status == 413

    assert converse(talk, echo) == []


@pytest.mark.parametrize(("answer", "api_id"), [(None, "api-1"), (echo, None)])
def test_without_a_stack_the_answer_is_a_problem_document(answer, api_id):
    async def talk(client):
        async with client.get("/jobs") as got:
            problem = json.loads(await got.read())
            assert (got.status, got.content_type) == (503, "application/problem+json")
            assert got.headers["Retry-After"]
            assert problem["code"] == "stack_unavailable"
            assert problem["status"] == 503

    converse(talk, answer, api_id)


def test_client_that_hangs_up_leaves_the_next_one_served():
    async def answer(request):
        await asyncio.sleep(0.3 if request.path.endswith("slow") else 0)
        return web.Response(text="fine")

    async def talk(client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("/slow"), 0.1)
        async with client.get("/quick") as got:
            assert await got.text() == "fine"

    converse(talk, answer)
