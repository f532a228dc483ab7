"""Health, with parts that are there, that refuse and that keep silent."""

import socket
import time
from collections.abc import Iterator

import pytest

from darkroom import config
from darkroom.services import aws, rabbitmq
from darkroom.services.redis.client import redis_client
from tests.gateway import call

SETTING = {
    "cache": ("DARKROOM_CACHE_URL", "redis://127.0.0.1:{}/1"),
    "broker": ("DARKROOM_BROKER_URL", "amqp://127.0.0.1:{}/%2F"),
    "storage": ("AWS_ENDPOINT_URL", "http://127.0.0.1:{}"),
}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def forget_clients() -> None:
    rabbitmq.close()
    for cached in (config.settings, redis_client, aws.client):
        cached.cache_clear()


def test_everything_answers() -> None:
    reply = call("GET", "/health")

    assert (reply.status, reply.json["status"]) == (200, "ok")
    assert set(reply.json["parts"]) == {"cache", "broker", "storage"}
    for part in reply.json["parts"].values():
        assert part["status"] == "ok"
        assert part["latency_ms"] > 0
        assert part["detail"].endswith(".")
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("part", SETTING)
def test_the_part_that_refuses_is_named(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.secret(config.settings().broker_secret_arn)  # known already, as in a warm environment
    name, value = SETTING[part]
    monkeypatch.setenv(name, value.format(9))
    forget_clients()

    reply = call("GET", "/health")

    assert (reply.status, reply.json["status"]) == (503, "down")
    assert {name for name, state in reply.json["parts"].items() if state["status"] == "down"} == {part}
    assert "127.0.0.1" not in reply.body.decode()
    monkeypatch.undo()
    forget_clients()


@pytest.mark.parametrize("part", SETTING)
def test_a_part_that_keeps_silent_does_not_hold_the_answer(
    part: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.secret(config.settings().broker_secret_arn)
    name, value = SETTING[part]
    monkeypatch.setenv(name, value.format(silent_port))
    forget_clients()
    begun = time.monotonic()

    reply = call("GET", "/health")

    assert time.monotonic() - begun < 4
    assert reply.status == 503
    assert {name for name, state in reply.json["parts"].items() if state["status"] == "down"} == {part}
    assert "within 2 seconds" in reply.json["parts"][part]["detail"]
    monkeypatch.undo()
    forget_clients()
