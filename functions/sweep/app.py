"""Sweep: every minute, completes what was interrupted or lost.

It declares missing queues, recovers open jobs that are due, creates the views that Redis lost, ingests uploads whose
event was lost, and removes leftover outputs. An outage ends only the step that needs the dependency, and a record that
cannot be read is skipped.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import TypeVar

from darkroom import ids, metrics
from darkroom.config import settings
from darkroom.contracts.base import DEFAULT_TENANT
from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.errors import (
    BrokerUnavailableError,
    CacheUnavailableError,
    DarkroomError,
    InternalError,
    ServiceError,
    WorkerDiedError,
)
from darkroom.jobs import events, ingestion, ledger, lifecycle, uploads
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import client, deadlines, files, open_jobs, reconciliation, slots, views
from darkroom.services.redis.views import View

#: Jobs that are fetched or compared in one round trip.
BATCH = 500

#: Seconds by which two comparisons with the ledger overlap, since writers' clocks differ and writes take time. The life
#: of an upload form is added, because the id of a job that comes with an upload is as old as the form.
OVERLAP_S = 120

#: Seconds that accepting a job may take; a younger job without a view is still being accepted.
ACCEPTING_S = 30

#: Seconds after which a queued job is published again although its queue is not empty.
REPUBLISH_AFTER_S = 15 * 60

#: Milliseconds before Lambda stops this function at which it stops itself.
RESERVE_MS = 5_000

_Item = TypeVar("_Item")


def handler(_event: object, context: events.LambdaContext) -> dict[str, int]:
    """One pass. Returns what each step did, for the log."""
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    steps = {
        "repaired": _repair_topology,
        "recovered": _recover_due_jobs,
        "restored": _restore_missing_views,
        "ingested": _ingest_missed_uploads,
        "cleaned": _remove_leftover_outputs,
    }
    done = {name: _step(name, work, deadline) for name, work in steps.items()}
    _step("load", _report_load, deadline)
    logger().info("swept", extra=done)
    return done


def _step(name: str, work: Callable[[float], int], deadline: float) -> int:
    try:
        return work(deadline)
    except ServiceError as error:
        logger().warning("sweep step failed", extra={"step": name, "code": error.code, "reason": error.message})
        return 0


def _report_load(_deadline: float) -> int:
    for operation, running in slots.in_flight().items():
        metrics.gauge("in_flight", running, operation)
        metrics.gauge("waiting", views.count_queued(operation), operation)
    return 0


def _repair_topology(_deadline: float) -> int:
    """After the broker lost its disk: declares the queues, and makes the queued jobs due. Returns 1 if it did."""
    if not rabbitmq.repair_topology():
        return 0
    queued = open_jobs.make_queued_due_now()
    logger().warning("declared missing queues", extra={"queued": queued})
    return 1


class _Queues:
    """The broker during one pass.

    Depths are read once, so that messages which this pass publishes do not count. After a failure the broker is not
    tried again.
    """

    def __init__(self) -> None:
        self._depths: dict[Operation, int] = {}
        self._failure: BrokerUnavailableError | None = None

    def depth(self, operation: Operation) -> int:
        """Messages in the operation's queue when the pass began. Raises BrokerUnavailableError."""
        if operation not in self._depths:
            self._depths[operation] = self._try(lambda: rabbitmq.depth(operation))
        return self._depths[operation]

    def publish_next_attempt(self, view: View) -> None:
        """Publishes the message for a job's next attempt. Raises BrokerUnavailableError."""
        message = lifecycle.message_for(view.job, view.attempt + 1)
        self._try(lambda: rabbitmq.publish(message, view.job.traceparent))

    def _try(self, action: Callable[[], _Item]) -> _Item:
        if self._failure:
            raise self._failure
        try:
            return action()
        except BrokerUnavailableError as error:
            self._failure = error
            raise


def _recover_due_jobs(deadline: float) -> int:
    """Publishes queued jobs again, and ends or retries running jobs whose lease has expired. Returns how many."""
    recovered = failed = 0
    queues = _Queues()
    began_ms = client.now_ms()
    while batch := open_jobs.due(BATCH, skip=failed, as_of_ms=began_ms):
        for job_id in batch:
            if time.monotonic() > deadline:
                return recovered
            try:
                recovered += _recover(job_id, queues)
            except CacheUnavailableError:
                raise
            except DarkroomError as error:  # the job stays due, and the next pass retries
                failed += 1
                logger().warning("not recovered", extra={"job_id": job_id, "code": error.code, "reason": error.message})
    return recovered


