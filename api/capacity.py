"""Back-pressure: more jobs than the service can keep up with are refused at the door, not left to time out."""

from darkroom.config import settings
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheUnavailableError, TooManyJobsError
from darkroom.services.redis import views


def require(operation: Operation) -> None:
    """Raises TooManyJobsError while as many jobs of the operation wait as may.

    Without Redis nobody knows how many wait; the job is let in then, since the ledger and the broker hold any number.
    """
    limit = settings().max_waiting
    try:
        waiting = views.count_queued(operation)
    except CacheUnavailableError:
        return
    if waiting >= limit:
        raise TooManyJobsError(f"{waiting:,} jobs of {operation} wait already, which is the limit. Try again later.")
