"""The memory of Redis: how much is used, and whether there is room for new jobs.

When it is full, Redis refuses what needs more. New jobs are refused before that, so that running ones can end.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

from darkroom.errors import CacheFullError
from darkroom.services.redis.client import map_redis_errors, redis_client

#: The share of the memory above which new jobs are refused.
NEW_JOBS_BELOW = 0.8

#: Seconds for which a process relies on the last figures.
_KNOWN_FOR_S = 3


@dataclass(frozen=True)
class MemoryUse:
    """The used bytes, and the most that Redis may use; 0 if it has no limit."""

    used_bytes: int
    max_bytes: int

    @property
    def share(self) -> float:
        """The used share of the memory, from 0; 0 without a limit."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0


def memory_use() -> MemoryUse:
    """How much memory Redis uses. Raises CacheUnavailableError."""
    with map_redis_errors():
        figures = redis_client().info("memory")
    return MemoryUse(int(figures["used_memory"]), int(figures.get("maxmemory", 0)))


def require_room() -> None:
    """Raises CacheFullError if there is no room for new jobs, and CacheUnavailableError. Asks every few seconds."""
    share = _recent_share(int(time.monotonic() / _KNOWN_FOR_S))
    if share >= NEW_JOBS_BELOW:
        raise CacheFullError(f"{share:.0%} of the status cache's memory is used.")


@lru_cache(maxsize=1)
def _recent_share(_interval: int) -> float:
    return memory_use().share
