"""What the tests of sweep share: one pass, and jobs in the states that an interruption leaves."""

import time
from typing import Any

from darkroom import ids
from darkroom.contracts.jobs import Job, JobResult, Status
from darkroom.jobs import ledger, open_index
from darkroom.jobs.open_index import Kind
from darkroom.services.redis import views
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


def open_entries(kind: Kind = Kind.JOBS) -> list[str]:
    """The ids in the index."""
    return [entry.identifier for page in open_index.pages(kind, "") for entry in page]


def result_for(job: Job, status: Status = Status.COMPLETED, run: str = "run-1", **more: Any) -> JobResult:
    """A result of a job."""
    return JobResult(
        **{"job_id": job.job_id, "status": status, "attempt": 1, "run": run, "finished_at": utc_now(), **more}
    )
