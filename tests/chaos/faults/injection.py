"""Injects faults of every kind, one at a time."""

import random
import time
from itertools import zip_longest

from tests.chaos.faults.hangs import Hangs
from tests.chaos.faults.kills import Kills
from tests.chaos.faults.kinds import Context, InjectedFault, Kind
from tests.chaos.faults.limits import Limits
from tests.chaos.faults.links import Links
from tests.chaos.faults.refusals import Refusals
from tests.chaos.faults.repeats import Repeats


class Faults:
    """Injects faults into one deployment. `kinds` has every kind by name, or those that contain one of `only`."""

    def __init__(self, context: Context, only: tuple[str, ...] = ()) -> None:
        self._repeats = Repeats(context)
        groups = (Kills(context), Hangs(context), Limits(context), Links(context), Refusals(context), self._repeats)
        self._groups = [group.kinds() for group in groups]
        known = {name: kind for kinds in self._groups for name, kind in kinds.items()}
        unknown = [part for part in only if not any(part in name for name in known)]
        if unknown:
            raise ValueError(f"no kind of fault contains {unknown}; there are: {', '.join(known)}")
        self.kinds: dict[str, Kind] = {
            name: kind for name, kind in known.items() if not only or any(part in name for part in only)
        }
        self.problems = context.problems

    def prepare(self) -> None:
        """What some faults need from before the run."""
        self._repeats.prepare()

    def shuffled(self, randomness: random.Random) -> list[str]:
        """Every kind once. Taken from the end, a part of them has kinds of all subjects."""
        groups = [[name for name in kinds if name in self.kinds] for kinds in self._groups]
        for group in groups:
            randomness.shuffle(group)
        turns = zip_longest(*(group for group in groups if group))
        return [name for turn in turns for name in turn if name is not None][::-1]

    def inject(self, name: str) -> InjectedFault | None:
        """Causes one fault. Returns None when there was nothing that it could affect."""
        kind = self.kinds[name]
        started = time.time()
        return InjectedFault(name, kind.affects, started, time.time()) if kind.inject() else None
