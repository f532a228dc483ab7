"""The rule by which a message gets its job, written down a second time, as simply as possible.

Times are numbers without a unit. `now` must be advanced before every step.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import inf

#: After this time, the last service of a tenant that has no ready jobs is forgotten.
REMEMBERED = 3_600_000.0

#: A message, or a slot: a job and the number of the attempt.
Attempt = tuple[str, int]


@dataclass
class ModelJob:
    """A job. `attempt` is the last one that began; `place` is its place among the jobs of its tenant."""

    tenant: str
    place: tuple[bool, int]
    status: str = "queued"
    attempt: int = 0
    ready: bool = True
    ready_at: float | None = None


@dataclass
class Model:
    """The jobs, the slots and the tenants of one operation."""

    limit: int
    now: float = 0.0
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    slots: set[Attempt] = field(default_factory=set)
    #: The message that got each slot which no run has claimed.
    given: dict[Attempt, Attempt] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    #: When each tenant was served last, as far as it is remembered, and what counts while it has ready jobs.
    served: dict[str, float] = field(default_factory=dict)
    counted: dict[str, float] = field(default_factory=dict)

    def make_ready(self, job_id: str) -> None:
        """A queued job may start."""
        job = self.jobs[job_id]
        tenant_waits = any(other.ready and other.tenant == job.tenant for other in self.jobs.values())
        if not tenant_waits:
            self.counted[job.tenant] = max(self.served.get(job.tenant, -inf), self.now - REMEMBERED)
        job.ready, job.ready_at = True, None

    def give(self, messages: list[Attempt]) -> list[tuple[str, Attempt | None]]:
        """What each of the messages gets: an outcome, and the attempt to start."""
        for job_id, job in sorted(self.jobs.items(), key=lambda item: (item[1].ready_at or 0, item[0])):
            if job.ready_at is not None and job.ready_at <= self.now:
                self.make_ready(job_id)
        reasons = [self._consider(*message) for message in messages]
        before = dict(self.given)
        answers = []
        for message, reason in zip(messages, reasons, strict=True):
            self.now += 0.0001
            answers.append(self._give(message, reason, before))
        return answers

    def _consider(self, job_id: str, attempt: int) -> str:
        job = self.jobs[job_id]
        if job.status == "ended":
            return "ended"
        if (
            job.status == "queued"
            and attempt == job.attempt + 1
            and not job.ready
            and (job_id, attempt) not in self.slots
        ):
            self.make_ready(job_id)
        return "stale"

    def _give(self, message: Attempt, reason: str, before: dict[Attempt, Attempt]) -> tuple[str, Attempt | None]:
        for slot, owner in before.items():
            if owner == message:
                del before[slot]
                return "held", slot
        ready = [job_id for job_id, job in self.jobs.items() if job.ready]
        if not ready:
            return reason, None
        in_flight = Counter(self.jobs[job_id].tenant for job_id, _ in self.slots)
        tenants = {self.jobs[job_id].tenant for job_id in ready}
        allowed = [tenant for tenant in tenants if in_flight[tenant] < self.limits.get(tenant, inf)]
        if len(self.slots) >= self.limit or not allowed:
            return "full", None
        tenant = min(allowed, key=lambda name: (in_flight[name], self.counted[name]))
        mine = [job_id for job_id in ready if self.jobs[job_id].tenant == tenant]
        job_id = min(mine, key=lambda name: self.jobs[name].place)
        job = self.jobs[job_id]
        job.ready = False
        self.served[tenant] = self.counted[tenant] = self.now
        slot = (job_id, job.attempt + 1)
        self.slots.add(slot)
        self.given[slot] = message
        return "acquired", slot
