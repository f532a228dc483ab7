"""Jobs as Redis sees them: the changes of state that tests of its scripts share."""

from darkroom.contracts.jobs import Failure, Job, JobResult, Message, Status
from darkroom.contracts.operations import Operation
from darkroom.services.redis import leases, slots, views
from darkroom.timestamps import utc_now

RESIZE = Operation.RESIZE
FAILURE = Failure(code="storage_unavailable", message="The object store is unavailable.")


def claim(job: Job, attempt: int = 1, run: str = "run-1", lease_ms: int = 60_000) -> leases.Claim:
    return leases.claim(job.ref, job.operation, attempt=attempt, run=run, lease_ms=lease_ms)


def result_for(job: Job, status: Status = Status.COMPLETED, run: str = "run-1", attempt: int = 1) -> JobResult:
    return JobResult(job_id=job.job_id, status=status, attempt=attempt, run=run, finished_at=utc_now())


def finish(job: Job, status: Status = Status.COMPLETED, run: str = "run-1", attempt: int = 1) -> bool | None:
    return views.finish(job, result_for(job, status, run, attempt))


def requeue(job: Job, attempt: int = 1, run: str | None = "run-1", delay_s: float = 60) -> bool | None:
    return leases.requeue(job, attempt=attempt, run=run, failure=FAILURE, delay_s=delay_s)


def acquire(job: Job, attempt: int = 1, limit: int = 1, operation: Operation | None = None) -> slots.Slot:
    """Acquires a slot with the message of an attempt, of the job's operation unless another is given."""
    message = Message(job_id=job.job_id, tenant=job.tenant, operation=job.operation, attempt=attempt)
    (turn,) = slots.acquire([message], operation or job.operation, limit=limit)
    return turn.slot


def progress(job: Job, run: str, fraction: float, speed: float | None = None, attempt: int = 1) -> bool:
    return leases.report_progress(job, run, fraction, speed, attempt=attempt, lease_ms=60_000)


def release(job: Job, attempt: int = 1) -> None:
    slots.release(job.ref, job.operation, attempt)
