"""How many runs fit into an account's quota of concurrent executions of Lambda.

Every environment counts: those of runs, of the API, and of the functions around the operations. Where the quota is used
up, nothing is lost, but the API responds with 503 and jobs start late.
"""

from dataclasses import dataclass

from darkroom.contracts.operations import Concurrency, Operation

#: The quota of a new account, and that of others unless they asked for more.
NEW_ACCOUNT = 10
USUAL = 1000

#: Environments that Lambda keeps unreserved in an account with the usual quota.
UNRESERVED = 100

#: Runs per operation beyond which the defaults of `make deploy` do not go, whatever the quota is.
MOST_IMAGE = 50
MOST_VIDEO = 20

#: One dispatch per event source mapping, settle of dead letters and of failed runs, sweep and topology.
_AROUND = len(Operation) + 4

#: A fifth of the quota, for the API and ingest.
_API_SHARE = 5


@dataclass(frozen=True)
class InFlight:
    """The parameters ImageInFlight and VideoInFlight."""

    image: int
    video: int

    @property
    def runs(self) -> int:
        """Runs at the same time, over all operations."""
        return self.image * _count(Concurrency.IMAGE) + self.video * _count(Concurrency.VIDEO)

    def fits(self, quota: int) -> bool:
        """Whether the API and the functions around the operations have enough environments beside the runs."""
        return self.runs <= _for_runs(quota)


def largest(quota: int) -> InFlight:
    """The most runs that fit into a quota, five of an image operation for two of a video operation; at least one."""
    weight = InFlight(5, 2).runs
    parts = _for_runs(quota) / weight
    return InFlight(max(1, min(MOST_IMAGE, int(5 * parts))), max(1, min(MOST_VIDEO, int(2 * parts))))


def needed(in_flight: InFlight) -> int:
    """The smallest quota into which so many runs fit."""
    quota = in_flight.runs + _AROUND
    while not in_flight.fits(quota):
        quota += 1
    return quota


def _for_runs(quota: int) -> int:
    return quota - _AROUND - quota // _API_SHARE


def _count(concurrency: Concurrency) -> int:
    return sum(operation.concurrency == concurrency for operation in Operation)
