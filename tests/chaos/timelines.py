"""Checks the timeline of each job: how long a retry waits, and how soon the death of a run is noticed."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.chaos.faults.kinds import BROKER, CACHE, EMULATOR, MESSAGES, STORAGE, VIEWS, InjectedFault, killed
from tests.chaos.tracking import TrackedJob

#: The part of a retry's delay that jitter leaves, and the inaccuracy of the times.
_LEAST_SHARE = 0.5
_INACCURACY_S = 0.3

#: Seconds within which settle ends the attempt of a worker that was killed, without waiting for its lease.
NOTICED_WITHIN_S = 20.0

#: Seconds for which a fault still explains what happens: sweep publishes messages again that the broker lost.
_SLACK_S = 20.0

_KILL = "running worker killed"
_DIED = "worker_died"


def timeline_problems(
    jobs: Sequence[TrackedJob], faults: Sequence[InjectedFault], retry_delays_s: Sequence[int]
) -> tuple[list[str], list[str]]:
    """Retries that were too early; deaths of runs that were noticed too late, or that did not happen."""
    early, late = [], []
    for job in jobs:
        late += _declared_dead(job, faults)
        events = list(_events(job.document))
        for (before, event, attempt), (after, following, _) in pairwise(events):
            if event == "attempt_failed" and following in ("dispatched", "claimed"):
                delay_s = retry_delays_s[min(attempt, len(retry_delays_s)) - 1] * _LEAST_SHARE - _INACCURACY_S
                if after - before < delay_s and not _affected(faults, before - delay_s, after, MESSAGES, VIEWS, BROKER):
                    early.append(
                        f"{job.job_id}: attempt {attempt + 1} began {after - before:.2f} s after the failure, "
                        f"not {delay_s:.2f} s"
                    )
            if event == "claimed" and following == "attempt_failed":
                kills = [fault for fault in faults if fault.kind == _KILL and before <= fault.ended <= after]
                for kill in kills:
                    disturbed = _affected(faults, kill.ended, after, BROKER, CACHE, STORAGE, EMULATOR)
                    if after - kill.ended > NOTICED_WITHIN_S and not disturbed:
                        late.append(
                            f"{job.job_id}: the end of a killed run was noticed {after - kill.ended:.0f} s later"
                        )
    return early, late


def _declared_dead(job: TrackedJob, faults: Sequence[InjectedFault]) -> list[str]:
    """Attempts that ended as if their run had died, although none was killed."""
    died = [failure for failure in job.document.get("errors", []) if failure["code"] == _DIED]
    ended_at = job.ended_at or time.time()
    if died and not _affected(faults, job.accepted_at, ended_at, killed(job.operation), EMULATOR, VIEWS):
        return [f"{job.job_id} ({job.operation}): {len(died)} runs counted as died, and none was killed"]
    return []


def _events(document: dict[str, Any]) -> Iterator[tuple[float, str, int]]:
    for entry in document.get("timeline", []):
        yield datetime.fromisoformat(entry["at"]).timestamp(), entry["event"], int(entry.get("attempt") or 0)


def _affected(faults: Sequence[InjectedFault], start: float, end: float, *what: str) -> bool:
    return any(fault.overlaps(start, end, slack_s=_SLACK_S) and fault.affects & set(what) for fault in faults)
