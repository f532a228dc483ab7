"""Limits: RabbitMQ and Redis without memory, and Redis that refuses writes, alone and in a failover."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import redis

from tests.chaos.clients import GaveUpError
from tests.chaos.faults.kinds import BROKER, CACHE, Context, Kind, kind

#: Seconds within which a job that was accepted before Redis was full ends, and within which new jobs are refused then.
ENDS_WITHIN_S = 30.0
REFUSED_WITHIN_S = 12.0

#: Seconds within which a standby of Redis has the data of its primary.
SYNC_TIMEOUT_S = 30.0

#: Milliseconds for which the primary holds writes while its standby catches up.
_PAUSE_MS = 500

#: Seconds within which jobs end after a failover, while the old primary stays reachable and refuses writes.
STALE_S = 30.0

#: Jobs that are canceled while Redis is read-only.
_CANCELED = 3

#: Seconds for which the API may count Redis as unavailable after a failover, and requests that it then answers.
_PAUSE_S, _REQUESTS = 6.0, 12


class Limits:
    """Injects limits into one deployment."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deployment = context.deployment

    def kinds(self) -> dict[str, Kind]:
        """The kinds of faults, by name."""
        return {
            "RabbitMQ has no memory": kind(self._raise_memory_alarm, BROKER),
            "Redis is full": kind(self._fill_cache, CACHE),
            "Redis is read-only": kind(self._make_read_only, CACHE),
            "Redis failover": kind(self._fail_over, CACHE),
        }

    def _raise_memory_alarm(self) -> bool:
        """The broker's memory alarm stops all publishers, without an error."""
        self._deployment.control_broker("set_vm_memory_high_watermark", "0")
        try:
            time.sleep(self._context.hang_time_s())
        finally:
            self._deployment.control_broker("set_vm_memory_high_watermark", "0.4")
        return True

    def _fill_cache(self) -> bool:
        """Jobs that were accepted before end although Redis is full, and new ones are refused."""
        try:
            file_id = self._context.prober.upload()
        except GaveUpError:
            return False
        probes = self._context.prober.start(3)
        with self._cache() as cache:
            cache.config_set("maxmemory", int(cache.info("memory")["used_memory"]))
            try:
                left = self._context.prober.still_open(probes, ENDS_WITHIN_S)
                refused = self._is_refused(file_id)
            finally:
                cache.config_set("maxmemory", 0)
        if left:
            self._context.problems.append(f"Redis is full: {len(left)} of {len(probes)} accepted jobs did not end")
        if not refused:
            self._context.problems.append("Redis is full: new jobs were not refused with cache_full")
        return True

    def _is_refused(self, file_id: str) -> bool:
        body = self._context.prober.body(file_id)
        with self._context.clients.connect() as http:
            return _eventually(lambda: _refuses(http, body))

    def _make_read_only(self) -> bool:
        """A primary that became the replica of one that does not answer: reads work, writes are refused.

        Jobs are canceled meanwhile: the ledger says so, and Redis does not.
        """
        videos = [job_id for _ in range(_CANCELED) if (job_id := self._context.prober.start_video())]
        with self._cache() as cache:
            cache.replicaof("127.0.0.1", "1")
            try:
                self._context.prober.cancel(videos)
                time.sleep(self._context.brief_s())
            finally:
                cache.replicaof("NO", "ONE")
        return True

    def _fail_over(self) -> bool:
        """The standby becomes the primary, and back. New connections reach the new one, open ones stay at the old.

        The old primary refuses writes. A client that does not connect again would fail until its connection is closed.
        """
        primary, standby = self._deployment.settings.ports.redis, self._deployment.standby_port
        self._deployment.start_standby()
        try:
            self._promote(standby, primary)
            probes = self._context.prober.start(2)
            left = self._context.prober.still_open(probes, STALE_S)
            if left:
                self._context.problems.append(f"Redis failover: {len(left)} of {len(probes)} jobs did not end after it")
            time.sleep(_PAUSE_S)
            refused = self._refused_forms()
            if refused > _REQUESTS // 4:
                self._context.problems.append(f"Redis failover: {refused} of {_REQUESTS} forms were refused after it")
            self._promote(primary, standby)
        finally:
            self._context.relays.cache.target_port = primary
            with self._cache() as cache:
                cache.replicaof("NO", "ONE")
            self._deployment.stop_standby()
        return True

    def _refused_forms(self) -> int:
        """How many of some requests that write to Redis get no 201."""
        body: dict[str, object] = {"name": "probe.png", "media_type": "image/png", "jobs": []}
        with self._context.clients.connect() as http:
            return sum(not _succeeds(http, body) for _ in range(_REQUESTS))

    def _promote(self, port: int, old: int) -> None:
        """Makes one Redis the primary of the other, when it has all data."""
        with _redis_at(port) as new_primary, _redis_at(old) as old_primary:
            old_primary.config_set("repl-diskless-sync-delay", 0)
            new_primary.replicaof("127.0.0.1", str(old))
            _await_replication(new_primary, old_primary)
            new_primary.replicaof("NO", "ONE")
            old_primary.replicaof("127.0.0.1", str(port))
            self._context.relays.cache.target_port = port

    @contextmanager
    def _cache(self) -> Iterator[redis.Redis]:
        with _redis_at(self._deployment.settings.ports.redis) as cache:
            yield cache


@contextmanager
def _redis_at(port: int) -> Iterator[redis.Redis]:
    with redis.Redis(host="127.0.0.1", port=port, socket_timeout=30, decode_responses=True) as cache:
        yield cache


def _await_replication(replica: redis.Redis, primary: redis.Redis) -> None:
    """Returns when the replica has everything. Writes are paused at the end, so none is lost."""
    deadline = time.monotonic() + SYNC_TIMEOUT_S
    while time.monotonic() < deadline:
        if replica.info("replication").get("master_link_status") == "up":
            primary.client_pause(_PAUSE_MS, all=False)
            written = primary.info("replication")["master_repl_offset"]
            while time.monotonic() < deadline:
                if replica.info("replication")["slave_repl_offset"] >= written:
                    return
                time.sleep(0.01)
        time.sleep(0.05)
    raise RuntimeError("the standby of Redis has no connection to its primary")


def _refuses(http: httpx.Client, body: dict[str, object]) -> bool:
    try:
        response = http.post("/jobs", json=body)
    except httpx.HTTPError:
        return False
    return response.status_code == 503 and response.json().get("code") == "cache_full"


def _succeeds(http: httpx.Client, body: dict[str, object]) -> bool:
    try:
        return http.post("/uploads", json=body).status_code == 201
    except httpx.HTTPError:
        return False


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + REFUSED_WITHIN_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.5)
    return False
