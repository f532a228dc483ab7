"""CloudFormation waits for an answer, so there is always one. The queues: tests/integration/test_topology.py."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from darkroom import config
from functions.topology.app import PHYSICAL_ID, handler


class CloudFormation(HTTPServer):
    """Stands where CloudFormation waits: takes answers, refusing the first `refusals` of them."""

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.refusals = refusals
        self.attempts = 0
        self.answers: list[dict[str, str]] = []
        self.content_types: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/answer?signature=abc"


class Receiver(BaseHTTPRequestHandler):
    server: CloudFormation

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.attempts += 1
        if self.server.attempts <= self.server.refusals:
            self.send_response(503)
        else:
            self.server.answers.append(json.loads(body))
            self.server.content_types.append(self.headers["Content-Type"])
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_parts: object) -> None:
        pass


@pytest.fixture
def refusals() -> int:
    return 0


@pytest.fixture
def cloudformation(refusals: int) -> Iterator[CloudFormation]:
    with CloudFormation(refusals) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without settings the broker cannot be reached, whatever runs on this machine."""
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        monkeypatch.delenv(name)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


def request(kind: str, url: str) -> dict[str, str]:
    return {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/darkroom/1",
        "RequestId": "request-1",
        "LogicalResourceId": "Topology",
    }


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_topology_answers_with_the_reason_when_it_cannot_be_declared(kind: str, cloudformation: CloudFormation) -> None:
    handler(request(kind, cloudformation.url), None)

    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert "ConfigurationError" in answer["Reason"]
    assert "DARKROOM_BROKER_URL" in answer["Reason"]


def test_topology_leaves_the_queues_alone_when_the_stack_goes(cloudformation: CloudFormation) -> None:
    # Without settings, touching the broker would fail.
    handler(request("Delete", cloudformation.url), None)

    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]


def test_topology_answer_says_whose_it_is(cloudformation: CloudFormation) -> None:
    asked = request("Delete", cloudformation.url)

    returned = handler(asked, None)

    (answer,) = cloudformation.answers
    assert answer == returned
    assert answer["PhysicalResourceId"] == PHYSICAL_ID
    assert {name: answer[name] for name in ("StackId", "RequestId", "LogicalResourceId")} == {
        name: asked[name] for name in ("StackId", "RequestId", "LogicalResourceId")
    }


def test_topology_answer_has_the_empty_content_type_that_was_signed(cloudformation: CloudFormation) -> None:
    handler(request("Delete", cloudformation.url), None)

    assert cloudformation.content_types == [""]


def test_topology_answer_fits_what_cloudformation_takes(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUCKET", "CACHE_URL", "BROKER_URL", "BROKER_SECRET_ARN", "FUNCTION_PREFIX"):
        monkeypatch.setenv(config.PREFIX + name, "x")
    monkeypatch.setenv(config.PREFIX + "RETENTION_DAYS", "never" * 2_000)

    handler(request("Create", cloudformation.url), None)

    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert len(json.dumps(answer)) < 4_096


@pytest.mark.parametrize("refusals", [1])
def test_topology_answer_is_sent_again_when_it_was_refused(cloudformation: CloudFormation) -> None:
    handler(request("Delete", cloudformation.url), None)

    assert cloudformation.attempts == 2
    assert len(cloudformation.answers) == 1


@pytest.mark.parametrize("refusals", [99])
def test_topology_does_not_pretend_to_have_answered(cloudformation: CloudFormation) -> None:
    with pytest.raises(OSError, match="503"):
        handler(request("Delete", cloudformation.url), None)

    assert cloudformation.attempts == 2
