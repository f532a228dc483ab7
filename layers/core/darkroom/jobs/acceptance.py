"""Accepts jobs: the index of open jobs first, then the ledger, the view and the message.

A job exists from the moment at which it is in the ledger. Every step can be repeated, and can be interrupted between
any two lines: sweep finds the job through its entry in the index.
"""

import contextlib
from collections.abc import Iterator

from darkroom import metrics
from darkroom.contracts.jobs import Job, JobResult
from darkroom.contracts.tenants import Quotas
from darkroom.errors import BrokerUnavailableError, DarkroomError, ServiceError
from darkroom.jobs import ledger, lifecycle, open_index
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import deadlines, open_jobs, views


def accept(job: Job, quotas: Quotas | None = None) -> bool:
    """Writes the job to the ledger, creates its view and publishes its message. Returns True if the job is new.

    Once this returns, the job will end. Without Redis or the broker it is accepted too: sweep completes the rest.
    `quotas` are those of the tenant, if they are known.
    """
    new = _record(job)
    result = None if new else ledger.read_result(job.ref)
    with _defer_to_sweep(job):
        lifecycle.update_view(job, result, due_in_s=deadlines.START_WITHIN_S, restored=not new, quotas=quotas)
    if result is None:
        with _defer_to_sweep(job):
            _publish_first(job)
    if new:
        metrics.count("accepted", job.operation)
    return new


def refuse(job: Job, error: DarkroomError) -> None:
    """Accepts a job that came with an upload and fails it at once, because it cannot process the file."""
    failure = lifecycle.failure_of(error)
    accept_ended(job, lifecycle.failed_result(job, failure, attempt=0, run=lifecycle.NO_RUN))


def accept_ended(job: Job, result: JobResult) -> JobResult:
    """Accepts a job that never runs, and ends it. Returns the winning result, which may be another one.

    Without Redis the ledger has both, and sweep updates the view.
    """
    new = _record(job)
    with _defer_to_sweep(job):
        views.create(job, restored=not new, ready=False)
    winning_result = ledger.write_result(job.ref, result)
    with _defer_to_sweep(job):
        lifecycle.show_result(job, winning_result, is_new=winning_result == result)
    return winning_result


def _record(job: Job) -> bool:
    """Writes the job to the index and then to the ledger. Returns True if it is new.

    The entry is written every time: the first one is gone if the job was accepted long ago, with an idempotency key.
    """
    open_index.add_job(job.tenant, job.job_id)
    return ledger.write_job(job)


def _publish_first(job: Job) -> None:
    try:
        rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
    except BrokerUnavailableError:
        open_jobs.postpone([job.ref], 0, published=False)
        raise


@contextlib.contextmanager
def _defer_to_sweep(job: Job) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        logger().warning("deferred to sweep", extra={"job_id": job.job_id, "code": error.code})
