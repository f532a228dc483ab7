"""The rate of a tenant's requests: a token bucket."""

from dataclasses import dataclass

from darkroom.services.redis import keys
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
