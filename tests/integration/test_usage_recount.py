"""What tenants use is counted exactly, although Redis loses its data, and although everything happens twice."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count

import pytest

from api import quotas
from darkroom import ids
from darkroom.contracts.jobs import Job, JobRef, JobResult
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Quotas
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import ingestion, ledger, lifecycle, uploads
from darkroom.services import s3
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.script_runner import SCRIPTS
from darkroom.services.redis.usage import measure
from darkroom.timestamps import day_of, month_of
from functions.sweep import recounting
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
    monkeypatch.setattr(recounting, "RECORDED_WITHIN_S", 0)


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


def test_recount_waits_for_results_that_cannot_be_read(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    has_counted_since(int(time.time() * 1000) - 24 * HOUR_MS, *TENANTS)
    load.add(30)
    keep_usage(1)
    load.add(60)
    redis_client().flushdb()
    read_result, calls = ledger.read_result, count()

    def fail_sometimes(job: JobRef) -> JobResult | None:
        if next(calls) % 3 == 0:
            raise StorageUnavailableError("The S3 request failed.")
        return read_result(job)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "read_result", fail_sometimes)
        keep_usage()
    assert not all(measure(tenant).is_complete for tenant in TENANTS)
    keep_usage()

    assert all(measure(tenant).is_complete for tenant in TENANTS)
    assert counted() == load.truth()


def test_usage_that_lacks_what_was_before_is_not_saved_and_refuses_nothing_that_it_does_not_know(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recounting, "RECORDED_WITHIN_S", 60)
    has_counted_since(int(time.time() * 1000) - 24 * HOUR_MS, *TENANTS)
    load.add(30)
    keep_usage(1)
    saved = {key: s3.get(key) for key in s3.keys_after("usage/")}
    redis_client().flushdb()
    accept(make_job("acme", int(time.time() * 1000)))

    keep_usage(3)

    assert saved
    assert {key: s3.get(key) for key in s3.keys_after("usage/")} == saved
    assert (measure("acme").jobs, measure("acme").is_complete) == (1, False)
    quotas.check_jobs(Quotas(jobs_per_month=2, video_minutes_per_month=1), measure("acme"), [Operation.VIDEO_COMPRESS])


def test_tenant_without_changes_is_saved_once(load: Load) -> None:
    has_counted_since(int(time.time() * 1000) - 24 * HOUR_MS, *TENANTS)
    load.add(10)

    assert keep_usage(1) == len(TENANTS)
    assert keep_usage(1) == 0
    load.end(1)
    assert keep_usage(1) == 1


def test_dates_in_scripts_are_those_of_utc() -> None:
    parts = [(SCRIPTS / "shared" / f"{name}.lua").read_text() for name in ("now", "usage")]
    script = "\n".join(
        [*parts, "local dates = {} for i, ms in ipairs(ARGV) do dates[i] = date_of(ms) end return dates"]
    )
    days = [86_400_000 * day for day in range(0, 36_500, 7)]
    moments = [moment for day in days for moment in (day, day + 86_399_999)]

    assert redis_client().eval(script, 0, *moments) == [day_of(moment) for moment in moments]
