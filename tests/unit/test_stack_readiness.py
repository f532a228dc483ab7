"""Readiness probes: only the expected response of a service's protocol counts."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from localstack.services import readiness
from localstack.services.readiness import NotReadyError

Probe = Callable[[str, int], None]

#: Connection.Start, with which RabbitMQ answers the AMQP header.
START = b"\x01\x00\x00\x00\x00\x01\x00\x00\x0a\x00\x0a\x00\x09"


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """The port of a server that sends `answer` to its first client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("probe", "answer"),
    [(readiness.amqp, START), (readiness.redis, b"+PONG\r\n")],
)
def test_service_with_the_expected_response_is_ready(probe: Probe, answer: bytes) -> None:
    with answering(answer) as port:
        probe("127.0.0.1", port)


@pytest.mark.parametrize(
    ("probe", "answer"),
    [
        (readiness.amqp, b"AMQP\x00\x00\x09\x01"),
        (readiness.amqp, b""),
        (readiness.redis, b"-LOADING Redis is loading the dataset in memory\r\n"),
        (readiness.redis, b"-NOAUTH Authentication required.\r\n"),
    ],
)
def test_service_with_another_response_is_not_ready(probe: Probe, answer: bytes) -> None:
    with answering(answer) as port, pytest.raises(NotReadyError):
        probe("127.0.0.1", port)


def test_port_without_a_listener_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    for probe in (readiness.amqp, readiness.redis, readiness.tcp):
        with pytest.raises(NotReadyError, match=str(port)):
            probe("127.0.0.1", port)
    with pytest.raises(NotReadyError, match=str(port)):
        readiness.http(f"http://127.0.0.1:{port}/health")


def test_http_probe_accepts_success_only_and_reports_the_response() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port:
        readiness.http(f"http://127.0.0.1:{port}/health")
    with (
        answering(b"HTTP/1.1 503 Down\r\nContent-Length: 6\r\n\r\nbroken") as port,
        pytest.raises(NotReadyError, match="503: broken"),
    ):
        readiness.http(f"http://127.0.0.1:{port}/health")


def test_wait_ends_when_the_probe_succeeds() -> None:
    answers = iter([NotReadyError("1"), NotReadyError("2"), None])

    def probe() -> None:
        answer = next(answers)
        if answer:
            raise answer

    readiness.wait(probe, 5, lambda: None)

    assert next(answers, "none left") == "none left"


def test_wait_times_out_with_the_last_reason() -> None:
    def probe() -> None:
        raise NotReadyError("still starting")

    started = time.monotonic()
    with pytest.raises(NotReadyError, match="still starting"):
        readiness.wait(probe, 0.2, lambda: None)

    assert 0.2 <= time.monotonic() - started < 2


def test_wait_ends_at_once_when_the_check_raises() -> None:
    def probe() -> None:
        raise NotReadyError("never")

    with pytest.raises(ValueError, match="it crashed"):
        readiness.wait(probe, 60, partial(_fail, "it crashed"))


def _fail(reason: str) -> None:
    raise ValueError(reason)
