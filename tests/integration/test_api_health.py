"""The health of the service, with parts that are available, that refuse connections and that do not respond."""

import socket
import time
from collections.abc import Iterator

import pytest

from api.routers import health
from darkroom import config
from darkroom.contracts.tenants import Scope
from darkroom.services import aws
from tests.integration.conftest import BreakService, forget_connections
from tests.support.gateway import acting_as, call

SETTING = {
    "cache": ("DARKROOM_CACHE_URL", "redis://127.0.0.1:{}/1"),
    "broker": ("DARKROOM_BROKER_URL", "amqp://127.0.0.1:{}/%2F"),
    "storage": ("AWS_ENDPOINT_URL", "http://127.0.0.1:{}"),
}


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    health._recent.cache_clear()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_service_is_healthy_when_every_part_is_available() -> None:
    reply = call("GET", "/health")

    assert (reply.status, reply.json["status"]) == (200, "ok")
    assert set(reply.json["parts"]) == {"cache", "broker", "storage"}
    for part in reply.json["parts"].values():
        assert part["status"] == "ok"
        assert part["latency_ms"] > 0
        assert part["detail"].endswith(".")
    assert reply.headers["cache-control"] == "no-store"


def test_closed_deployment_shows_strangers_only_whether_it_works(
    break_service: BreakService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "closed")
    config.settings.cache_clear()

    healthy = call("GET", "/health")
    break_service("cache")
    time.sleep(health.REMEMBERED_S)
    unhealthy = call("GET", "/health")

    assert (healthy.status, healthy.json) == (200, {"status": "ok"})
    assert (unhealthy.status, unhealthy.json) == (503, {"status": "down"})


def test_strangers_cannot_make_a_closed_deployment_connect_to_the_broker_with_each_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws.secret(config.settings().broker_secret_arn)  # known already, as in a warm environment
    monkeypatch.setenv("DARKROOM_ACCESS", "closed")
    monkeypatch.setattr(health, "REMEMBERED_S", 60)
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(1)
        monkeypatch.setenv("DARKROOM_BROKER_URL", f"amqp://127.0.0.1:{broker.getsockname()[1]}/%2F")
        forget_connections()

        replies = [call("GET", "/health") for _ in range(3)]

        broker.accept()[0].close()
        with pytest.raises(TimeoutError):
            broker.accept()
    assert [(reply.status, reply.json) for reply in replies] == [(503, {"status": "down"})] * 3


def test_parts_are_shown_to_admins() -> None:
    with acting_as("acme", Scope.ADMIN):
        parts = call("GET", "/health/parts")
    with acting_as("acme", Scope.READ, Scope.WRITE):
        refused = call("GET", "/health/parts")

    assert (parts.status, set(parts.json["parts"])) == (200, {"cache", "broker", "storage"})
    assert (refused.status, refused.json["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("part", SETTING)
def test_part_that_refuses_connections_is_down(part: str, break_service: BreakService) -> None:
    break_service(part)

    reply = call("GET", "/health")

    assert (reply.status, reply.json["status"]) == (503, "down")
    assert {name for name, state in reply.json["parts"].items() if state["status"] == "down"} == {part}
    assert "127.0.0.1" not in reply.body.decode()


@pytest.mark.parametrize("part", SETTING)
def test_part_that_does_not_respond_is_down_and_delays_the_response_by_seconds_only(
    part: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.secret(config.settings().broker_secret_arn)  # known already, as in a warm environment
    name, value = SETTING[part]
    monkeypatch.setenv(name, value.format(silent_port))
    forget_connections()
    started = time.monotonic()

    reply = call("GET", "/health")

    assert time.monotonic() - started < 5
    assert reply.status == 503
    assert {name for name, state in reply.json["parts"].items() if state["status"] == "down"} == {part}
    monkeypatch.undo()
    forget_connections()
