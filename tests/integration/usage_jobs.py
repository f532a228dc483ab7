"""Jobs of several tenants, and what these use: by what S3 has, and as Redis has counted it."""

import time
from collections import Counter
from dataclasses import dataclass, field

from darkroom import ids
from darkroom.contracts.jobs import FileSource, Job, JobResult, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, uploads
from darkroom.services import s3
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.usage import measure
from darkroom.timestamps import day_of, epoch_ms, iso_utc, month_of
from functions.sweep import usage as sweep_usage

TENANTS = ("acme", "umbra", "zeta")
HOUR_MS = 3_600_000


def keep_usage(passes: int = 2) -> int:
    """Lets sweep save the usage and count again what was lost: one pass for each. Returns how many tenants it saved."""
    return sum(sweep_usage.keep_usage(time.monotonic() + 60) for _ in range(passes))


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
    """What tenants use, by tenant and month or day."""

    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    video_ms: Counter[tuple[str, str]] = field(default_factory=Counter)
    stored_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count_result(self, tenant: str, result: JobResult) -> None:
        finished_ms = epoch_ms(result.finished_at)
        self.video_ms[tenant, month_of(finished_ms)] += result.video_ms
        self.stored_bytes[tenant, day_of(finished_ms)] += result.output_bytes


def stored_uploads() -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for page in s3.pages_after(uploads.UPLOADS_PREFIX):
        for each in page:
            found[each.key.split("/")[1], day_of(each.written_s * 1000)] += each.size_bytes
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


def truth_in_s3() -> Truth:
    """What S3 shows of all tenants."""
    found = Truth(stored_bytes=stored_uploads())
    for page in s3.pages_after(ledger.LEDGER_PREFIX):
        for each in page:
            _, tenant, job_id, name = each.key.split("/")
            if name == ledger.JOB_FILE:
                found.jobs[tenant, month_of(ids.created_ms(job_id))] += 1
            else:
                found.count_result(tenant, JobResult.model_validate_json(s3.get(each.key) or b""))
    return found
