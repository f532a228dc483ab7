"""The steps of a job's life that more than one part takes: accept, try again, end, restore.

The ledger decides, then the view follows. Every step may be repeated and may be interrupted after any of its lines:
sweep takes it up again.
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
    ProcessingTimedOutError,
    ServiceError,
)
from darkroom.jobs import ledger
from darkroom.log import logger
from darkroom.services import rabbitmq, s3
from darkroom.services.redis import deadlines, leases, open_jobs, views
from darkroom.timestamps import utc_now

#: The run that an result carries when no run made it: a refusal, a cancel, or a run that died.
NO_RUN = "none"

_OUTAGES = {error.code for error in OUTAGES}


def accept(job: Job) -> bool:
    """Writes the job down, shows it, queues it. After this returns it will end, whatever dies. Whether it was new.

    The ledger alone decides. Where Redis or the broker does not answer, the job is accepted all the same, and sweep
    makes up for what is missing.
    """
    new = ledger.accept(job)
    result = None if new else ledger.read_result(job.job_id)
    with _left_to_sweep(job):
        _show(job, result, due_in_s=deadlines.START_WITHIN_S, restored=not new)
    if result is None:
        with _left_to_sweep(job):
            _publish(first_message(job), job.traceparent)
    if new:
        metrics.count("accepted", job.operation)
    return new


@contextlib.contextmanager
def _left_to_sweep(job: Job) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        logger().warning("left to sweep", extra={"job_id": job.job_id, "code": error.code})


def _publish(message: Message, traceparent: str) -> None:
    try:
        rabbitmq.publish(message, traceparent)
    except BrokerUnavailableError:
        open_jobs.postpone(message.job_id, 0, published=False)
        raise


def refuse(job: Job, error: DarkroomError) -> None:
    """Accepts a job that came with an upload only to end it at once: its file is not fit for it."""
    new = ledger.accept(job)
    with _left_to_sweep(job):
        views.create(job, restored=not new)
        end(job, failed(job, error, attempt=0, run=NO_RUN))


def first_message(job: Job) -> Message:
    """The message that starts a job's first attempt."""
    return message_for(job, 1)


def message_for(job: Job, attempt: int) -> Message:
    """The message that starts an attempt, counted from 1."""
    return Message(job_id=job.job_id, tenant=job.tenant, operation=job.operation, attempt=attempt)


def end(job: Job, result: JobResult) -> JobResult:
    """Ends the job in the ledger, then in the view. Returns the end that holds, which may be somebody else's."""
    holds = ledger.end(result)
    news = views.finish(job.job_id, job.operation, holds)
    if news is None:  # Redis has lost the job while it ran
        restore(job, holds)
    if news is not False and holds == result:
        _report(job.operation, holds)
    return holds


def _report(operation: Operation, result: JobResult) -> None:
    if result.error is None:
        metrics.count(result.status, operation)
    else:
        metrics.count(result.status, operation, code=result.error.code)


def failed(job: Job, error: DarkroomError, *, attempt: int, run: str, started_at: str | None = None) -> JobResult:
    """The result of a job that failed for good."""
    return JobResult(
        job_id=job.job_id,
        status=Status.FAILED,
        attempt=attempt,
        run=run,
        started_at=started_at,
        finished_at=utc_now(),
        error=failure_of(error),
    )


def canceled(job: Job, *, attempt: int) -> JobResult:
    """The result of a job that its owner called off."""
    return JobResult(job_id=job.job_id, status=Status.CANCELED, attempt=attempt, run=NO_RUN, finished_at=utc_now())


def failure_of(error: DarkroomError) -> Failure:
    """What people and programs are told of an error.

    The messages of parts that did not answer name hosts, buckets and roles: those are for the log alone.
    """
    inside = error.outage or isinstance(error, ConfigurationError)
    return Failure(code=error.code, message=type(error)().message if inside else error.message)


def try_again(job: Job, error: DarkroomError, *, attempt: int, run: str | None = None) -> None:
    """After a failed attempt: queues the next one, or fails the job when the error or the limit says so.

    `run` None means that the run is known dead. Does nothing when the attempt is no longer the job's latest.
    """
    if not error.retryable or _used_up(job, error, attempt):
        end(job, failed(job, error, attempt=attempt, run=run or NO_RUN))
        return
    delay_s = rabbitmq.retry_delay_s(attempt)
    due_in_s = delay_s + deadlines.START_WITHIN_S
    released = leases.requeue(job, attempt=attempt, run=run, failure=failure_of(error), due_in_s=due_in_s)
    if released is None:
        restore(job, ledger.read_result(job.job_id))
        released = leases.requeue(job, attempt=attempt, run=None, failure=failure_of(error), due_in_s=due_in_s)
    if not released:
        return
    metrics.count("retried", job.operation, code=error.code)
    try:
        rabbitmq.publish_later(message_for(job, attempt + 1), job.traceparent, delay_s)
    except ServiceError:
        open_jobs.postpone(job.job_id, delay_s, published=False)


def _used_up(job: Job, error: DarkroomError, attempt: int) -> bool:
    """Whether the failure of this attempt is the last that the job may have. Outages are waited out."""
    if error.outage or attempt < MAX_ATTEMPTS:
        return attempt >= MAX_STARTS
    view = views.find(job.job_id)
    outages = sum(failure.code in _OUTAGES for failure in view.errors) if view else 0
    return attempt - outages >= MAX_ATTEMPTS


def timed_out() -> ProcessingTimedOutError:
    """The error of a run that Lambda stopped at its time limit: another run would take as long."""
    return ProcessingTimedOutError("The work did not end within the time that one run may take.")


def restore(job: Job, result: JobResult | None) -> None:
    """Shows in the view what the ledger knows of a job, after Redis has lost it."""
    _show(job, result, due_in_s=0, restored=True)


def tidy(job: Job, result: JobResult) -> int:
    """Removes what runs have left that did not end the job. How many objects that were.

    Only for when no run of the job can be under way any more: before, one that is about to commit would lose its
    outputs.
    """
    kept = {output.key for output in result.outputs}
    left = [key for key in s3.keys_after(outputs_prefix(job)) if key not in kept]
    s3.delete(left)
    return len(left)


def outputs_prefix(job: Job) -> str:
    """Below this key lie the outputs of all runs of a job."""
    return f"processed/{job.tenant}/{job.job_id}/"


def _show(job: Job, result: JobResult | None, *, due_in_s: float, restored: bool) -> None:
    views.create(job, due_in_s=due_in_s, restored=restored)
    if result is not None:
        views.finish(job.job_id, job.operation, result)
