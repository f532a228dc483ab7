"""Samples Redis and the ledger during the run: what only shows in between."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable

import redis

from localstack.settings import Settings
from tests.chaos.deployment import IN_FLIGHT
from tests.chaos.tracking import TERMINAL

#: Seconds between two samples of the slots, and of the cursors, and between two looks at the index of open jobs.
_SLOTS_S, _CURSORS_S, _INDEX_S = 0.25, 0.02, 4.0

#: The keys of the cursors: one per kind of entry in the index.
_CURSORS = ("darkroom:cursor:jobs", "darkroom:cursor:uploads")

#: Seconds for which an ended job may keep its slot, and for which more slots than the limit may be taken.
_HELD_S, _EXCESS_S = 10.0, 3.0


class Monitor:
    """Samples until it is stopped. `unindexed` returns the open jobs that are not in the index of open jobs.

    `excess_expected` returns whether Redis lost data lately: then runs that it does not know take slots when they
    claim their jobs again. A run that claims its job after `start_within_s` takes a slot although its own has expired.
    """

    def __init__(
        self,
        settings: Settings,
        unindexed: Callable[[], list[str]],
        excess_expected: Callable[[], bool],
        start_within_s: int,
    ) -> None:
        self._url = settings.cache_url()
        self._start_within_ms = start_within_s * 1000
        self._unindexed = unindexed
        self._excess_expected = excess_expected
        self._stop = threading.Event()
        works = (
            lambda: self._sample(self._sample_slots, _SLOTS_S),
            lambda: self._sample(self._sample_cursors, _CURSORS_S),
            self._compare_all,
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        self._cursors: dict[tuple[str, str], str] = {}
        self._held_since: dict[str, float] = {}
        self._excess_since: dict[str, float] = {}
        self._reported: set[str] = set()
        self.samples = 0
        self.cursor_problems: list[str] = []
        self.slot_problems: list[str] = []
        self.index_problems: list[str] = []

    def start(self) -> None:
        """Starts sampling."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends sampling."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _sample(self, take: Callable[[redis.Redis], None], pause_s: float) -> None:
        with redis.Redis.from_url(self._url, decode_responses=True, socket_timeout=2) as cache:
            while not self._stop.wait(pause_s):
                with contextlib.suppress(redis.RedisError):  # a fault: the next sample shows what it did
                    take(cache)
                    self.samples += 1

    def _sample_cursors(self, cache: redis.Redis) -> None:
        """The position of sweep only moves forward, as long as Redis has the same data."""
        dataset, *positions = (str(text or "") for text in cache.mget("darkroom:dataset", *_CURSORS))
        for key, position in zip(_CURSORS, positions, strict=True):
            before = self._cursors.get((dataset, key), "")
            if order_of(position) < order_of(before):
                self.cursor_problems.append(f"{key} went back from {before} to {position}")
            self._cursors[dataset, key] = position

    def _sample_slots(self, cache: redis.Redis) -> None:
        now, seconds = time.time(), cache.time()
        now_ms = int(seconds[0] * 1000 + seconds[1] // 1000)
        held: dict[str, list[str]] = defaultdict(list)
        for key in cache.scan_iter("darkroom:inflight:*", count=1000):
            held[key] = [str(member) for member in cache.zrangebyscore(key, now_ms, "+inf")]
        excess = {key for key, members in held.items() if len(members) - self._late_claims(cache, members) > IN_FLIGHT}
        for key in _lasting(self._excess_since, excess, now, _EXCESS_S):
            if not self._excess_expected():
                self._report(self.slot_problems, f"{key} had {len(held[key])} slots in use, {IN_FLIGHT} exist")
        slots = {f"{key} {member}" for key, members in held.items() for member in members}
        ended = {slot for slot in slots if _field(cache, slot, "status") in TERMINAL}
        for slot in _lasting(self._held_since, ended, now, _HELD_S):
            self._report(self.slot_problems, f"{slot} kept its slot for {_HELD_S:.0f} s after its job had ended")

    def _late_claims(self, cache: redis.Redis, slots: list[str]) -> int:
        """How many of the slots belong to runs that claimed their jobs late. Looks only if there are too many slots."""
        if len(slots) <= IN_FLIGHT:
            return 0
        return sum(
            is_late(_field(cache, slot, "timeline"), int(slot.rpartition(":")[2]), self._start_within_ms)
            for slot in slots
        )

    def _report(self, problems: list[str], text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            problems.append(text)

    def _compare_all(self) -> None:
        while not self._stop.wait(_INDEX_S):
            with contextlib.suppress(Exception):  # the emulator hangs
                for job_id in self._unindexed():
                    self._report(self.index_problems, f"{job_id} is open and not in the index of open jobs")


def order_of(text: str) -> tuple[int, str]:
    """A cursor in an order: the number of the cycle, then the position in it. An empty one is where all data begin."""
    cycle, _, position = text.partition(" ")
    return int(cycle or 0), position


def is_late(timeline: str, attempt: int, start_within_ms: int) -> bool:
    """Whether the run of an attempt claimed its job after its slot had expired, by the timeline of a view."""
    at_ms = {event: int(at) for at, event, of in map(str.split, timeline.splitlines()) if int(of) == attempt}
    return "claimed" in at_ms and at_ms["claimed"] - at_ms.get("dispatched", at_ms["claimed"]) >= start_within_ms


def _field(cache: redis.Redis, slot: str, name: str) -> str:
    """A field of the view of a slot's job; empty if it has none."""
    tenant, _, job_id = slot.rpartition(" ")[2].partition(":")[0].partition("/")
    return str(cache.hget(f"darkroom:job:{tenant}:{job_id}", name) or "")


def _lasting(since: dict[str, float], present: set[str], now: float, limit_s: float) -> list[str]:
    """Those present for longer than `limit_s`. Keeps in `since` from when each has been."""
    for name in set(since) - present:
        del since[name]
    for name in present:
        since.setdefault(name, now)
    return [name for name in present if now - since[name] > limit_s]
