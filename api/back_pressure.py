"""Back-pressure: new jobs are refused while an operation's queue, or the memory of Redis, is full."""

from darkroom.config import settings
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheFullError, CacheUnavailableError, TooManyJobsError
from darkroom.services.redis import memory, views


def check_capacity(operation: Operation) -> None:
    """Raises TooManyJobsError if the operation's queue is full, and CacheFullError if Redis has no room for new jobs.

    During an outage of Redis neither is known and every job is accepted: the ledger and the broker hold any number.
    """
    limit = settings().max_waiting
    try:
        memory.require_room()
        queued = views.count_queued(operation)
    except CacheFullError:
        raise
    except CacheUnavailableError:
        return
    if queued >= limit:
        raise TooManyJobsError(f"The queue for {operation} is full: {queued:,} jobs. Try again later.")
