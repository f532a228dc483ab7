"""The relays of chaos: they forward unchanged, hold, delay and refuse, and let a refused request take effect."""

import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.chaos.faults.refusals import HALF_THROTTLED, INTERNAL_ERROR
from tests.chaos.relays import Refusal, Relays
from tests.support.waiting import wait_until


class Service(ThreadingHTTPServer):
    """Echoes the bodies of requests, and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.received: list[bytes] = []


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def relays(service: Service) -> Iterator[Relays]:
    names = ("broker", "cache", "storage", "functions")
    target = int(service.server_address[1])
    made = Relays(
        dict(zip(names, free_ports(len(names)), strict=True)),
        dict.fromkeys(("broker", "cache", "emulator"), target),
        random.Random(1),
    )
    made.start()
    yield made
    made.close()


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def put(port: int, body: bytes, timeout: float = 30, path: str = "/bucket/key") -> httpx.Response:
    return httpx.put(f"http://127.0.0.1:{port}{path}", content=body, timeout=timeout)


@pytest.mark.parametrize("name", ["cache", "storage"])
def test_request_and_response_are_forwarded_unchanged(name: str, relays: Relays, service: Service) -> None:
    body = random.Random(2).randbytes(300_000)

    response = put(getattr(relays, name).port, body)

    assert response.status_code == 200
    assert response.content == body
    assert service.received == [body]


def test_connection_is_used_again(relays: Relays, service: Service) -> None:
    with httpx.Client() as http:
        for number in range(3):
            assert (
                http.put(f"http://127.0.0.1:{relays.storage.port}/", content=b"%d" % number).content == b"%d" % number
            )


@pytest.mark.parametrize("name", ["cache", "storage"])
def test_held_request_reaches_the_service_after_its_client_gave_up(name: str, relays: Relays, service: Service) -> None:
    relay = getattr(relays, name)
    relay.hold()

    with pytest.raises(httpx.ReadTimeout):
        put(relay.port, b"late", timeout=0.3)
    assert service.received == []
    relay.release()

    wait_until(lambda: service.received)
    assert service.received == [b"late"]


@pytest.mark.parametrize("name", ["cache", "storage"])
def test_delay_is_added_to_each_request(name: str, relays: Relays) -> None:
    relay = getattr(relays, name)
    relay.delay_s = 0.4
    began = time.monotonic()

    put(relay.port, b"slow")

    assert time.monotonic() - began >= 0.4


def test_refused_connections_are_closed_until_they_are_accepted_again(relays: Relays) -> None:
    relays.cache.refuse()
    with pytest.raises(httpx.HTTPError):
        put(relays.cache.port, b"no")

    relays.cache.accept()

    assert put(relays.cache.port, b"yes").content == b"yes"


@pytest.mark.parametrize(("late_share", "received"), [(0.0, []), (1.0, [b"content"])])
def test_refused_request_takes_effect_if_only_its_response_is_replaced(
    late_share: float, received: list[bytes], relays: Relays, service: Service
) -> None:
    relays.storage.refusal = Refusal(INTERNAL_ERROR, late_share=late_share)

    response = put(relays.storage.port, b"content")

    assert response.status_code == 500
    assert "InternalError" in response.text
    assert service.received == received
    assert relays.storage.refused == 1


def test_half_of_the_invocations_are_throttled_and_nothing_else(relays: Relays, service: Service) -> None:
    relays.functions.refusal = HALF_THROTTLED
    path = "/2015-03-31/functions/x/invocations"

    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda _: put(relays.functions.port, b"1", path=path), range(60)))

    assert 15 < sum(response.status_code == 429 for response in responses) < 45
    assert put(relays.functions.port, b"2", path="/2015-03-31/functions/x").status_code == 200
