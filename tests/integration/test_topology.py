"""The custom resource against a real RabbitMQ. Its responses in all other cases: tests/unit/test_topology.py."""

import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from darkroom import config
from darkroom.contracts.operations import Operation
from darkroom.services import rabbitmq
from functions.topology.app import handler
from tests.support.broker import on_channel
from tests.support.cloudformation import running_cloudformation
from tests.support.tcp_relay import Relay

QUEUE = rabbitmq.queue_of(Operation.RESIZE)
#: Sends the function a request of one type and returns the status of its response.
Send = Callable[[str], str]


@pytest.fixture
def send() -> Iterator[Send]:
    with running_cloudformation() as server:

        def send(kind: str) -> str:
            handler(server.request(kind), None)
            return server.responses[-1]["Status"]

        yield send


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_topology_declares_missing_queues(send: Send, kind: str) -> None:
    on_channel("queue_delete", QUEUE)
    try:
        assert send(kind) == "SUCCESS"
        assert rabbitmq.depth(Operation.RESIZE) == 0
    finally:
        rabbitmq.declare_topology()


def test_topology_waits_for_a_broker_that_cannot_be_reached_yet(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    url = urlsplit(config.settings().broker_url)
    rabbitmq.close()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("DARKROOM_BROKER_URL", url._replace(netloc=f"127.0.0.1:{port}").geturl())
    config.settings.cache_clear()
    relays: list[Relay] = []
    start = threading.Timer(2, lambda: relays.append(Relay(url.hostname or "", url.port or 5672, listen_at=port)))
    start.start()
    try:
        assert send("Create") == "SUCCESS"
        assert relays[0].accepted == 1
    finally:
        start.join()
        rabbitmq.close()
        monkeypatch.undo()
        config.settings.cache_clear()
        relays[0].close()


def test_topology_keeps_queues_and_their_messages_when_the_stack_is_deleted(send: Send) -> None:
    on_channel("basic_publish", "", QUEUE, b"{}")

    assert send("Delete") == "SUCCESS"

    assert on_channel("basic_get", QUEUE, auto_ack=True)[2] == b"{}"
