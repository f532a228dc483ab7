"""The custom resource against a real RabbitMQ. Its responses in all other cases: tests/unit/test_topology.py."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest

from darkroom import config
from darkroom.contracts.operations import Operation
from darkroom.services import rabbitmq
from functions.topology.app import handler
from tests.support.broker import on_channel
from tests.support.tcp_relay import Relay

QUEUE = rabbitmq.queue_of(Operation.RESIZE)
RESPONSES: list[dict[str, str]] = []

#: Sends the function a request of one type and returns the status of its response.
Send = Callable[[str], str]


class Receiver(BaseHTTPRequestHandler):
    """Receives responses in place of CloudFormation."""

    def do_PUT(self) -> None:
        RESPONSES.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_parts: object) -> None:
        pass


@pytest.fixture
def send() -> Iterator[Send]:
    RESPONSES.clear()
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def send(kind: str) -> str:
            url = f"http://127.0.0.1:{server.server_port}/response"
            ids = {"StackId": "s", "RequestId": "r", "LogicalResourceId": "Topology"}
            handler({"RequestType": kind, "ResponseURL": url, **ids}, None)
            return RESPONSES[-1]["Status"]

        yield send
        server.shutdown()
        thread.join()


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
