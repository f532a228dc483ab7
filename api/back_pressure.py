"""Back-pressure: new jobs are refused while an operation's queue is full."""

from darkroom.config import settings
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheUnavailableError, TooManyJobsError
from darkroom.services.redis import views


def check_queue(operation: Operation) -> None:
    """Raises TooManyJobsError if the operation's queue is full.

    During an outage of Redis the number of queued jobs is unknown and every job is accepted: the ledger and the broker
    hold any number.
    """
    limit = settings().max_waiting
    try:
        queued = views.count_queued(operation)
    except CacheUnavailableError:
        return
    if queued >= limit:
        raise TooManyJobsError(f"The queue for {operation} is full: {queued:,} jobs. Try again later.")
