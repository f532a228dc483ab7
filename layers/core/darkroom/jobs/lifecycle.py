"""The steps of a job's life that several functions take: accept, end, retry, restore, clean up.

The ledger is written first, then the view. Every step can be repeated, and can be interrupted between any two lines:
sweep completes it.
"""

import contextlib
from collections.abc import Iterator

from darkroom import metrics
from darkroom.contracts.jobs import MAX_ATTEMPTS, MAX_STARTS, Failure, Job, JobResult, Message, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import (
    OUTAGES,
    BrokerUnavailableError,
    ConfigurationError,
    DarkroomError,
    ServiceError,
)
from darkroom.jobs import ledger
from darkroom.log import logger
from darkroom.services import rabbitmq, s3
from darkroom.services.redis import deadlines, leases, open_jobs, views
from darkroom.timestamps import utc_now

#: The run in a result that no run made: the job was refused or canceled, or its run died.
NO_RUN = "none"

#: Why a message is parked that names a job which is not in the ledger.
UNKNOWN_JOB = "the message names a job that was never accepted"

_OUTAGE_CODES = {error.code for error in OUTAGES}


def accept(job: Job) -> bool:
    """Writes the job to the ledger, creates its view and publishes its message. Returns True if the job is new.

    Once this returns, the job will end. Without Redis or the broker it is accepted too: sweep completes the rest.
    """
    new = ledger.write_job(job)
    result = None if new else ledger.read_result(job.job_id)
    with _defer_to_sweep(job):
        _update_view(job, result, due_in_s=deadlines.START_WITHIN_S, restored=not new)
    if result is None:
        with _defer_to_sweep(job):
            _publish(first_message(job), job.traceparent)
    if new:
        metrics.count("accepted", job.operation)
    return new


@contextlib.contextmanager
def _defer_to_sweep(job: Job) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        logger().warning("deferred to sweep", extra={"job_id": job.job_id, "code": error.code})


def _publish(message: Message, traceparent: str) -> None:
    try:
        rabbitmq.publish(message, traceparent)
    except BrokerUnavailableError:
        open_jobs.postpone(message.job_id, 0, published=False)
        raise


def refuse(job: Job, error: DarkroomError) -> None:
    """Accepts a job that came with an upload and fails it at once, because it cannot process the file."""
    new = ledger.write_job(job)
    with _defer_to_sweep(job):
        views.create(job, restored=not new)
        end(job, failed_result(job, error, attempt=0, run=NO_RUN))


def first_message(job: Job) -> Message:
    """The message that starts a job's first attempt."""
    return message_for(job, 1)


def message_for(job: Job, attempt: int) -> Message:
    """The message that starts an attempt, counted from 1."""
    return Message(job_id=job.job_id, tenant=job.tenant, operation=job.operation, attempt=attempt)


def end(job: Job, result: JobResult) -> JobResult:
    """Ends the job, first in the ledger, then in the view. Returns the winning result, which may be another one."""
    winning_result = ledger.write_result(result)
    view_changed = views.finish(job.job_id, job.operation, winning_result)
    if view_changed is None:  # Redis lost the view while the job ran
        restore(job, winning_result)
    if view_changed is not False and winning_result == result:
        _count_end(job.operation, winning_result)
    return winning_result


def _count_end(operation: Operation, result: JobResult) -> None:
    if result.error is None:
        metrics.count(result.status, operation)
    else:
        metrics.count(result.status, operation, code=result.error.code)


def failed_result(
    job: Job, error: DarkroomError, *, attempt: int, run: str, started_at: str | None = None
) -> JobResult:
    """The result of a job that failed and is not retried."""
    return JobResult(
        job_id=job.job_id,
        status=Status.FAILED,
        attempt=attempt,
        run=run,
        started_at=started_at,
        finished_at=utc_now(),
        error=failure_of(error),
    )


def canceled_result(job: Job, *, attempt: int) -> JobResult:
    """The result of a job that a client canceled."""
    return JobResult(job_id=job.job_id, status=Status.CANCELED, attempt=attempt, run=NO_RUN, finished_at=utc_now())


def failure_of(error: DarkroomError) -> Failure:
    """An error as clients see it.

    The messages of outages name hosts, buckets and roles. They go to the log only, and clients get the general text.
    """
    internal = error.outage or isinstance(error, ConfigurationError)
    return Failure(code=error.code, message=type(error)().message if internal else error.message)


def retry(job: Job, error: DarkroomError, *, attempt: int, run: str | None = None) -> None:
    """After a failed attempt: queues the next one, or fails the job if the error is final or no attempt is left.

    `run` is None when the run is known to be dead. Does nothing when the attempt is not the job's current one.
    """
    if not error.retryable or _is_last(job, error, attempt):
        end(job, failed_result(job, error, attempt=attempt, run=run or NO_RUN))
        return
    delay_s = rabbitmq.retry_delay_s(attempt)
    due_in_s = delay_s + deadlines.START_WITHIN_S
    requeued = leases.requeue(job, attempt=attempt, run=run, failure=failure_of(error), due_in_s=due_in_s)
    if requeued is None:
        restore(job, ledger.read_result(job.job_id))
        requeued = leases.requeue(job, attempt=attempt, run=None, failure=failure_of(error), due_in_s=due_in_s)
    if not requeued:
        return
    metrics.count("retried", job.operation, code=error.code)
    try:
        rabbitmq.publish_delayed(message_for(job, attempt + 1), job.traceparent, delay_s)
    except ServiceError:
        open_jobs.postpone(job.job_id, delay_s, published=False)


def _is_last(job: Job, error: DarkroomError, attempt: int) -> bool:
    """Whether the job fails with this attempt. Attempts that an outage ended do not count, up to MAX_STARTS."""
    if error.outage or attempt < MAX_ATTEMPTS:
        return attempt >= MAX_STARTS
    view = views.fetch(job.job_id)
    outages = sum(failure.code in _OUTAGE_CODES for failure in view.errors) if view else 0
    return attempt - outages >= MAX_ATTEMPTS


def restore(job: Job, result: JobResult | None) -> None:
    """Creates the view of a job from the ledger, after Redis lost it."""
    _update_view(job, result, due_in_s=0, restored=True)


def clean_up(job: Job, result: JobResult) -> int:
    """Removes the outputs of runs that did not end the job. Returns how many objects that were.

    No run of the job may be in flight: one that is about to commit would lose its outputs.
    """
    kept = {output.key for output in result.outputs}
    leftovers = [key for key in s3.keys_after(outputs_prefix(job)) if key not in kept]
    s3.delete(leftovers)
    return len(leftovers)


def outputs_prefix(job: Job) -> str:
    """Prefix of the keys of all outputs of a job, those of every run."""
    return f"processed/{job.tenant}/{job.job_id}/"


def _update_view(job: Job, result: JobResult | None, *, due_in_s: float, restored: bool) -> None:
    views.create(job, due_in_s=due_in_s, restored=restored)
    if result is not None:
        views.finish(job.job_id, job.operation, result)
