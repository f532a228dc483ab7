"""Queues the next attempt of a job whose attempt failed, or fails the job. Only settle and sweep do so."""

import time

from darkroom import metrics
from darkroom.config import settings
from darkroom.contracts.jobs import MAX_ATTEMPTS, Failure, Job, Status
from darkroom.errors import ServiceError
from darkroom.jobs import ledger, lifecycle
from darkroom.services import rabbitmq
from darkroom.services.redis import leases, open_jobs, views
from darkroom.services.redis.views import View
from darkroom.timestamps import epoch_ms


def retry(job: Job, failure: Failure, *, outage: bool, attempt: int, run: str | None = None) -> None:
    """After a failed attempt: queues the next one, or fails the job if it has none left.

    An `outage` uses up no attempt. `run` is None when the run is known to be dead. Does nothing when the attempt is
    not the job's current one.
    """
    view = views.fetch(job.ref)
    if view is not None and not _is_current(view, attempt):
        return
    if _is_last(job, view, outage=outage):
        lifecycle.end(job, lifecycle.failed_result(job, failure, attempt=attempt, run=run or lifecycle.NO_RUN))
        return
    delay_s = rabbitmq.retry_delay_s(attempt)
    requeued = leases.requeue(job, attempt=attempt, run=run, failure=failure, outage=outage, delay_s=delay_s)
    if requeued is None:
        lifecycle.restore(job, ledger.read_result(job.ref))
        requeued = leases.requeue(job, attempt=attempt, run=None, failure=failure, outage=outage, delay_s=delay_s)
    if not requeued:
        return
    metrics.count("retried", job.operation, code=failure.code)
    try:
        rabbitmq.publish_delayed(lifecycle.message_for(job, attempt + 1), job.traceparent, delay_s)
    except ServiceError:
        open_jobs.postpone([job.ref], delay_s, published=False)


def _is_current(view: View, attempt: int) -> bool:
    """Whether the attempt runs or died before its claim. Otherwise it was settled before."""
    if view.status is Status.RUNNING:
        return view.attempt == attempt
    return view.status is Status.QUEUED and view.attempt < attempt


def _is_last(job: Job, view: View | None, *, outage: bool) -> bool:
    """Whether the job fails now. One that only outages delay is retried for as long as its file is kept."""
    if outage:
        return time.time() - epoch_ms(job.created_at) / 1000 > settings().retention_days * 86_400
    return view is not None and view.failed_attempts + 1 >= MAX_ATTEMPTS
