"""Kills: processes of functions and services, with and without their data."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Container

import redis

from localstack.services import native, readiness
from localstack.services.processes import table, tail
from tests.chaos.faults.kinds import (
    API,
    BROKER,
    CACHE,
    GATEWAY,
    MESSAGES,
    VIEWS,
    Context,
    Kind,
    killed,
    kind,
)
from tests.support import proc

START_TIMEOUT_S = 90.0

#: Seconds to wait for a function to become busy, so that it is killed at work.
BUSY_TIMEOUT_S = 4.0

#: Seconds until a killed process must be gone.
EXIT_TIMEOUT_S = 5.0


class Kills:
    """Injects kills into one deployment."""

    def __init__(self, context: Context) -> None:
        from darkroom.contracts.operations import Operation

        self._operations = frozenset(operation.value for operation in Operation)
        self._context = context
        self._deployment = context.deployment
        self._random = context.random

    def kinds(self) -> dict[str, Kind]:
        """The kinds of faults, by name."""
        workers = tuple(killed(operation) for operation in self._operations)
        return {
            "running worker killed": kind(self._kill_worker, *workers),
            "worker and settle killed": kind(self._kill_settle, killed("settle"), *workers),
            "dispatch killed": kind(lambda: self._kill_function("dispatch"), killed("dispatch")),
            "sweep killed": kind(lambda: self._kill_function("sweep"), killed("sweep")),
            "ingest killed": kind(lambda: self._kill_function("ingest"), killed("ingest")),
            "API killed": kind(lambda: self._kill_function("api"), API, killed("api")),
            "event source mapping killed": kind(lambda: self._restart(native.MAPPING), MESSAGES),
            "HTTP gateway killed": kind(lambda: self._restart(native.GATEWAY), GATEWAY),
            "RabbitMQ killed": kind(lambda: self._restart(native.BROKER), BROKER),
            "RabbitMQ killed, data deleted": kind(self._delete_broker_data, BROKER, MESSAGES),
            "Redis killed": kind(lambda: self._restart(native.CACHE), CACHE),
            "Redis killed, data deleted": kind(self._delete_cache_data, CACHE, VIEWS),
            "Redis flushed": kind(self._flush_cache, CACHE, VIEWS),
            "RabbitMQ and Redis killed, data deleted": kind(self._delete_all_data, BROKER, CACHE, MESSAGES, VIEWS),
        }

    def _kill_worker(self) -> bool:
        busy = self._busy(self._operations, BUSY_TIMEOUT_S / 4)
        if busy is None:
            self._context.prober.start_video()
            busy = self._busy(self._operations, BUSY_TIMEOUT_S)
        return busy is not None and _kill(busy)

    def _kill_settle(self) -> bool:
        """Kills a worker, which makes Lambda invoke settle, and then settle."""
        if not self._kill_worker():
            return False
        settle = self._busy(("settle",), BUSY_TIMEOUT_S)
        return settle is not None and _kill(settle)

    def _kill_function(self, function: str) -> bool:
        """Kills a busy process of the function, or an idle one when none becomes busy."""
        busy = self._busy((function,), BUSY_TIMEOUT_S / 2)
        idle = list(self._deployment.function_processes(function))
        return _kill(busy) if busy else bool(idle) and _kill(self._random.choice(idle))

    def _busy(self, functions: Container[str], timeout_s: float) -> int | None:
        """Waits for a process of these functions that uses CPU time. Returns None when there is none in time."""
        deadline = time.monotonic() + timeout_s
        before: dict[int, float] = {}
        while time.monotonic() < deadline:
            pids = [pid for pid, name in self._deployment.function_processes().items() if name in functions]
            used = {pid: proc.cpu_seconds(pid, children=True) for pid in pids}
            busy = [pid for pid in pids if used[pid] > before.get(pid, used[pid])]
            if busy:
                return self._random.choice(busy)
            before = used
            time.sleep(0.03)
        return None

    def _restart(self, name: str, while_down: Callable[[], None] = lambda: None) -> bool:
        pid = self._deployment.pid(name)
        if pid is None or not _kill(pid):
            return False
        _wait_until_gone(pid)
        while_down()
        time.sleep(self._random.uniform(0, 1.5))
        self._deployment.start(name)
        readiness.wait(self._deployment.service(name).probe, START_TIMEOUT_S, lambda: self._require_alive(name))
        return True

    def _require_alive(self, name: str) -> None:
        if self._deployment.pid(name) is None:
            raise RuntimeError(f"{name} exited while it started:\n{tail(self._deployment.registry.log(name))}")

    def _delete_broker_data(self) -> bool:
        home = self._deployment.settings.directory / native.BROKER
        return self._restart(native.BROKER, lambda: shutil.rmtree(home / "data", ignore_errors=True))

    def _delete_cache_data(self) -> bool:
        home = self._deployment.settings.directory / native.CACHE

        def delete() -> None:
            for path in home.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        return self._restart(native.CACHE, delete)

    def _delete_all_data(self) -> bool:
        """Jobs that are queued are then in the ledger alone. Redis loses its data first, while the broker is down."""
        home = self._deployment.settings.directory / native.BROKER

        def delete() -> None:
            shutil.rmtree(home / "data", ignore_errors=True)
            self._delete_cache_data()

        return self._restart(native.BROKER, delete)

    def _flush_cache(self) -> bool:
        with redis.Redis.from_url(self._deployment.settings.cache_url()) as cache:
            cache.flushall()
        return True


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    while time.monotonic() < deadline:
        process = table().get(pid)
        if process is None or process.zombie:
            return
        time.sleep(0.02)
