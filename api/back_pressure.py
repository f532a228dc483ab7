"""Back-pressure: new jobs are refused while an operation's queue, or the memory of Redis, is full."""

from darkroom.config import settings
from darkroom.contracts.operations import Operation
from darkroom.errors import TooManyJobsError
from darkroom.services.redis import memory


def check_memory() -> None:
    """Raises CacheFullError if Redis has no room for new jobs, and CacheUnavailableError."""
    memory.require_room()


def check_queue(operation: Operation, queued: int) -> None:
    """Raises TooManyJobsError if the operation's queue, with so many jobs of all tenants, is full."""
    if queued >= settings().max_waiting:
        raise TooManyJobsError(f"The queue for {operation} is full: {queued:,} jobs. Try again later.")
