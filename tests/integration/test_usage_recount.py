"""What tenants use is counted exactly, although Redis loses its data, and although everything happens twice."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Job
from darkroom.jobs import ingestion, lifecycle, uploads
from darkroom.services import s3
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import month_of
from functions.sweep import usage as sweep_usage
from tests.integration.conftest import PNG
from tests.integration.usage_jobs import (
    HOUR_MS,
    TENANTS,
    Truth,
    accept,
    counted,
    has_counted_since,
    keep_usage,
    make_job,
    make_result,
    stored_uploads,
)

THREADS = 16


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written late in these tests."""
    monkeypatch.setattr(sweep_usage, "RECORDED_WITHIN_S", 0)


class Load:
    """Jobs and uploads of several tenants. What happens is decided by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._open: list[Job] = []
        self._truth = Truth()
        self._everything: list[Callable[[], object]] = []

    def add(self, count: int, *, past_ms: int = 0, uploaded: int = 0) -> None:
        """Accepts jobs that were made now, or within the last `past_ms`. Two of three end soon after."""
        now_ms = int(time.time() * 1000)
        jobs = [
            make_job(self._random.choice(TENANTS), now_ms - self._random.randrange(past_ms + 1)) for _ in range(count)
        ]
        self._do([partial(accept, job) for job in jobs])
        self._open += jobs
        self._truth.jobs.update((job.tenant, month_of(ids.created_ms(job.job_id))) for job in jobs)
        self.end(2 * count // 3, soon=past_ms > 0)
        files = [(self._random.choice(TENANTS), ids.new_id(), self._random.randrange(2_000)) for _ in range(uploaded)]
        self._do([partial(self._upload, *file) for file in files])

    def end(self, count: int, *, soon: bool = False) -> None:
        """Ends jobs that are open: now, or within seconds after they were made."""
        now_ms = int(time.time() * 1000)
        self._random.shuffle(self._open)
        ended, self._open = self._open[:count], self._open[count:]
        results = [
            make_result(
                job,
                min(now_ms, ids.created_ms(job.job_id) + self._random.randrange(30_000)) if soon else now_ms,
                duration_s=self._random.randrange(100, 90_000) / 1000,
                size_bytes=self._random.randrange(1_000, 5_000_000),
            )
            for job in ended
        ]
        self._do([partial(lifecycle.end, *pair) for pair in zip(ended, results, strict=True)])
        for job, result in zip(ended, results, strict=True):
            self._truth.count_result(job.tenant, result)

    def truth(self) -> Truth:
        """What the tenants use."""
        known = self._truth
        return replace(known, stored_bytes=known.stored_bytes + stored_uploads())

    def repeat(self, count: int) -> None:
        """Does things again that happened before."""
        for again in self._random.sample(self._everything, count):
            again()

    def _do(self, actions: Sequence[Callable[[], object]]) -> None:
        self._everything += actions
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda action: action(), actions))

    def _upload(self, tenant: str, file_id: str, extra: int) -> None:
        key = uploads.key_of(tenant, file_id)
        if not s3.exists(key):
            s3.put(key, PNG + b"\0" * extra, media_type="image/png", metadata=uploads.metadata_of("a.png", []))
        ingestion.ingest(tenant, file_id)


@pytest.fixture
def load() -> Load:
    return Load(seed=11)


def test_usage_of_two_thousand_jobs_is_exact_although_redis_loses_its_data(load: Load) -> None:
    has_counted_since(int(time.time() * 1000) - 24 * HOUR_MS, *TENANTS)
    load.add(800, past_ms=6 * HOUR_MS, uploaded=40)
    assert counted() == load.truth()
    keep_usage(1)
    load.add(300, uploaded=20)  # not saved when Redis loses its data
    assert counted() == load.truth()

    redis_client().flushdb()

    load.add(400, uploaded=20)
    load.end(100)  # jobs of before and after the loss
    assert counted().jobs.total() <= 400, "what Redis lost is not known yet"
    keep_usage()
    assert counted() == load.truth()

    load.add(500)
    load.end(100)
    load.repeat(300)
    assert counted() == load.truth()
    keep_usage(1)
    redis_client().flushdb()
    keep_usage(3)
    assert counted() == load.truth()
    assert load.truth().jobs.total() == 2_000
