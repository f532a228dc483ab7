"""Whose turn it is: the Lua scripts in a real Redis against a model of the rule, after any steps in any order."""

import time
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from darkroom.contracts.jobs import Job, Priority, Status
from darkroom.contracts.tenants import UNLIMITED
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from tests.integration.redis_jobs import claim, finish, release, requeue
from tests.integration.turns import MANY, RESIZE, acquire, message_of, move_time, new_job
from tests.integration.turns_model import REMEMBERED, Attempt, Model, ModelJob

TENANTS = [f"tenant-{number}" for number in range(4)]


class Turns(RuleBasedStateMachine):
    """Every change of state of queued jobs, in any order. Redis and the model must give every message the same."""

    def __init__(self) -> None:
        super().__init__()
        redis_client().flushdb()
        self.model = Model(limit=5)
        self.jobs: dict[str, Job] = {}
        self.made = 0

    def _tick(self) -> None:
        """Redis orders what happens by milliseconds."""
        time.sleep(0.0015)
        self.model.now += 1

    def _pick(self, number: int, status: str) -> Job | None:
        found = [job_id for job_id, job in self.model.jobs.items() if job.status == status]
        return self.jobs[found[number % len(found)]] if found else None

    @rule(
        tenants=st.lists(st.sampled_from(TENANTS), min_size=1, max_size=4),
        priority=st.sampled_from(["normal", "normal", "batch"]),
    )
    def accept(self, tenants: list[str], priority: Priority) -> None:
        for tenant in tenants:
            self._accept(tenant, priority)

    def _accept(self, tenant: str, priority: Priority) -> None:
        self._tick()
        job = new_job(tenant, priority)
        views.create(job)
        self.made += 1
        self.jobs[job.job_id] = job
        model_job = ModelJob(tenant, (priority == "batch", self.made), ready=False)
        self.model.jobs[job.job_id] = model_job
        self.model.make_ready(job.job_id)

    @precondition(lambda self: self.jobs)
    @rule(which=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=6))
    def deliver(self, which: list[tuple[int, int]]) -> None:
        """Messages arrive: of any jobs, again and again, and of attempts that were made long ago."""
        self._tick()
        known = list(self.jobs)
        messages: list[Attempt] = []
        for number, late in which:
            job_id = known[number % len(known)]
            messages.append((job_id, max(1, self.model.jobs[job_id].attempt + 1 - late)))
        turns = acquire(*(message_of(self.jobs[job_id], attempt) for job_id, attempt in messages), limit=5)
        got = [(str(turn.slot), (turn.start.job_id, turn.start.attempt) if turn.start else None) for turn in turns]
        assert got == self.model.give(messages)
        for turn in turns:
            assert turn.start is None or turn.traceparent == self.jobs[turn.start.job_id].traceparent

    @precondition(lambda self: self.model.given)
    @rule(which=st.integers(0, 9))
    def start(self, which: int) -> None:
        """A run claims its job."""
        self._tick()
        job_id, attempt = sorted(self.model.given)[which % len(self.model.given)]
        assert claim(self.jobs[job_id], attempt=attempt, run=f"run-{attempt}").outcome == "claimed"
        del self.model.given[job_id, attempt]
        self.model.jobs[job_id].status, self.model.jobs[job_id].attempt = "running", attempt

    @rule(which=st.integers(0, 9))
    def end(self, which: int) -> None:
        self._tick()
        job = self._pick(which, "running")
        if job is not None:
            attempt = self.model.jobs[job.job_id].attempt
            finish(job, run=f"run-{attempt}", attempt=attempt)
            self._remove(job.job_id)

    @rule(which=st.integers(0, 40))
    def cancel(self, which: int) -> None:
        self._tick()
        job = self._pick(which, "queued")
        if job is not None:
            finish(job, Status.CANCELED, run="none", attempt=self.model.jobs[job.job_id].attempt)
            self._remove(job.job_id)

    def _remove(self, job_id: str) -> None:
        self.model.jobs[job_id].status, self.model.jobs[job_id].ready = "ended", False
        self.model.jobs[job_id].ready_at = None
        self.model.slots = {slot for slot in self.model.slots if slot[0] != job_id}
        self.model.given = {slot: owner for slot, owner in self.model.given.items() if slot[0] != job_id}

    @rule(which=st.integers(0, 9))
    def fail(self, which: int) -> None:
        """An attempt fails, and the job waits before the next one."""
        self._tick()
        job = self._pick(which, "running")
        if job is not None:
            attempt = self.model.jobs[job.job_id].attempt
            assert requeue(job, attempt=attempt, run=f"run-{attempt}", delay_s=60)
            self.model.slots.discard((job.job_id, attempt))
            self.model.jobs[job.job_id].status = "queued"
            self.model.jobs[job.job_id].ready_at = self.model.now + 60_000

    @precondition(lambda self: self.model.given)
    @rule(which=st.integers(0, 9))
    def refuse(self, which: int) -> None:
        """Lambda refuses to start a run."""
        self._tick()
        job_id, attempt = sorted(self.model.given)[which % len(self.model.given)]
        release(self.jobs[job_id], attempt)
        self.model.slots.discard((job_id, attempt))
        del self.model.given[job_id, attempt]
        self.model.make_ready(job_id)

    @precondition(lambda self: self.model.given)
    @rule(which=st.integers(0, 9))
    def lose_run(self, which: int) -> None:
        """A slot expires before a run claims its job."""
        self._tick()
        job_id, attempt = sorted(self.model.given)[which % len(self.model.given)]
        redis_client().zadd(keys.slots_of(RESIZE), {keys.slot_of(self.jobs[job_id].ref, attempt): 1})
        self.model.slots.discard((job_id, attempt))
        del self.model.given[job_id, attempt]
        self.model.jobs[job_id].ready_at = self.model.now

    @rule(tenant=st.sampled_from(TENANTS), most=st.sampled_from([None, 1, 2]))
    def limit(self, tenant: str, most: int | None) -> None:
        """The API accepts another job with a new limit of the tenant."""
        self._tick()
        job = new_job(tenant)
        views.await_upload(job, expires_s=60, quotas=UNLIMITED.model_copy(update={"in_flight_jobs": most}))
        self.model.limits.pop(tenant, None)
        if most:
            self.model.limits[tenant] = most

    @rule(ms=st.sampled_from([40_000, 70_000, int(REMEMBERED) + 1000]))
    def wait(self, ms: int) -> None:
        move_time(ms)
        self.model.now += ms

    @invariant()
    def same_jobs_are_ready(self) -> None:
        in_redis = {
            job_id: position
            for job_id, job in self.jobs.items()
            if (position := views.position_in_queue(job.ref, RESIZE)) is not None
        }
        expected: dict[str, int] = {}
        for tenant in TENANTS:
            mine = [name for name, job in self.model.jobs.items() if job.ready and job.tenant == tenant]
            ordered = sorted(mine, key=lambda name: self.model.jobs[name].place)
            expected |= {name: number for number, name in enumerate(ordered, 1)}
        assert in_redis == expected
        listed = set(redis_client().zrange(keys.ready_tenants_of(RESIZE), 0, -1))
        assert listed == {self.model.jobs[job_id].tenant for job_id in expected}

    @invariant()
    def every_queued_job_is_in_one_place(self) -> None:
        redis: Any = redis_client()
        slots_taken = {member.split("/")[1].split(":")[0] for member in redis.zrange(keys.slots_of(RESIZE), 0, -1)}
        delayed = {member.split("/")[1] for member in redis.zrange(keys.delayed_jobs_of(RESIZE), 0, -1)}
        for job_id, job in self.jobs.items():
            places = [
                views.position_in_queue(job.ref, RESIZE) is not None,
                job_id in delayed,
                job_id in slots_taken,
            ]
            status = self.model.jobs[job_id].status
            assert sum(places) == (0 if status == "ended" else 1), (job_id, status, places)

    def teardown(self) -> None:
        """With one message for each queued job, in any order, every job starts, and nothing is left."""
        self.model.limits.clear()
        redis_client().delete(*(keys.most_in_flight_of(tenant) for tenant in TENANTS))
        self.wait(100_000)
        for _ in range(len(self.jobs) + 1):
            for slot in list(self.model.given):
                self.start(sorted(self.model.given).index(slot))
            while self._pick(0, "running"):
                self.end(0)
            waiting = [job_id for job_id, job in self.model.jobs.items() if job.status == "queued"]
            if not waiting:
                break
            self.deliver([(list(self.jobs).index(waiting[0]), 0)] * len(waiting[:5]))
        assert {job.status for job in self.model.jobs.values()} <= {"ended"}
        redis: Any = redis_client()
        kept = (keys.VIEW_PREFIX, "darkroom:jobs:", "darkroom:usage:", keys.CHANGED_USAGE)
        left = {key for key in redis.keys("*") if not key.startswith(kept)}
        assert left <= {keys.CLEANUPS, keys.served_tenants_of(RESIZE), keys.freed_slots_of(RESIZE)}


def test_scripts_follow_the_rule_after_any_steps() -> None:
    run_state_machine_as_test(Turns, settings=MANY)
