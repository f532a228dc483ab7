"""Sweep: every minute, whatever is stuck moves again.

Two passes: open jobs whose time has come, and jobs that the ledger has and Redis has not.
"""

import time
from collections.abc import Callable
from functools import cache
from itertools import islice

from darkroom import broker, events, ids, ledger, lifecycle, metrics, store
from darkroom.config import settings
from darkroom.contracts import Operation, Status
from darkroom.errors import BrokerUnavailableError, WorkerDiedError
from darkroom.log import logger

#: Jobs looked at in one pass, at most.
DUE_LIMIT = 500

#: How far before the end of the last comparison the next one begins, beside the life of an upload form: a job that
#: comes with an upload is as old as its form. Clocks of writers differ, and writes take time.
OVERLAP_S = 120

#: Jobs compared in one round trip.
BATCH = 500

#: Seconds that an acceptance may take; a younger job without a record is still being accepted.
ACCEPTING_S = 30

#: Seconds after which a queued job is published again although its queue is not empty.
PATIENCE_S = 15 * 60

#: Milliseconds kept back at the end of a run.
RESERVE_MS = 5_000


def handler(_event: object, context: events.LambdaContext) -> dict[str, int]:
    """One pass. Returns what it did, for the log."""
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    done = {"moved": _move_due(deadline), "restored": _catch_up(deadline)}
    _report_load()
    logger().info("swept", extra=done)
    return done


def _report_load() -> None:
    for operation, running in store.in_flight().items():
        metrics.gauge("in_flight", running, operation)
        metrics.gauge("waiting", store.waiting(operation), operation)


def _move_due(deadline: float) -> int:
    moved = 0
    # Asked once a pass, so that what this pass publishes does not look like a queue that lost nothing.
    depth = cache(broker.depth)
    for job_id in store.due(DUE_LIMIT):
        if time.monotonic() > deadline:
            break
        moved += _move(job_id, depth)
    return moved


def _move(job_id: str, depth: Callable[[Operation], int]) -> int:
    view = store.view(job_id)
    if view is None:
        moved = _restore(job_id)
        if not moved:
            store.forget_open(job_id)
        return moved
    if view.status is Status.QUEUED:
        return _move_queued(view, depth)
    if view.status is Status.RUNNING:
        return _move_running(view)
    store.forget_open(job_id)
    return 0


def _move_queued(view: store.View, depth: Callable[[Operation], int]) -> int:
    job = view.job
    waited_s = time.time() - view.published_ms / 1000
    try:
        if depth(job.operation) and waited_s < PATIENCE_S:
            store.postpone(job.job_id, store.START_WITHIN_S, published=False)
            return 0
        broker.publish(lifecycle.message_for(job, view.attempt + 1), job.traceparent)
    except BrokerUnavailableError:
        return 0  # it stays due, and the next pass tries again
    store.postpone(job.job_id, store.START_WITHIN_S, published=True)
    metrics.count("swept", job.operation)
    return 1


def _move_running(view: store.View) -> int:
    job = view.job
    ending = ledger.read_ending(job.job_id)
    if ending is not None:
        lifecycle.restore(job, ending)
    else:
        error = WorkerDiedError("The run's lease ended without a result.")
        lifecycle.try_again(job, error, attempt=view.attempt)
    return 1


def _catch_up(deadline: float) -> int:
    """Shows what the ledger has and Redis has not: acceptances cut short, or everything after Redis came up empty."""
    restored = 0
    until = ids.first_id(int((time.time() - ACCEPTING_S) * 1000))
    listed = ledger.jobs_after(_start())
    while batch := list(islice(listed, BATCH)):
        settled = [(job_id, over) for job_id, over in batch if job_id < until]
        standings = store.standings([job_id for job_id, _ in settled])
        for (job_id, over), standing in zip(settled, standings, strict=True):
            if time.monotonic() > deadline:
                return restored
            if standing is store.Standing.UNKNOWN or (over and standing is store.Standing.OPEN):
                restored += _restore(job_id)
        if settled:
            store.note_swept(settled[-1][0])
        if len(settled) < len(batch):
            break
    else:
        store.note_swept(until)
    return restored


def _start() -> str:
    """Where the comparison begins: a stretch before the last one ended, or with the oldest job that is kept."""
    position = store.swept_to()
    oldest = ids.first_id(int((time.time() - settings().retention_days * 86_400) * 1000))
    if not position:
        return oldest
    overlap_ms = (settings().link_expiry_s + OVERLAP_S) * 1000
    return max(oldest, ids.first_id(ids.created_ms(position) - overlap_ms))


def _restore(job_id: str) -> int:
    job = ledger.read_job(job_id)
    if job is None:
        return 0
    lifecycle.restore(job, ledger.read_ending(job_id))
    return 1
