"""Sweep: every minute, whatever is stuck moves again, and what was left behind goes.

It mends the broker's queues, moves open jobs whose time has come, shows jobs that the ledger has and Redis has not,
takes in uploads whose event was lost, and removes outputs of runs that did not end their job. A part that does not
answer, or one job that cannot be read, keeps none of the others waiting.
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

#: Jobs fetched or compared in one round trip.
BATCH = 500

#: How far before the end of the last comparison the next one begins, beside the life of an upload form: a job that
#: comes with an upload is as old as its form. Clocks of writers differ, and writes take time.
OVERLAP_S = 120

#: Seconds that an acceptance may take; a younger job without a record is still being accepted.
ACCEPTING_S = 30

#: Seconds after which a queued job is published again although its queue is not empty.
PATIENCE_S = 15 * 60

#: Milliseconds kept back at the end of a run.
RESERVE_MS = 5_000

Item = TypeVar("Item")


def handler(_event: object, context: events.LambdaContext) -> dict[str, int]:
    """One pass. Returns what it did, for the log."""
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    steps = {"mended": _mend, "moved": _move_due, "restored": _catch_up, "taken_in": _take_in, "tidied": _tidy}
    done = {name: _step(name, work, deadline) for name, work in steps.items()}
    _step("load", _report_load, deadline)
    logger().info("swept", extra=done)
    return done


def _step(name: str, work: Callable[[float], int], deadline: float) -> int:
    try:
        return work(deadline)
    except ServiceError as error:
        logger().warning("sweep goes on without", extra={"step": name, "code": error.code, "reason": error.message})
        return 0


def _report_load(_deadline: float) -> int:
    for operation, running in slots.in_flight().items():
        metrics.gauge("in_flight", running, operation)
        metrics.gauge("waiting", views.count_queued(operation), operation)
    return 0


def _mend(_deadline: float) -> int:
    """After the broker has lost its disk: its queues, and at once the messages that were in them."""
    if not rabbitmq.mend_topology():
        return 0
    hurried = open_jobs.make_queued_due_now()
    logger().warning("the broker had lost its queues", extra={"queued": hurried})
    return 1


class _Queues:
    """The broker, for one pass. Depths are asked once, so that what the pass publishes does not look like a queue that
    lost nothing; and once the broker has failed, it is not asked again.
    """

    def __init__(self) -> None:
        self._depths: dict[Operation, int] = {}
        self._failure: BrokerUnavailableError | None = None

    def holds(self, operation: Operation) -> int:
        """Messages that waited in the operation's queue. Raises BrokerUnavailableError."""
        if operation not in self._depths:
            self._depths[operation] = self._ask(lambda: rabbitmq.depth(operation))
        return self._depths[operation]

    def start(self, view: View) -> None:
        """Publishes a job's next attempt. Raises BrokerUnavailableError."""
        message = lifecycle.message_for(view.job, view.attempt + 1)
        self._ask(lambda: rabbitmq.publish(message, view.job.traceparent))

    def _ask(self, action: Callable[[], rabbitmq.Answer]) -> rabbitmq.Answer:
        if self._failure:
            raise self._failure
        try:
            return action()
        except BrokerUnavailableError as error:
            self._failure = error
            raise


def _move_due(deadline: float) -> int:
    moved = stuck = 0
    queues = _Queues()
    began_ms = client.now_ms()
    while batch := open_jobs.due(BATCH, skip=stuck, as_of_ms=began_ms):
        for job_id in batch:
            if time.monotonic() > deadline:
                return moved
            try:
                moved += _move(job_id, queues)
            except CacheUnavailableError:
                raise
            except DarkroomError as error:  # it stays due, and the next pass tries again
                stuck += 1
                logger().warning("not moved", extra={"job_id": job_id, "code": error.code, "reason": error.message})
    return moved


def _move(job_id: str, queues: _Queues) -> int:
    view = views.find(job_id)
    if view is None or view.awaits_upload:
        moved = _restore(job_id)
        if not moved:
            open_jobs.forget(job_id)
        return moved
    if view.status is Status.QUEUED:
        return _move_queued(view, queues)
    if view.status is Status.RUNNING:
        return _move_running(view)
    open_jobs.forget(job_id)
    return 0


