"""What the tests of sweep share: one pass, and jobs in the states that an interruption leaves."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from darkroom import ids
from darkroom.contracts.jobs import Job, JobResult, Status
from darkroom.jobs import ledger, open_index
from darkroom.jobs.open_index import Kind
from darkroom.services import s3
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from functions.sweep import app
from tests.support.lambda_context import LambdaContext


def sweep(remaining_ms: int = 60_000) -> dict[str, Any]:
    """One pass."""
    return app.handler({}, LambdaContext(remaining_ms))


def accept_without_publishing(job: Job) -> None:
    """Accepts a job, but its message is lost; it is due."""
    write_to_s3(job)
    views.create(job, due_in_s=0)


def write_to_s3(job: Job) -> None:
    """Accepts a job as far as S3."""
    open_index.add_job(job.tenant, job.job_id)
    ledger.write_job(job)


def id_of_age(seconds: float) -> str:
    """An id that was created so many seconds ago."""
    return ids.new_id(at_ms=int((time.time() - seconds) * 1000))


@contextmanager
def aged_entries(seconds: int) -> Iterator[None]:
    """Every object looks this much older in listings."""
    pages_after = s3.pages_after

    def aged(prefix: str, start_after: str = "") -> Iterator[list[s3.ListedObject]]:
        for page in pages_after(prefix, start_after):
            yield [
                replace(listed, written_s=listed.written_s - seconds, age_s=listed.age_s + seconds) for listed in page
            ]

    with patch.object(s3, "pages_after", aged):
        yield


def let_looked_up_marks_expire(age_s: int) -> None:
    """Deletes the marks of entries that were looked up, which must be valid for as long as the entries were old."""
    redis = redis_client()
    marks = list(redis.scan_iter(f"{keys.lookup_of('*', '*', 0).removesuffix(':0')}:*"))
    assert marks, "nothing was looked up"
    for mark in marks:
        assert age_s - 60 < redis.ttl(mark) <= age_s + 60
        redis.delete(mark)


def open_entries(kind: Kind = Kind.JOBS) -> list[str]:
    """The ids in the index."""
    return [entry.identifier for page in open_index.pages(kind, "") for entry in page]


def result_for(job: Job, status: Status = Status.COMPLETED, run: str = "run-1", **more: Any) -> JobResult:
    """A result of a job."""
    return JobResult(
        **{"job_id": job.job_id, "status": status, "attempt": 1, "run": run, "finished_at": utc_now(), **more}
    )
