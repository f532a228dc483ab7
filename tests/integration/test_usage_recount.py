"""What tenants use is counted exactly, although Redis loses its data, and although everything happens twice."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pytest

from darkroom import ids
from darkroom.contracts.jobs import FileSource, Job, JobResult, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ingestion, ledger, lifecycle, uploads
from darkroom.services import s3
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.usage import measure
from darkroom.timestamps import day_of, epoch_ms, iso_utc, month_of
from functions.sweep import usage as sweep_usage
from tests.integration.conftest import PNG

TENANTS = ("acme", "umbra", "zeta")
THREADS = 16
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written late in these tests."""
    monkeypatch.setattr(sweep_usage, "RECORDED_WITHIN_S", 0)


def keep_usage(passes: int = 2) -> None:
    """Lets sweep save the usage and count again what was lost: one pass for each."""
    for _ in range(passes):
        sweep_usage.keep_usage(time.monotonic() + 60)


def has_counted_since(at_ms: int, *tenants: str) -> None:
    """Redis has counted for these tenants since a time, and has lost nothing."""
    for tenant in tenants:
        redis_client().hset(keys.usage_of(tenant), mapping={"since_ms": at_ms, "recounted_from_ms": at_ms})


def make_job(tenant: str, created_ms: int, operation: Operation = Operation.VIDEO_COMPRESS) -> Job:
    return Job(
        job_id=ids.new_id(at_ms=created_ms),
        tenant=tenant,
        operation=operation,
        params={"crf": 30},
        source=FileSource(file_id=ids.new_id()),
        created_at=iso_utc(created_ms / 1000),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def make_result(job: Job, finished_ms: int, *, duration_s: float = 12.5, size_bytes: int = 1_000) -> JobResult:
    output = Output(
        name="clip.mp4",
        key=f"processed/{job.tenant}/{job.job_id}/run/clip.mp4",
        media_type="video/mp4",
        size_bytes=size_bytes,
        sha256="0" * 64,
        duration_s=duration_s,
    )
    return JobResult(
        job_id=job.job_id,
        status=Status.COMPLETED,
        attempt=1,
        run="run",
        finished_at=iso_utc(finished_ms / 1000),
        outputs=[output],
    )


def accept(job: Job) -> None:
    new = ledger.write_job(job)
    views.create(job, restored=not new)


@dataclass
class Truth:
    """What S3 has, by tenant and month or day."""

    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    video_ms: Counter[tuple[str, str]] = field(default_factory=Counter)
    stored_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)


def truth() -> Truth:
    found = Truth()
    listed = [each for page in s3.pages_after("") for each in page]
    ended = []
    for each in listed:
        folder, tenant, *rest = each.key.split("/")
        if folder == "ledger" and rest[1] == "job.json":
            found.jobs[tenant, month_of(ids.created_ms(rest[0]))] += 1
        elif folder == "ledger":
            ended.append((tenant, each.key))
        elif folder == "uploads":
            found.stored_bytes[tenant, day_of(each.written_s * 1000)] += each.size_bytes
    with ThreadPoolExecutor(THREADS) as threads:
        contents = threads.map(lambda entry: s3.get(entry[1]), ended)
    for (tenant, _), content in zip(ended, contents, strict=True):
        result = JobResult.model_validate_json(content or b"")
        finished_ms = epoch_ms(result.finished_at)
        found.video_ms[tenant, month_of(finished_ms)] += result.video_ms
        found.stored_bytes[tenant, day_of(finished_ms)] += result.output_bytes
    return found


def counted() -> Truth:
    found = Truth()
    for tenant in TENANTS:
        totals = measure(tenant).totals()
        for month, amounts in totals.months.items():
            found.jobs[tenant, month] = amounts.jobs
            found.video_ms[tenant, month] = amounts.video_ms
        for day, size_bytes in totals.stored_bytes.items():
            found.stored_bytes[tenant, day] = size_bytes
    return found


class Load:
    """Jobs and uploads of several tenants. What happens is decided by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._open: list[Job] = []
        self._everything: list[Callable[[], object]] = []

    def add(self, count: int, *, past_ms: int = 0, uploaded: int = 0) -> None:
        """Accepts jobs that were made now, or lately if `past_ms` is given. Two of three end, soon after they were made."""
        now_ms = int(time.time() * 1000)
        jobs = [
            make_job(self._random.choice(TENANTS), now_ms - self._random.randrange(past_ms + 1)) for _ in range(count)
        ]
        self._do([partial(accept, job) for job in jobs])
        self._open += jobs
        self.end(2 * count // 3, soon=past_ms > 0)
        files = [(self._random.choice(TENANTS), ids.new_id(), self._random.randrange(2_000)) for _ in range(uploaded)]
        self._do([partial(self._upload, *file) for file in files])

    def end(self, count: int, *, soon: bool = False) -> None:
        """Ends jobs that are open: now, or within seconds after they were made."""
        now_ms = int(time.time() * 1000)
        self._random.shuffle(self._open)
        ending, self._open = self._open[:count], self._open[count:]
        results = [
            make_result(
                job,
                min(now_ms, ids.created_ms(job.job_id) + self._random.randrange(30_000)) if soon else now_ms,
                duration_s=self._random.randrange(100, 90_000) / 1000,
                size_bytes=self._random.randrange(1_000, 5_000_000),
            )
            for job in ending
        ]
        self._do([partial(lifecycle.end, *pair) for pair in zip(ending, results, strict=True)])

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
    assert counted() == truth()
    keep_usage(1)
    load.add(300, uploaded=20)  # not saved when Redis loses its data
    assert counted() == truth()

    redis_client().flushdb()

    load.add(400, uploaded=20)
    load.end(100)  # jobs of before and after the loss
    assert counted().jobs.total() <= 400, "what Redis lost is not known yet"
    keep_usage()
    assert counted() == truth()

    load.add(500)
    load.end(100)
    load.repeat(300)
    assert counted() == truth()
    keep_usage(1)
    redis_client().flushdb()
    keep_usage(3)
    found = truth()
    assert counted() == found
    assert found.jobs.total() == 2_000
