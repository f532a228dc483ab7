"""The rate of a tenant's requests: a token bucket."""

import math
from dataclasses import dataclass

from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.script_runner import run_script

#: Seconds whose requests may come at once.
BURST_S = 10

_SECOND_US = 1_000_000


@dataclass(frozen=True)
class Tokens:
    """The bucket after a request. `wait_s` is the time until the next token, 0 if one is left; `full_s` until all are.

    `taken` says whether there was a token for the request.
    """

    taken: bool
    left: int
    wait_s: float
    full_s: float


def take(tenant: str, *, rate: int) -> Tokens:
    """Takes a token for a request of a tenant that may make `rate` requests a second. Raises CacheUnavailableError."""
    taken, left, wait_us, full_us = run_script("take_request", [keys.requests_of(tenant)], [rate, rate * BURST_S])
    return Tokens(bool(taken), left, wait_us / _SECOND_US, full_us / _SECOND_US)


def count_taken(tenant: str, *, rate: int) -> int:
    """How many tokens are missing in the bucket of a tenant that may make `rate` requests a second."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.get(keys.requests_of(tenant))
        (seconds, micros), full_us = pipe.execute()
    now_us = int(seconds) * _SECOND_US + int(micros)
    missing_us = max(0, int(full_us or 0) - now_us)
    return min(rate * BURST_S, math.ceil(missing_us * rate / _SECOND_US))
