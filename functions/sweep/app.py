"""Sweep: every minute, whatever is stuck moves again.

Three passes: open jobs whose time has come, jobs that the ledger has and Redis has not, and, after Redis came up
empty, the whole view.
"""

import time
from collections.abc import Callable
from functools import cache

from darkroom import broker, events, ids, ledger, lifecycle, metrics, store
from darkroom.config import settings
from darkroom.contracts import Operation, Status
from darkroom.errors import BrokerUnavailableError, WorkerDiedError
from darkroom.log import logger

#: Jobs looked at in one pass, at most.
DUE_LIMIT = 500

#: The stretch of the ledger that is compared with Redis each minute: older gaps wait for a rebuild.
WINDOW_S = 15 * 60

#: Seconds that an acceptance may take; a younger job without a record is still being accepted.
ACCEPTING_S = 30

#: Seconds after which a queued job is published again although its queue is not empty.
PATIENCE_S = 15 * 60

#: Milliseconds kept back at the end of a run.
RESERVE_MS = 5_000


def handler(_event: object, context: events.LambdaContext) -> dict[str, int]:
    """One pass. Returns what it did, for the log."""
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    done = {"moved": _move_due(deadline), "found": _find_missing(deadline), "rebuilt": _rebuild(deadline)}
    logger().info("swept", extra=done)
    return done


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
        store.end(job.job_id, job.operation, ending)
    else:
        error = WorkerDiedError("The run's lease ended without a result.")
        lifecycle.try_again(job, error, attempt=view.attempt)
    return 1


def _find_missing(deadline: float) -> int:
    """Jobs whose acceptance was cut short: in the ledger, but not in Redis."""
    now = time.time()
    since_ms, until_ms = int((now - WINDOW_S) * 1000), int((now - ACCEPTING_S) * 1000)
    recent = [(job_id, over) for job_id, over in ledger.jobs_since(since_ms) if ids.created_ms(job_id) <= until_ms]
    views = store.views([job_id for job_id, _ in recent])
    found = 0
    for (job_id, over), view in zip(recent, views, strict=True):
        if time.monotonic() > deadline:
            break
        if view is None or view.awaits_upload or (over and not view.status.terminal):
            found += _restore(job_id)
    return found


def _rebuild(deadline: float) -> int:
    """After Redis came up empty: shows everything that the ledger keeps again, over as many runs as it takes."""
    position = store.build_position()
    if position == store.BUILT:
        return 0
    oldest = ids.first_id(int((time.time() - settings().retention_days * 86_400) * 1000))
    rebuilt = 0
    for job_id, _over in ledger.jobs_after(max(position, oldest)):
        if time.monotonic() > deadline:
            return rebuilt
        rebuilt += _restore(job_id)
        store.note_built(job_id)
    store.note_built(store.BUILT)
    return rebuilt


def _restore(job_id: str) -> int:
    job = ledger.read_job(job_id)
    if job is None:
        return 0
    lifecycle.restore(job, ledger.read_ending(job_id))
    return 1
