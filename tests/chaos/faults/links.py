"""Slow links, and clocks that jump."""

import time

from tests.chaos.faults.kinds import BROKER, CACHE, CLOCK, STORAGE, Context, Kind, kind
from tests.chaos.relays import Relay

#: Seconds by which a slow link delays each request.
DELAY_S = (0.3, 1.5)

#: Seconds by which a clock jumps.
JUMP_S = 3600


class Links:
    """Injects slow links and clock jumps into one deployment."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def kinds(self) -> dict[str, Kind]:
        """The kinds of faults, by name."""
        relays = self._context.relays
        return {
            "slow link to RabbitMQ": kind(lambda: self._slow_down(relays.broker), BROKER),
            "slow link to Redis": kind(lambda: self._slow_down(relays.cache), CACHE),
            "slow link to S3": kind(lambda: self._slow_down(relays.storage), STORAGE),
            "functions' clocks an hour ahead": kind(lambda: self._shift_clock(JUMP_S), CLOCK),
            "functions' clocks an hour behind": kind(lambda: self._shift_clock(-JUMP_S), CLOCK),
        }

    def _slow_down(self, relay: Relay) -> bool:
        relay.delay_s = self._context.random.uniform(*DELAY_S)
        try:
            time.sleep(self._context.brief_s() + relay.delay_s)
        finally:
            relay.delay_s = 0.0
        return True

    def _shift_clock(self, seconds: int) -> bool:
        """Shifts the clock of every function at once, also while it runs, and sets it right again."""
        self._context.deployment.shift_clock(seconds)
        try:
            time.sleep(self._context.brief_s())
        finally:
            self._context.deployment.shift_clock(0)
        return True
