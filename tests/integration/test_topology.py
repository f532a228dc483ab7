"""The custom resource against a real RabbitMQ. Answers in all other cases: tests/unit/test_topology.py."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from darkroom.contracts.operations import Operation
from darkroom.services import rabbitmq
from functions.topology.app import handler

QUEUE = rabbitmq.queue_of(Operation.RESIZE)
ANSWERS: list[dict[str, str]] = []


class Receiver(BaseHTTPRequestHandler):
    """CloudFormation's address for answers."""

    def do_PUT(self) -> None:
        ANSWERS.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_parts: object) -> None:
        pass


@pytest.fixture
def ask() -> Iterator[object]:
    """Sends the function a request of one kind and returns what CloudFormation hears."""
    ANSWERS.clear()
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def ask(kind: str) -> str:
            url = f"http://127.0.0.1:{server.server_port}/answer"
            ids = {"StackId": "s", "RequestId": "r", "LogicalResourceId": "Topology"}
            handler({"RequestType": kind, "ResponseURL": url, **ids}, None)
            return ANSWERS[-1]["Status"]

        yield ask
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_topology_declares_what_is_missing(ask, kind: str) -> None:
    rabbitmq._on_channel(lambda channel: channel.queue_delete(QUEUE))
    try:
        assert ask(kind) == "SUCCESS"
        assert rabbitmq.depth(Operation.RESIZE) == 0
    finally:
        rabbitmq.declare_topology()


def test_topology_leaves_queues_and_their_jobs_when_the_stack_goes(ask) -> None:
    rabbitmq._on_channel(lambda channel: channel.basic_publish("", QUEUE, b"{}"))

    assert ask("Delete") == "SUCCESS"

    assert rabbitmq._on_channel(lambda channel: channel.basic_get(QUEUE, auto_ack=True))[2] == b"{}"
