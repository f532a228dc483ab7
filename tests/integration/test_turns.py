"""Whose turn it is: the Lua scripts in a real Redis against a model of the rule, and what the rule promises."""

import os
import time
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from darkroom import ids
from darkroom.contracts.jobs import FileSource, Job, Message, Priority, Status
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import UNLIMITED
from darkroom.services.redis import keys, leases, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.slots import Slot, Turn
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from tests.integration.redis_jobs import claim, finish, release, requeue
from tests.integration.turns_model import REMEMBERED, Attempt, Model, ModelJob

RESIZE = Operation.RESIZE

TENANTS = [f"tenant-{number}" for number in range(4)]
EXAMPLES = int(os.environ.get("DARKROOM_MODEL_EXAMPLES", "60"))

MANY = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    derandomize="DARKROOM_MODEL_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


def new_job(tenant: str, priority: Priority = "normal") -> Job:
    return Job(
        job_id=ids.new_id(),
        tenant=tenant,
        operation=RESIZE,
        params={"width": 10},
        source=FileSource(file_id=ids.new_id()),
        created_at=utc_now(),
        traceparent=new_traceparent(),
        priority=priority,
    )


def message_of(job: Job, attempt: int = 1) -> Message:
    return Message(job_id=job.job_id, tenant=job.tenant, operation=job.operation, attempt=attempt)


def permits(count: int) -> list[Message]:
    """Messages of a job that has ended, so that they start jobs of others only."""
    ended = new_job("ended")
    create(ended)
    finish(ended)
    return [message_of(ended, attempt) for attempt in range(1, count + 1)]


def acquire(*messages: Message, limit: int = 1000) -> list[Turn]:
    return slots.acquire(messages, RESIZE, limit=limit)


def started(turns: list[Turn]) -> list[str]:
    """The ids of the jobs that messages got."""
    return [turn.start.job_id for turn in turns if turn.start]


def create(*jobs: Job, most_in_flight: int | None = None) -> None:
    for job in jobs:
        views.create(job, quotas=UNLIMITED.model_copy(update={"in_flight_jobs": most_in_flight}))


def move_time(ms: float) -> None:
    """Makes everything that Redis has of the operation's waiting jobs this much older."""
    redis: Any = redis_client()
    timed = [keys.ready_tenants_of(RESIZE), keys.served_tenants_of(RESIZE), keys.delayed_jobs_of(RESIZE)]
    for key in timed:
        for member in redis.zrange(key, 0, -1):
            redis.zincrby(key, -ms, member)


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

    @rule(tenant=st.sampled_from(TENANTS), priority=st.sampled_from(["normal", "normal", "batch"]))
    def accept(self, tenant: str, priority: Priority) -> None:
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
        self.accept(tenant, "normal")
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
        left = {key for key in redis.keys("*") if not key.startswith((keys.VIEW_PREFIX, "darkroom:jobs:"))}
        assert left <= {keys.CLEANUPS, keys.served_tenants_of(RESIZE), keys.freed_slots_of(RESIZE)}


def test_scripts_follow_the_rule_after_any_steps() -> None:
    run_state_machine_as_test(Turns, settings=MANY)


def test_single_job_of_another_tenant_gets_the_next_slot_whoever_sent_the_message() -> None:
    flood = [new_job("flood") for _ in range(50)]
    create(*flood)
    acquire(*(message_of(job) for job in flood[:4]), limit=4)
    quiet = new_job("quiet")
    create(quiet)
    finish(flood[0])

    (turn,) = acquire(message_of(flood[4]), limit=4)

    assert (turn.slot, turn.start, turn.traceparent) == (Slot.ACQUIRED, message_of(quiet), quiet.traceparent)
    assert acquire(message_of(flood[5]), limit=4)[0].slot is Slot.FULL


