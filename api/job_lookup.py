"""The view of a job: from Redis, which is fast, checked against the ledger, which decides."""

from dataclasses import dataclass

from darkroom.contracts.jobs import Job, JobRef, Status
from darkroom.errors import CacheUnavailableError, JobNotFoundError
from darkroom.jobs import ledger, lifecycle
from darkroom.log import logger
from darkroom.services.redis import views
from darkroom.services.redis.views import View


@dataclass(frozen=True)
class FoundJob:
    """A job, and its position in the queue, counted from 1; None if it is in no queue or Redis is unavailable."""

    view: View
    queue_position: int | None = None


def find_job_view(ref: JobRef, link_id: str | None = None) -> View:
    """The view of a job. Raises JobNotFoundError, and StorageUnavailableError for a job that may have ended.

    With `link_id`, a job that did not come through that upload link is treated as one that does not exist.
    """
    return find_job(ref, link_id=link_id).view


def find_job(ref: JobRef, wait_s: float = 0, link_id: str | None = None) -> FoundJob:
    """A job, as soon as it has ended or after `wait_s`. Raises like `find_job_view`.

    The ledger is read for a job that is open in Redis: its result may not have reached Redis yet, and a client that was
    told a terminal status must never get another. Without the ledger there is no answer for such a job. During an
    outage of Redis the view comes from the ledger alone, and an open job counts as queued.
    """
    try:
        return _find_in_redis(ref, wait_s, link_id) or _find_in_ledger(ref, wait_s, link_id)
    except CacheUnavailableError as error:
        logger().warning("reading the ledger instead", extra={"job_id": ref.job_id, "reason": error.message})
        job = ledger.read_job(ref)
        if job is None or not _is_visible(job, link_id):
            raise  # only Redis knows a job that waits for its upload
    return FoundJob(views.from_ledger(job, ledger.read_result(ref)))


def _is_visible(job: Job, link_id: str | None) -> bool:
    return link_id in (None, job.link_id)


def _find_in_redis(ref: JobRef, wait_s: float, link_id: str | None) -> FoundJob | None:
    view = views.fetch(ref)
    if view is not None and not _is_visible(view.job, link_id):
        raise JobNotFoundError(ref.job_id)
    if wait_s > 0 and view is not None and not view.status.terminal and ledger.read_result(ref) is None:
        view = views.wait_for_end(ref, wait_s)
    if view is None:
        return None
    if view.status.terminal:
        return FoundJob(view)
    position = _queue_position(view)
    result = ledger.read_result(ref)  # last, so that nobody has been told of an end before that is not shown
    if result is None:
        return FoundJob(view, position)
    views.finish(view.job, result)
    return FoundJob(views.with_result(view, result))


def _find_in_ledger(ref: JobRef, wait_s: float, link_id: str | None) -> FoundJob:
    """A job that Redis does not have. One that has ended is not restored: Redis keeps ended jobs for a day only."""
    job = ledger.read_job(ref)
    if job is None or not _is_visible(job, link_id):
        raise JobNotFoundError(ref.job_id)
    result = ledger.read_result(ref)
    if result is not None:
        return FoundJob(views.from_ledger(job, result))
    lifecycle.restore(job, None)
    return _find_in_redis(ref, wait_s, link_id) or FoundJob(views.from_ledger(job, None))


def _queue_position(view: View) -> int | None:
    if view.status is not Status.QUEUED or view.awaits_upload:
        return None
    return views.position_in_queue(view.job.ref, view.job.operation)
