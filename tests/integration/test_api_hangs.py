"""Every route of the API while S3, Redis or RabbitMQ hangs: it accepts connections and does not respond.

The response comes within 5 s. It is 202 where the ledger took the job, and otherwise 503, and no job exists then.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from darkroom import config
from darkroom.services import aws, s3
from darkroom.timeouts import INTERACTIVE, use_timeouts
from tests.integration.api_jobs import start
from tests.integration.conftest import PNG, Upload, forget_connections
from tests.support.gateway import Reply, call, multipart
from tests.support.tcp_relay import Relay

#: Seconds within which every response comes.
LIMIT_S = 5

#: Seconds by which that may be exceeded on a busy machine. One more wait for a dependency would take longer.
TOLERANCE_S = 0.9

#: The setting of each service, and what it is for.
SETTINGS = {
    "storage": "AWS_ENDPOINT_URL_S3",
    "cache": "DARKROOM_CACHE_URL",
    "broker": "DARKROOM_BROKER_URL",
}


@dataclass
class Stack:
    """The services behind relays, which can stall, and a file and a queued job that are stored there."""

    relays: dict[str, Relay]
    file_id: str
    job_id: str


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, upload: Upload) -> Iterator[Stack]:
    file_id = upload(PNG, "image/png")
    addresses = {
        "storage": str(aws.client("s3").meta.endpoint_url),
        "cache": config.settings().cache_url,
        "broker": config.settings().broker_url,
    }
    relays: dict[str, Relay] = {}
    for name, address in addresses.items():
        url = urlsplit(address)
        relays[name] = Relay(url.hostname or "", url.port or 0)
        monkeypatch.setenv(SETTINGS[name], url._replace(netloc=f"127.0.0.1:{relays[name].port}").geturl())
    forget_connections()
    aws.secret(config.settings().broker_secret_arn)  # known, as in a warm environment
    use_timeouts(INTERACTIVE)
    yield Stack(relays, file_id, start(file_id).json["job_id"])
    for relay in relays.values():
        relay.resume()
    monkeypatch.undo()
    forget_connections()
    for relay in relays.values():
        relay.close()


def post_upload(_stack: Stack) -> Reply:
    body, headers = multipart({}, name="a.png", media_type="image/png", content=PNG)
    return call("POST", "/upload", body=body, headers=headers)


def post_uploads(_stack: Stack) -> Reply:
    body = {"name": "a.png", "media_type": "image/png", "jobs": [{"operation": "resize", "params": {"width": 10}}]}
    return call("POST", "/uploads", json_body=body)


#: Each route, and its status while storage, cache and broker hang.
ROUTES: dict[str, tuple[Callable[[Stack], Reply], dict[str, int]]] = {
    "POST /jobs": (lambda stack: start(stack.file_id), {"storage": 503, "cache": 202, "broker": 202}),
    "POST /jobs with a key": (
        lambda stack: start(stack.file_id, **{"Idempotency-Key": "a-key"}),
        {"storage": 503, "cache": 202, "broker": 202},
    ),
    "GET /jobs/{id}": (
        lambda stack: call("GET", f"/jobs/{stack.job_id}"),
        {"storage": 503, "cache": 200, "broker": 200},
    ),
    "GET /jobs": (lambda _stack: call("GET", "/jobs"), {"storage": 503, "cache": 200, "broker": 200}),
    "DELETE /jobs/{id}": (
        lambda stack: call("DELETE", f"/jobs/{stack.job_id}"),
        {"storage": 503, "cache": 200, "broker": 200},
    ),
    "POST /uploads": (post_uploads, {"storage": 503, "cache": 503, "broker": 201}),
    "POST /upload": (post_upload, {"storage": 503, "cache": 201, "broker": 201}),
    "GET /files/{id}": (
        lambda stack: call("GET", f"/files/{stack.file_id}"),
        {"storage": 200, "cache": 200, "broker": 200},
    ),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("part", SETTINGS)
def test_response_comes_in_time_while_a_dependency_hangs(stack: Stack, part: str, route: str) -> None:
    request, statuses = ROUTES[route]
    before = list(s3.keys_after("ledger/"))
    stack.relays[part].stall()
    began = time.monotonic()

    reply = request(stack)

    took_s = time.monotonic() - began
    assert took_s < LIMIT_S + TOLERANCE_S
    assert reply.status == statuses[part], reply.body
    stack.relays[part].resume()
    if reply.status == 503:
        assert reply.headers["retry-after"] == "5"
        assert list(s3.keys_after("ledger/")) == before
    if reply.status == 202:
        assert s3.exists(f"ledger/default/{reply.json['job_id']}/job.json")


@pytest.mark.parametrize("part", SETTINGS)
def test_health_is_known_in_time_while_a_dependency_hangs(stack: Stack, part: str) -> None:
    stack.relays[part].stall()
    began = time.monotonic()

    reply = call("GET", "/health")

    assert time.monotonic() - began < LIMIT_S
    assert reply.status == 503
    assert {name for name, state in reply.json["parts"].items() if state["status"] == "down"} == {part}


@pytest.mark.parametrize("part", ["cache", "broker"])
def test_dependency_that_hung_is_skipped_by_the_next_requests(stack: Stack, part: str) -> None:
    stack.relays[part].stall()
    start(stack.file_id)
    attempts = stack.relays[part].accepted

    assert start(stack.file_id).status == 202

    assert stack.relays[part].accepted == attempts