def _move_queued(view: View, queues: _Queues) -> int:
    job = view.job
    waited_s = time.time() - view.published_ms / 1000
    if queues.holds(job.operation) and waited_s < PATIENCE_S:
        open_jobs.postpone(job.job_id, deadlines.START_WITHIN_S, published=False)
        return 0
    queues.start(view)
    open_jobs.postpone(job.job_id, deadlines.START_WITHIN_S, published=True)
    metrics.count("swept", job.operation)
    return 1


def _move_running(view: View) -> int:
    job = view.job
    result = ledger.read_result(job.job_id)
    if result is not None:
        lifecycle.restore(job, result)
    else:
        error = WorkerDiedError("The run's lease ended without a result.")
        lifecycle.try_again(job, error, attempt=view.attempt)
    return 1


def _catch_up(deadline: float) -> int:
    """Shows what the ledger has and Redis has not: acceptances cut short, or everything after Redis came up empty."""
    restored = passed_over = 0
    generation = reconciliation.dataset_id()
    until = ids.first_id(int((time.time() - ACCEPTING_S) * 1000))
    for batch in _batches(takewhile(lambda found: found[0] < until, ledger.jobs_after(_start()))):
        standings = reconciliation.presences([job_id for job_id, _ in batch])
        for (job_id, over), standing in zip(batch, standings, strict=True):
            if time.monotonic() > deadline:
                return restored
            if standing is reconciliation.Presence.UNKNOWN or (over and standing is reconciliation.Presence.OPEN):
                try:
                    restored += _restore(job_id)
                except InternalError as error:
                    passed_over += 1
                    _pass_over(error, job_id=job_id)
        # What was passed over is looked for again, so the comparison counts as ended before it.
        if not passed_over and not reconciliation.advance_cursor(batch[-1][0], generation):
            return restored  # Redis was emptied meanwhile: the next pass begins anew
    if not passed_over:
        reconciliation.advance_cursor(until, generation)
    return restored


def _pass_over(error: InternalError, **what: str) -> None:
    """What is written of one job cannot be read, by this version at least. It keeps none of the others waiting."""
    logger().error("passed over", extra={"reason": error.message, **what})


def _start() -> str:
    """Where the comparison begins: a stretch before the last one ended, or with the oldest job that is kept."""
    position = reconciliation.cursor()
    oldest = ids.first_id(int((time.time() - settings().retention_days * 86_400) * 1000))
    if not position:
        return oldest
    return max(oldest, ids.first_id(ids.created_ms(position) - _stretch_ms()))


def _stretch_ms() -> int:
    """How much older than its acceptance a job may be by its id, and than its landing a file."""
    return (settings().link_expiry_s + OVERLAP_S) * 1000


def _restore(job_id: str) -> int:
    job = ledger.read_job(job_id)
    if job is None:
        return 0
    lifecycle.restore(job, ledger.read_result(job_id))
    return 1


def _take_in(deadline: float) -> int:
    """Takes in files that have landed and of which nobody was told, or whose taking in was cut short."""
    taken = 0
    now_ms = int(time.time() * 1000)
    until = ids.first_id(now_ms - ACCEPTING_S * 1000)
    landed = uploads.landed_since(ids.first_id(now_ms - _stretch_ms()), DEFAULT_TENANT)
    for batch in _batches(takewhile(lambda file_id: file_id < until, landed)):
        for file_id in files.not_ingested(batch):
            if time.monotonic() > deadline:
                return taken
            try:
                ingestion.take_in(DEFAULT_TENANT, file_id)
                taken += 1
            except InternalError as error:
                _pass_over(error, file_id=file_id)
    return taken


def _tidy(deadline: float) -> int:
    """Removes outputs of runs that did not end their job, once all of them must be over."""
    tidied = 0
    for job_id in open_jobs.due_for_cleanup(BATCH):
        if time.monotonic() > deadline:
            break
        try:
            job, result = ledger.read_job(job_id), ledger.read_result(job_id)
        except InternalError as error:
            _pass_over(error, job_id=job_id)
            continue
        if job is not None and result is not None:
            tidied += lifecycle.tidy(job, result)
        open_jobs.mark_cleaned(job_id)
    return tidied


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, BATCH)):
        yield batch
