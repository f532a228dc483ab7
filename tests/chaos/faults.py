"""Fault injection, with one method per kind of fault. Each returns when what it affected is available again.

A method returns whether there was anything that it could affect.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Container
from dataclasses import dataclass

import redis
from botocore.client import BaseClient

from localstack.services import native, readiness
from localstack.services.processes import table, tail
from tests.chaos.deployment import Deployment
from tests.support import proc

START_TIMEOUT_S = 90.0

#: Seconds to wait for a function to become busy, so that it is killed at work.
BUSY_TIMEOUT_S = 4.0

#: Seconds until a killed process must be gone.
EXIT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class InjectedFault:
    """One fault that happened: its kind, and when it started and ended, as `time.time()`."""

    kind: str
    started: float
    ended: float


class Faults:
    """Injects faults into one deployment. `kinds` has a method for every kind of fault."""

    def __init__(self, deployment: Deployment, s3: BaseClient, randomness: random.Random) -> None:
        from darkroom.contracts.operations import Operation

        self._operations = frozenset(operation.value for operation in Operation)
        self._deployment = deployment
        self._s3 = s3
        self._random = randomness
        self.kinds: dict[str, Callable[[], bool]] = {
            "running worker killed": self._kill_worker,
            "dispatch killed": lambda: self._kill_function("dispatch"),
            "worker and settle killed": self._kill_settle,
            "sweep killed": lambda: self._kill_function("sweep"),
            "ingest killed": lambda: self._kill_function("ingest"),
            "API killed": lambda: self._kill_function("api"),
            "event source mapping killed": lambda: self._restart(native.MAPPING),
            "HTTP gateway killed": lambda: self._restart(native.GATEWAY),
            "RabbitMQ killed": lambda: self._restart(native.BROKER),
            "RabbitMQ killed, data deleted": self._delete_broker_data,
            "Redis killed": lambda: self._restart(native.CACHE),
            "Redis killed, data deleted": self._delete_cache_data,
            "Redis flushed": self._flush_cache,
            "S3 access denied": self._deny_s3,
            "AWS emulator paused": self._pause_emulator,
        }

    def inject(self, kind: str) -> InjectedFault | None:
        """Causes one fault. Returns None when there was nothing that it could affect."""
        started = time.time()
        return InjectedFault(kind, started, time.time()) if self.kinds[kind]() else None

    def _kill_worker(self) -> bool:
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

    def _flush_cache(self) -> bool:
        with redis.Redis.from_url(self._deployment.settings.cache_url()) as cache:
            cache.flushall()
        return True

    def _deny_s3(self) -> bool:
        bucket = self._deployment.bucket
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        statement = {"Sid": "Chaos", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        try:
            time.sleep(self._random.uniform(1, 6))
        finally:
            self._s3.delete_bucket_policy(Bucket=bucket)
        return True

    def _pause_emulator(self) -> bool:
        pid = self._deployment.pid(native.EMULATOR)
        if pid is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self._random.uniform(0.5, 5))
        finally:
            os.kill(pid, signal.SIGCONT)
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
