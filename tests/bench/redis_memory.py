"""Memory of Redis per job: `python -m tests.bench.redis_memory`, which starts a Redis of its own.

The jobs pass through the real scripts, as an accepted, dispatched, claimed and completed resize does. The difference of
Redis' `used_memory` is divided by their number.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from darkroom import config, ids
from darkroom.contracts.image_params import ResizeParams
from darkroom.contracts.jobs import FileSource, Job, JobResult, Output, Status
from darkroom.contracts.operations import Operation, with_defaults
from darkroom.jobs import lifecycle, uploads
from darkroom.services.redis import files, keys, leases, requests, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.memory import NEW_JOBS_BELOW
from darkroom.services.redis.usage import SLOT_MS
from darkroom.timestamps import day_of, month_of, utc_now
from darkroom.tracing import new_traceparent
from tests.support.redis_server import RedisServer
from tests.support.tenants import TENANT

#: Jobs that are measured.
JOBS = 20_000

#: Tenants that are measured.
TENANTS = 2_000

#: Seconds after which ended jobs leave Redis, in the measurement of what they leave behind.
ENDED_S = 2

#: Memory of a cache.t4g.micro that ElastiCache leaves for data: 0.5 GiB without the 25 % that it reserves.
SMALLEST_CACHE_BYTES = int(0.5 * 2**30 * 0.75)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.redis_memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="default: %(default)s")
    report(parser.parse_args().jobs)


def report(count: int = JOBS) -> None:
    """Prints the memory per job, and how many jobs the smallest cache holds."""
    with RedisServer() as server, _connected(server):
        queued_bytes, ended_bytes, file_bytes = _while_kept(server, count)
        left_bytes = _after_expiry(server, count)
        tenant_bytes, form_bytes = _per_tenant(server), _per_reservation(server)

    room_bytes = SMALLEST_CACHE_BYTES * NEW_JOBS_BELOW
    print(f"Memory of Redis per job, of {count:,} jobs")
    print(f"  queued                                      {queued_bytes:8,.0f} bytes")
    print(f"  ended, within DARKROOM_CACHE_ENDED_S        {ended_bytes:8,.0f} bytes")
    print(f"  its file, within DARKROOM_CACHE_ENDED_S     {file_bytes:8,.0f} bytes")
    print(f"  ended, later                                {left_bytes:8,.1f} bytes")
    print(f"  a tenant in use                             {tenant_bytes:8,.0f} bytes")
    print(f"  an open form, where storage is limited      {form_bytes:8,.0f} bytes")
    print(f"A cache.t4g.micro takes {room_bytes / (ended_bytes + file_bytes):,.0f} jobs, each with a file of its own,")
    print(f"in DARKROOM_CACHE_ENDED_S, or {room_bytes / queued_bytes:,.0f} queued jobs.")


@contextmanager
def _connected(server: RedisServer) -> Iterator[None]:
    os.environ["DARKROOM_CACHE_URL"] = f"redis://127.0.0.1:{server.port}/0"
    for name in ("BUCKET", "BROKER_URL", "BROKER_SECRET_ARN", "FUNCTION_PREFIX"):
        os.environ.setdefault(f"DARKROOM_{name}", "unused")
    config.settings.cache_clear()
    redis_client.cache_clear()
    yield
    redis_client().close()
    redis_client.cache_clear()


def _while_kept(server: RedisServer, count: int) -> tuple[float, float, float]:
    """Bytes per queued job, per ended job, and per file."""
    _run_job(_make_job())  # loads the scripts
    empty_bytes = _used_bytes(server)
    jobs = [_make_job() for _ in range(count)]
    for job in jobs:
        views.create(job)
    queued_bytes = _used_bytes(server) - empty_bytes
    for job in jobs:
        _run_job(job)
    ended_bytes = _used_bytes(server) - empty_bytes
    for job in jobs:
        _save_file(job)
    file_bytes = _used_bytes(server) - empty_bytes - ended_bytes
    return queued_bytes / count, ended_bytes / count, file_bytes / count


def _after_expiry(server: RedisServer, count: int) -> float:
    """Bytes per ended job that are left when its time in Redis is over."""
    server.client().flushall()
    os.environ["DARKROOM_CACHE_ENDED_S"] = str(ENDED_S)
    config.settings.cache_clear()
    empty_bytes = _used_bytes(server)
    with patch.object(keys, "listed_s", return_value=ENDED_S):  # it is hours at least
        for _ in range(count):
            job = _make_job()
            _run_job(job)
            _save_file(job)
    _wait_until(lambda: not [*server.client().scan_iter("darkroom:job*"), *server.client().scan_iter("darkroom:file*")])
    return (_used_bytes(server) - empty_bytes) / count


def _per_tenant(server: RedisServer) -> float:
    """Bytes of usage and of the token bucket per tenant whose jobs end all day, without the jobs themselves."""
    server.client().flushall()
    empty_bytes = _used_bytes(server)
    now_ms = int(time.time() * 1000)
    for number in range(TENANTS):
        tenant = f"tenant-{number}"
        slots = range(now_ms // SLOT_MS - 9, now_ms // SLOT_MS + 1)
        amounts: dict[Any, Any] = {f"jobs@{slot}": 40 for slot in slots} | {f"open@{slot}": 3 for slot in slots}
        for measure in ("video_ms", "bytes", "oldest"):
            amounts |= {f"{measure}@{slot}": now_ms for slot in list(slots)[-2:]}
        amounts |= {f"bytes:{day_of(now_ms - 86_400_000 * age)}": 10**10 for age in range(8)}
        amounts |= {f"{measure}:{month_of(now_ms)}": 10**7 for measure in ("jobs", "video_ms")}
        amounts |= {"since_ms": now_ms, "recounted_from_ms": now_ms, "changes": 10**6}
        server.client().hset(keys.usage_of(tenant), mapping=amounts)
        requests.take(tenant, rate=50)
    return (_used_bytes(server) - empty_bytes) / TENANTS


def _per_reservation(server: RedisServer) -> float:
    """Bytes that the reservation of an upload form takes, beside the record of its file."""
    used = []
    for reserved_bytes in (0, 5_123_456):
        server.client().flushall()
        for _ in range(TENANTS):
            files.expect_file(TENANT, ids.new_id(), {}, expires_s=3600, reserved_bytes=reserved_bytes)
        used.append(_used_bytes(server))
    return (used[1] - used[0]) / TENANTS


def _wait_until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < deadline, "keys of ended jobs are left"
        time.sleep(0.5)


def _used_bytes(server: RedisServer) -> int:
    client = server.client()
    client.memory_purge()
    return int(client.info("memory")["used_memory"])


def _make_job() -> Job:
    return Job(
        job_id=ids.new_id(),
        tenant=TENANT,
        operation=Operation.RESIZE,
        params=with_defaults(ResizeParams(width=1600)),
        source=FileSource(file_id=ids.new_id()),
        created_at=utc_now(),
        traceparent=new_traceparent(),
    )


def _run_job(job: Job) -> None:
    """The changes of state that a job makes, from its acceptance to its end."""
    views.create(job)
    slots.acquire([lifecycle.message_for(job, 1)], job.operation, limit=1)
    run = os.urandom(8).hex()
    leases.claim(job.ref, job.operation, attempt=1, run=run, lease_ms=120_000)
    output = Output(
        name="IMG_20260721_184302-resize.jpg",
        key=f"processed/{job.tenant}/{job.job_id}/{run}/resize.jpg",
        media_type="image/jpeg",
        size_bytes=412_345,
        sha256=os.urandom(32).hex(),
        width_px=1600,
        height_px=1200,
    )
    result = JobResult(
        job_id=job.job_id,
        status=Status.COMPLETED,
        attempt=1,
        run=run,
        started_at=utc_now(),
        uploaded_at=utc_now(),
        finished_at=utc_now(),
        outputs=[output],
    )
    views.finish(job, result)


def _save_file(job: Job) -> None:
    """The record of the job's file."""
    media = uploads.identify(b"\xff\xd8\xff\xe0", 5_123_456, "image/jpeg")
    file = uploads.File(job.source.file_id, "IMG_20260721_184302.jpg", 5_123_456, media, None, [])
    files.save_record(TENANT, file.file_id, uploads.record_of(file))


if __name__ == "__main__":
    main()
