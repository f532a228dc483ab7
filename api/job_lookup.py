"""The view of a job: from Redis, which is fast, checked against the ledger, which decides."""

from darkroom.contracts.jobs import JobResult, Status
from darkroom.errors import CacheUnavailableError, JobNotFoundError, StorageUnavailableError
from darkroom.jobs import ledger, lifecycle
from darkroom.log import logger
from darkroom.services.redis import views
from darkroom.services.redis.views import View


def find_job_view(job_id: str, wait_s: float = 0) -> View:
    """The view of a job, as soon as the job has ended or after `wait_s`. Raises JobNotFoundError.

    The ledger is read for a job that is open in Redis: its result may not have reached Redis yet, and a client that was
    told a terminal status must never get another. During an outage of Redis the view comes from the ledger alone, and
    an open job counts as queued.
    """
    try:
        return _find(job_id, wait_s) or _restore(job_id, wait_s)
    except CacheUnavailableError as error:
        logger().warning("reading the ledger instead", extra={"job_id": job_id, "reason": error.message})
        job = ledger.read_job(job_id)
        if job is None:
            raise  # only Redis knows a job that waits for its upload
    return views.from_ledger(job, ledger.read_result(job_id))


def _find(job_id: str, wait_s: float) -> View | None:
    view = views.fetch(job_id)
    if view is None or view.status.terminal:
        return view
    result = _read_result(job_id)
    if result is not None:
        lifecycle.restore(view.job, result)
        return views.with_result(view, result)
    return views.wait_for_end(job_id, wait_s) if wait_s > 0 else view


def _read_result(job_id: str) -> JobResult | None:
    """The result in the ledger. During an outage of S3 the view in Redis has to suffice."""
    try:
        return ledger.read_result(job_id)
    except StorageUnavailableError as error:
        logger().warning("reading Redis alone", extra={"job_id": job_id, "reason": error.message})
        return None


def _restore(job_id: str, wait_s: float) -> View:
    """A job that Redis has lost, restored from the ledger."""
    job = ledger.read_job(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    result = ledger.read_result(job_id)
    lifecycle.restore(job, result)
    return _find(job_id, wait_s) or views.from_ledger(job, result)


def queue_position(view: View) -> int | None:
    """A queued job's position, counted from 1. None if the job is not in a queue or during an outage of Redis."""
    if view.status is not Status.QUEUED or view.awaits_upload:
        return None
    try:
        return views.position_in_queue(view.job.job_id, view.job.operation)
    except CacheUnavailableError:
        return None
