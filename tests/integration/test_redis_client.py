"""The connection to Redis when it hangs, fails over, changes its password or is full."""

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from darkroom import timeouts
from darkroom.errors import CacheFullError, CacheUnavailableError
from darkroom.services import aws
from darkroom.services.redis import files, keys
from darkroom.services.redis.client import ping_redis, redis_client
from darkroom.timeouts import BACKGROUND, INTERACTIVE, Timeouts
from tests.integration.conftest import forget_clients
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay
from tests.support.tenants import TENANT
from tests.support.waiting import wait_until


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    yield
    forget_clients()


def connect(monkeypatch: pytest.MonkeyPatch, port: int, limits: Timeouts = INTERACTIVE) -> None:
    monkeypatch.setenv("DARKROOM_CACHE_URL", f"redis://127.0.0.1:{port}/0")
    forget_clients()
    timeouts.use_timeouts(limits)


def save() -> None:
    files.save_record(TENANT, "a-file", {"status": "ready"})


def is_saved() -> bool:
    with contextlib.suppress(CacheUnavailableError):
        save()
        return True
    return False


@pytest.mark.parametrize(("limits", "longest_s"), [(INTERACTIVE, 4), (replace(BACKGROUND, connect_s=1), 8)])
def test_host_that_cannot_be_reached_is_unavailable_in_time(
    monkeypatch: pytest.MonkeyPatch, limits: Timeouts, longest_s: float
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, contextlib.ExitStack() as stack:
        address = silent.getsockname()
        for _ in range(3):  # fills the backlog: further connections get no response
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        connect(monkeypatch, address[1], limits)
        began = time.monotonic()

        with pytest.raises(CacheUnavailableError):
            save()

        assert time.monotonic() - began < longest_s


def test_redis_that_hangs_costs_the_api_one_second_and_is_then_skipped(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    connect(monkeypatch, server.port, replace(INTERACTIVE, pause_s=600))
    save()
    server.signal(signal.SIGSTOP)
    began = time.monotonic()

    for _ in range(10):
        with pytest.raises(CacheUnavailableError):
            save()

    assert INTERACTIVE.cache_s * 0.9 < time.monotonic() - began < 5
    server.signal(signal.SIGCONT)
    with pytest.raises(CacheUnavailableError):
        save()  # still skipped


def test_redis_is_used_again_after_the_pause(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> None:
    connect(monkeypatch, server.port, replace(INTERACTIVE, cache_s=0.2, pause_s=0.3))
    server.signal(signal.SIGSTOP)
    with pytest.raises(CacheUnavailableError):
        save()
    server.signal(signal.SIGCONT)

    wait_until(is_saved)


def test_health_check_asks_redis_during_the_pause_and_ends_it(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    connect(monkeypatch, server.port)
    save()
    server.signal(signal.SIGSTOP)
    with pytest.raises(CacheUnavailableError):
        save()
    server.signal(signal.SIGCONT)

    ping_redis()

    save()


def test_refused_command_causes_no_pause(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> None:
    connect(monkeypatch, server.port)
    server.configure("maxmemory", "1")

    with pytest.raises(CacheFullError):
        save()

    assert files.find_record(TENANT, "a-file") is None


def test_functions_reach_the_new_primary_after_a_failover(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> None:
    with RedisServer() as next_primary, contextlib.closing(Relay("127.0.0.1", server.port)) as name:
        connect(monkeypatch, name.port)
        save()
        server.replicate(next_primary)  # the connection stays open and refuses writes from now on
        name.retarget("127.0.0.1", next_primary.port)

        for _ in range(20):
            save()

        assert redis_client().exists(keys.file_of(TENANT, "a-file"))


def test_password_that_was_rotated_is_read_again(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> None:
    secrets = aws.client("secretsmanager")
    arn = secrets.create_secret(Name=f"cache-{time.time_ns()}", SecretString=json.dumps({"password": "old"}))["ARN"]
    server.configure("requirepass", "old")
    monkeypatch.setenv("DARKROOM_CACHE_SECRET_ARN", arn)
    connect(monkeypatch, server.port)
    save()

    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps({"password": "new"}))
    server.configure("requirepass", "new", password="old")
    redis_client().connection_pool.disconnect()

    save()


def test_secret_that_cannot_be_read_makes_redis_unavailable(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    monkeypatch.setenv("DARKROOM_CACHE_SECRET_ARN", "no-such-secret")
    connect(monkeypatch, server.port)

    with pytest.raises(CacheUnavailableError):
        save()
