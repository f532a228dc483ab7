"""What every fault is made of: its kind, what it affects, and what it may use."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.clients import Clients
from tests.chaos.deployment import Deployment
from tests.chaos.probes import Prober
from tests.chaos.relays import Relays

#: What a fault can affect. The audit excuses an error only if a fault affects what the error is about.
BROKER, CACHE, STORAGE, FUNCTIONS = "broker", "cache", "storage", "functions"
#: The whole emulated AWS, the address of the API, and its function.
EMULATOR, GATEWAY, API = "emulator", "gateway", "api"
#: Data in Redis, and messages in the broker: lost, or there more than once.
VIEWS, MESSAGES = "views", "messages"
#: The clock of the functions.
CLOCK = "clock"


def killed(function: str) -> str:
    """What the kill of a function's process affects."""
    return f"killed {function}"


@dataclass(frozen=True)
class InjectedFault:
    """One fault that happened: its kind, what it affected, and when it started and ended, as `time.time()`."""

    kind: str
    affects: frozenset[str]
    started: float
    ended: float

    def overlaps(self, start: float, end: float, *, slack_s: float = 0.0) -> bool:
        """Whether it was active between two times, give or take `slack_s` after its end."""
        return self.started <= end and self.ended + slack_s >= start


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `inject` returns when what it affected is available again, and whether there was anything."""

    affects: frozenset[str]
    inject: Callable[[], bool]


def kind(inject: Callable[[], bool], *affects: str) -> Kind:
    """A kind of fault that affects all of `affects`."""
    return Kind(frozenset(affects), inject)


@dataclass(frozen=True)
class Context:
    """What faults use. `hang_s` is the shortest and the longest time for which something hangs."""

    deployment: Deployment
    relays: Relays
    s3: Any
    functions: Any
    clients: Clients
    prober: Prober
    random: random.Random
    hang_s: tuple[float, float]
    #: What must hold during a fault and did not.
    problems: list[str] = field(default_factory=list)

    def hang_time_s(self) -> float:
        """How long something hangs: longer than every time-out, if `hang_s` is."""
        return self.random.uniform(*self.hang_s)

    def brief_s(self) -> float:
        """How long a fault takes that needs no time-out to pass."""
        return self.random.uniform(3, 6)
