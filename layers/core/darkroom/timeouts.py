"""How long a call to a dependency may take, in seconds. An API request has less time than the other functions.

A limit is always shorter than the time of the function that waits, so that a dependency that hangs is an outage and
not a time-out of the function.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """The limits of one kind of function. All are in seconds, except `storage_attempts`.

    `storage_read_s` and `cache_s` limit the wait for a response, `broker_s` a whole request to RabbitMQ. After a
    failure, the cache and the broker count as unavailable for `pause_s`, without another attempt.
    """

    connect_s: float
    storage_read_s: float
    storage_attempts: int
    cache_s: float
    broker_s: float
    pause_s: float


#: For functions that nobody waits for: runs, dispatch, settle, sweep, ingest.
BACKGROUND = Timeouts(connect_s=3, storage_read_s=10, storage_attempts=3, cache_s=5, broker_s=5, pause_s=0)

#: For the API, which responds within 5 s even while one dependency hangs.
INTERACTIVE = Timeouts(connect_s=1, storage_read_s=1.5, storage_attempts=2, cache_s=1, broker_s=2, pause_s=5)

_current = BACKGROUND


def use_timeouts(timeouts: Timeouts) -> None:
    """Sets the limits of this process. Clients that were made before keep theirs."""
    global _current
    _current = timeouts


def current_timeouts() -> Timeouts:
    """The limits of this process."""
    return _current