@MANY
@given(
    others=st.integers(0, 6),
    slots_in_all=st.integers(1, 4),
    arrivals=st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=12, max_size=12),
)
def test_job_of_a_tenant_without_slots_waits_for_one_service_of_each_other_tenant_at_most(
    others: int, slots_in_all: int, arrivals: list[list[int]]
) -> None:
    """Whatever the others send: so every job starts, however full the operation is."""
    redis_client().flushdb()
    names = [f"other-{number}" for number in range(others + 1)]
    pending = [new_job(name) for name in names for _ in range(3)]
    create(*pending)
    quiet = new_job("quiet")
    create(quiet)
    running: list[Message] = []
    services: Counter[str] = Counter()
    for coming in arrivals:
        create(*(new_job(names[number % len(names)]) for number in coming))
        while len(running) >= slots_in_all:  # one of the runs ends
            ended = running.pop(0)
            view = views.fetch(ended.ref)
            assert view is not None
            claim(view.job)
            finish(view.job)
        turns = acquire(*permits(slots_in_all), limit=slots_in_all)
        runs = [turn.start for turn in turns if turn.start]
        if any(run.tenant == "quiet" for run in runs):
            return
        services.update(run.tenant for run in runs)
        assert max(services.values(), default=0) <= 1, services
        running += runs
    raise AssertionError(f"it did not start: {services}")


def test_jobs_of_a_tenant_start_in_their_order_and_batch_jobs_after_all_others() -> None:
    made = [new_job("a", priority) for priority in ("batch", "normal", "batch", "normal", "normal")]
    create(*made)

    assert [views.position_in_queue(job.ref, RESIZE) for job in made] == [4, 1, 5, 2, 3]
    order = started(acquire(*map(message_of, made)))
    assert order == [made[number].job_id for number in (1, 3, 4, 0, 2)]


def test_batch_job_is_not_behind_the_normal_jobs_of_another_tenant() -> None:
    waiting, others = new_job("a", "batch"), [new_job("b") for _ in range(3)]
    create(*others, waiting)

    assert started(acquire(message_of(others[0]), message_of(others[1]))) == [others[0].job_id, waiting.job_id]


def test_tenant_at_its_own_limit_waits_and_delays_nobody_else() -> None:
    limited, other = [new_job("limited") for _ in range(4)], new_job("other")
    create(*limited, most_in_flight=2)
    create(other)

    turns = acquire(*map(message_of, limited))

    assert [turn.slot for turn in turns] == [Slot.ACQUIRED] * 3 + [Slot.FULL]
    assert started(turns) == [limited[0].job_id, other.job_id, limited[1].job_id]
    finish(limited[0])
    assert started(acquire(*permits(2))) == [limited[2].job_id]
    create(new_job("limited"))  # the limit is gone
    assert started(acquire(*permits(1))) == [limited[3].job_id]


def test_first_job_of_a_tenant_wakes_a_dispatcher_that_waits_for_the_limit_of_another() -> None:
    limited, other = [new_job("limited") for _ in range(2)], new_job("other")
    create(*limited, most_in_flight=1)
    assert acquire(*map(message_of, limited))[1].slot is Slot.FULL
    began = time.monotonic()
    slots.wait_until_freed([RESIZE], 0.2)
    assert time.monotonic() - began >= 0.2

    create(other)

    slots.wait_until_freed([RESIZE], 2)
    assert time.monotonic() - began < 1
    assert started(acquire(message_of(limited[1]))) == [other.job_id]


def test_retry_starts_after_its_delay_and_not_earlier_with_the_message_of_another_job() -> None:
    failed, other = new_job("a"), new_job("a")
    create(failed)
    acquire(message_of(failed))
    claim(failed)
    requeue(failed, delay_s=60)
    create(other)

    assert started(acquire(*permits(2))) == [other.job_id]
    assert views.position_in_queue(failed.ref, RESIZE) is None
    move_time(59_000)
    assert started(acquire(*permits(1), message_of(failed, 1))) == []
    move_time(2_000)
    assert acquire(*permits(1))[0].start == message_of(failed, 2)


