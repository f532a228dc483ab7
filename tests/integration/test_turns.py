"""Whose turn it is: what the rule promises to each tenant, and what becomes of messages and jobs, in a real Redis."""

import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from darkroom.contracts.jobs import Message
from darkroom.services.redis import keys, leases, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.slots import Slot, Turn
from tests.integration.redis_jobs import claim, finish, release, requeue
from tests.integration.turns import (
    MANY,
    RESIZE,
    acquire,
    create,
    message_of,
    move_time,
    new_job,
    permits,
    started,
)


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


def test_tenant_with_fewer_runs_in_flight_is_next_although_the_other_was_served_longer_ago() -> None:
    """A tenant with long runs does not take all slots from one with short runs."""
    long_runs, short_runs = [new_job("a") for _ in range(4)], [new_job("b") for _ in range(2)]
    create(*long_runs[:3])
    acquire(*map(message_of, long_runs[:3]))
    create(short_runs[0])
    acquire(message_of(short_runs[0]))
    create(long_runs[3], short_runs[1])

    assert started(acquire(*permits(2))) == [short_runs[1].job_id, long_runs[3].job_id]


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


def test_run_that_claims_its_job_after_its_slot_expired_counts_and_delays_the_next_start() -> None:
    late, other, third = new_job("a"), new_job("b"), new_job("c")
    create(late)
    acquire(message_of(late), limit=1)
    create(other)
    redis_client().zadd(keys.slots_of(RESIZE), {keys.slot_of(late.ref, 1): 1})  # it expires
    assert started(acquire(message_of(other), limit=1)) == [other.job_id]

    assert claim(late).outcome == "claimed"

    assert slots.in_flight()[RESIZE] == 2
    assert views.position_in_queue(late.ref, RESIZE) is None
    create(third)
    finish(other)
    assert acquire(*permits(2), limit=1) == [Turn(Slot.FULL)] * 2
    finish(late)
    assert started(acquire(*permits(2), limit=1)) == [third.job_id]


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

    assert not redis_client().exists(keys.ready_tenants_of(RESIZE), keys.delayed_jobs_of(RESIZE))
    assert acquire(message_of(job)) == [Turn(Slot.STALE)]


def test_tenants_that_were_not_served_for_an_hour_take_no_memory() -> None:
    for tenant, age_ms in (("gone", 3_600_001), ("recent", 0)):
        job = new_job(tenant)
        create(job)
        acquire(message_of(job))
        move_time(age_ms)

    assert redis_client().zrange(keys.served_tenants_of(RESIZE), 0, -1) == ["recent"]


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