def _recover(job_id: str, queues: _Queues) -> int:
    view = views.fetch(job_id)
    if view is None or view.awaits_upload:
        restored = _restore(job_id)
        if not restored:
            open_jobs.forget(job_id)
        return restored
    if view.status is Status.QUEUED:
        return _recover_queued(view, queues)
    if view.status is Status.RUNNING:
        return _recover_running(view)
    open_jobs.forget(job_id)
    return 0


def _recover_queued(view: View, queues: _Queues) -> int:
    job = view.job
    waited_s = time.time() - view.published_ms / 1000
    if queues.depth(job.operation) and waited_s < REPUBLISH_AFTER_S:
        open_jobs.postpone(job.job_id, deadlines.START_WITHIN_S, published=False)
        return 0
    queues.publish_next_attempt(view)
    open_jobs.postpone(job.job_id, deadlines.START_WITHIN_S, published=True)
    metrics.count("swept", job.operation)
    return 1


def _recover_running(view: View) -> int:
    job = view.job
    result = ledger.read_result(job.job_id)
    if result is not None:
        lifecycle.restore(job, result)
    else:
        error = WorkerDiedError("The run's lease expired without a result.")
        lifecycle.retry(job, error, attempt=view.attempt)
    return 1


def _restore_missing_views(deadline: float) -> int:
    """Creates the views of jobs in the ledger that have none: an acceptance was interrupted, or Redis lost its data."""
    restored = skipped = 0
    dataset = reconciliation.dataset_id()
    until = ids.first_id(int((time.time() - ACCEPTING_S) * 1000))
    for batch in _batches(takewhile(lambda entry: entry[0] < until, ledger.jobs_after(_first_to_compare()))):
        presences = reconciliation.presences([job_id for job_id, _ in batch])
        for (job_id, ended), presence in zip(batch, presences, strict=True):
            if time.monotonic() > deadline:
                return restored
            if presence is reconciliation.Presence.UNKNOWN or (ended and presence is reconciliation.Presence.OPEN):
                try:
                    restored += _restore(job_id)
                except InternalError as error:
                    skipped += 1
                    _log_skipped(error, job_id=job_id)
        # The cursor stays before a skipped job, so that the next pass tries it again.
        if not skipped and not reconciliation.advance_cursor(batch[-1][0], dataset):
            return restored  # Redis lost its data in this pass: the next one starts from the beginning
    if not skipped:
        reconciliation.advance_cursor(until, dataset)
    return restored


def _log_skipped(error: InternalError, **context: str) -> None:
    """Logs a record that this version cannot read. Other jobs are not affected."""
    logger().error("skipped unreadable record", extra={"reason": error.message, **context})


def _first_to_compare() -> str:
    """Where the comparison starts: an overlap before the cursor, or at the oldest job that is kept."""
    cursor = reconciliation.cursor()
    oldest = ids.first_id(int((time.time() - settings().retention_days * 86_400) * 1000))
    if not cursor:
        return oldest
    return max(oldest, ids.first_id(ids.created_ms(cursor) - _overlap_ms()))


def _overlap_ms() -> int:
    """How many milliseconds the id of a job can be older than its acceptance, and a file id older than its upload."""
    return (settings().link_expiry_s + OVERLAP_S) * 1000


def _restore(job_id: str) -> int:
    job = ledger.read_job(job_id)
    if job is None:
        return 0
    lifecycle.restore(job, ledger.read_result(job_id))
    return 1


def _ingest_missed_uploads(deadline: float) -> int:
    """Ingests uploads whose event was lost, or whose ingestion was interrupted."""
    ingested = 0
    now_ms = int(time.time() * 1000)
    until = ids.first_id(now_ms - ACCEPTING_S * 1000)
    uploaded = uploads.uploaded_after(ids.first_id(now_ms - _overlap_ms()), DEFAULT_TENANT)
    for batch in _batches(takewhile(lambda file_id: file_id < until, uploaded)):
        for file_id in files.not_ingested(batch):
            if time.monotonic() > deadline:
                return ingested
            try:
                ingestion.ingest(DEFAULT_TENANT, file_id)
                ingested += 1
            except InternalError as error:
                _log_skipped(error, file_id=file_id)
    return ingested


def _remove_leftover_outputs(deadline: float) -> int:
    """Removes the outputs of runs that did not end their job, once none can be in flight."""
    removed = 0
    for job_id in open_jobs.due_for_cleanup(BATCH):
        if time.monotonic() > deadline:
            break
        try:
            job, result = ledger.read_job(job_id), ledger.read_result(job_id)
        except InternalError as error:
            _log_skipped(error, job_id=job_id)
            continue
        if job is not None and result is not None:
            removed += lifecycle.clean_up(job, result)
        open_jobs.mark_cleaned(job_id)
    return removed


def _batches(items: Iterator[_Item]) -> Iterator[list[_Item]]:
    while batch := list(islice(items, BATCH)):
        yield batch
