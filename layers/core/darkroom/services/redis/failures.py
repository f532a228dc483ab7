"""Failed authentications, counted per address in windows of a minute."""

import math
from dataclasses import dataclass

from darkroom.services.redis import keys
from darkroom.services.redis.script_runner import run_script


@dataclass(frozen=True)
class FailureCount:
    """The failures of an address in the present window, and the seconds until it ends."""

    count: int
    ends_in_s: int


def count_failure(address: str) -> FailureCount:
    """Counts a failure from an address or a network. Raises CacheUnavailableError."""
    count, ends_in_ms = run_script("count_failure", [keys.failures_of(address)], [keys.FAILURES_TTL_S * 1000])
    return FailureCount(int(count), max(1, math.ceil(int(ends_in_ms) / 1000)))
