"""What goes wrong: one function per kind of fault. Each returns when the part it hit is back."""

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
from localstack.services.processes import tail
from tests.chaos.deployment import Deployment

OPERATIONS = (
    "resize",
    "thumbnail",
    "watermark",
    "video_thumbnail",
    "video_metadata",
    "video_compress",
    "audio_extract",
)
START_TIMEOUT_S = 90.0

#: Seconds in which a worker must be seen at work to be killed at it.
BUSY_WITHIN_S = 4.0


@dataclass(frozen=True)
class Event:
    """One fault: its kind, and when it began and was over, in seconds of `time.time()`."""

    kind: str
    began: float
    over: float


class Faults:
    """Every kind of fault, against one deployment."""

    def __init__(self, deployment: Deployment, s3: BaseClient, chance: random.Random) -> None:
        self._deployment = deployment
        self._s3 = s3
        self._chance = chance
        self.kinds: dict[str, Callable[[], bool]] = {
            "a running worker killed": self._kill_worker,
            "dispatch killed": lambda: self._kill_function("dispatch"),
            "a worker and settle killed": self._kill_settle,
            "sweep killed": lambda: self._kill_function("sweep"),
            "ingest killed": lambda: self._kill_function("ingest"),
            "the API killed": lambda: self._kill_function("api"),
            "the mapping killed": lambda: self._restart(native.MAPPING),
            "the gateway killed": lambda: self._restart(native.GATEWAY),
            "RabbitMQ killed": lambda: self._restart(native.BROKER),
            "RabbitMQ's disk lost": self._lose_broker,
            "Redis killed": lambda: self._restart(native.CACHE),
            "Redis' data lost": self._lose_cache,
            "Redis flushed": self._flush,
            "S3 refuses": self._refuse,
            "AWS stands still": self._stand_still,
        }

    def strike(self, kind: str) -> Event | None:
        """Does one; None when there was nothing to hit."""
        began = time.time()
        return Event(kind, began, time.time()) if self.kinds[kind]() else None

    def _kill_worker(self) -> bool:
        busy = self._busy(OPERATIONS, BUSY_WITHIN_S)
        return busy is not None and _kill(busy)

    def _kill_settle(self) -> bool:
        """Settle is started by a run that died, so one is killed first, and settle when it gets to work."""
        if not self._kill_worker():
            return False
        settle = self._busy(("settle",), BUSY_WITHIN_S)
        return settle is not None and _kill(settle)

    def _kill_function(self, word: str) -> bool:
        """One at work, if one is; else one that waits for work."""
        busy = self._busy((word,), BUSY_WITHIN_S / 2)
        idle = list(self._deployment.workers(word))
        return _kill(busy) if busy else bool(idle) and _kill(self._chance.choice(idle))

    def _busy(self, words: Container[str], within_s: float) -> int | None:
        """A worker of these functions that uses the processor or has been started just now; None if none does."""
        until = time.monotonic() + within_s
        before: dict[int, int] = {}
        while time.monotonic() < until:
            workers = [pid for pid, word in self._deployment.workers().items() if word in words]
            used = {pid: _used(pid) for pid in workers}
            busy = [pid for pid in workers if used[pid] > before.get(pid, used[pid])]
            if busy:
                return self._chance.choice(busy)
            before = used
            time.sleep(0.03)
        return None

    def _restart(self, name: str, between: Callable[[], None] = lambda: None) -> bool:
        pid = self._deployment.pid(name)
        if pid is None or not _kill(pid):
            return False
        _wait_gone(pid)
        between()
        time.sleep(self._chance.uniform(0, 1.5))
        self._deployment.start(name)
        readiness.wait(self._deployment.service(name).probe, START_TIMEOUT_S, lambda: self._require_alive(name))
        return True

    def _require_alive(self, name: str) -> None:
        if self._deployment.pid(name) is None:
            raise RuntimeError(f"{name} ended as it started:\n{tail(self._deployment.registry.log(name))}")

    def _lose_broker(self) -> bool:
        home = self._deployment.settings.directory / native.BROKER
        return self._restart(native.BROKER, lambda: shutil.rmtree(home / "data", ignore_errors=True))

    def _lose_cache(self) -> bool:
        home = self._deployment.settings.directory / native.CACHE

        def lose() -> None:
            for path in home.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        return self._restart(native.CACHE, lose)

    def _flush(self) -> bool:
        with redis.Redis.from_url(self._deployment.settings.cache_url()) as cache:
            cache.flushall()
        return True

    def _refuse(self) -> bool:
        bucket = self._deployment.bucket
        everything = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        statement = {"Sid": "Chaos", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": everything}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        try:
            time.sleep(self._chance.uniform(1, 6))
        finally:
            self._s3.delete_bucket_policy(Bucket=bucket)
        return True

    def _stand_still(self) -> bool:
        pid = self._deployment.pid(native.EMULATOR)
        if pid is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self._chance.uniform(0.5, 5))
        finally:
            os.kill(pid, signal.SIGCONT)
        return True


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _used(pid: int) -> int:
    """Clock ticks that a process and the children it has waited for have used."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
            values = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(value) for value in values[11:15])


def _wait_gone(pid: int) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
                if stat.read().rpartition(")")[2].split()[0] in "ZX":
                    return
        except OSError:
            return
        time.sleep(0.02)