def test_retry_starts_when_its_own_message_arrives() -> None:
    failed = new_job("a")
    create(failed)
    acquire(message_of(failed))
    claim(failed)
    requeue(failed, delay_s=60)

    assert acquire(message_of(failed, 2))[0].start == message_of(failed, 2)


def test_restored_job_starts_with_its_own_message_only_while_a_run_may_be_in_flight() -> None:
    restored, other = new_job("a"), new_job("b")
    views.create(restored, restored=True, due_in_s=30)
    create(other)

    assert started(acquire(*permits(3))) == [other.job_id]
    move_time(31_000)
    assert started(acquire(*permits(1))) == [restored.job_id]


def test_message_that_is_delivered_again_gets_the_same_job_until_a_run_claims_it() -> None:
    flood, quiet = [new_job("flood") for _ in range(3)], new_job("quiet")
    create(*flood)
    acquire(message_of(flood[0]))
    create(quiet)
    (first,) = acquire(message_of(flood[1]))
    assert first.start == message_of(quiet)

    again = acquire(message_of(flood[1]), message_of(flood[1]))

    assert [turn.slot for turn in again] == [Slot.HELD, Slot.ACQUIRED]
    assert started(again) == [quiet.job_id, flood[1].job_id]
    claim(quiet)
    assert started(acquire(message_of(flood[1]), message_of(flood[1]))) == [flood[1].job_id, flood[2].job_id]


def test_message_of_a_job_that_redis_does_not_know_starts_that_job() -> None:
    unknown, other = new_job("a"), new_job("b")
    create(other)

    (turn,) = acquire(message_of(unknown, 3), limit=1)

    assert (turn.slot, turn.start, turn.traceparent) == (Slot.ACQUIRED, message_of(unknown, 3), "")
    assert acquire(message_of(unknown, 3), limit=1)[0].slot is Slot.HELD
    assert acquire(message_of(other), limit=1)[0].slot is Slot.FULL


def test_attempts_go_on_where_the_message_is_although_redis_lost_the_view() -> None:
    job = new_job("a")
    views.create(job, restored=True)

    assert acquire(message_of(job, 4))[0].start == message_of(job, 4)
    assert claim(job, attempt=4).outcome == "claimed"


def test_job_whose_run_was_refused_starts_again_with_any_message() -> None:
    refused, other = new_job("a"), new_job("b")
    create(refused, other)
    acquire(message_of(refused))

    release(refused)

    assert set(started(acquire(*permits(3)))) == {refused.job_id, other.job_id}


def test_late_release_does_not_queue_a_job_that_runs_or_has_ended() -> None:
    running, ended = new_job("a"), new_job("a")
    create(running, ended)
    claim(running)
    finish(ended)

    release(running)
    release(ended)

    assert acquire(message_of(running), message_of(ended)) == [Turn(Slot.STALE), Turn(Slot.ENDED)]
    assert slots.in_flight()[RESIZE] == 0


def test_run_that_adopts_a_restored_job_takes_it_from_the_ready_ones() -> None:
    job = new_job("a")
    views.create(job, restored=True)
    move_time(10**7)

    leases.report_progress(job, "a-run", 0.5, attempt=2, lease_ms=60_000)

    assert acquire(message_of(job)) == [Turn(Slot.STALE)]
    assert not redis_client().exists(keys.ready_tenants_of(RESIZE), keys.delayed_jobs_of(RESIZE))


def test_tenant_that_comes_back_again_and_again_is_no_newcomer_each_time() -> None:
    """One job at a time, always the only one of its tenant: the jobs of others must get the slot in between."""
    flood = [new_job("flood") for _ in range(3)]
    create(*flood)
    served = []
    for _ in range(6):
        job = new_job("returning")
        create(job)
        (turn,) = acquire(*permits(1), limit=1)
        assert turn.start
        served.append(turn.start.tenant)
        view = views.fetch(turn.start.ref)
        assert view is not None
        claim(view.job)
        finish(view.job)

    assert served == ["flood", "returning"] * 3
