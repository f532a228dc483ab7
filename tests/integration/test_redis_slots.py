"""The slots of each operation, in a real Redis."""

import threading
import time
from dataclasses import replace

import pytest

from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.services.redis import deadlines, slots, views
from darkroom.timeouts import BACKGROUND, use_timeouts
from tests.integration.conftest import MakeJob
from tests.integration.redis_jobs import RESIZE, acquire, claim, finish, requeue
from tests.support.waiting import wait_until


def test_slots_are_limited_per_operation_and_expire(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        views.create(job)

    assert acquire(jobs[0], limit=2) is slots.Slot.ACQUIRED
    assert acquire(jobs[1], limit=2) is slots.Slot.ACQUIRED
    assert acquire(jobs[2], limit=2) is slots.Slot.FULL
    assert acquire(jobs[0], limit=2) is slots.Slot.HELD
    assert acquire(jobs[2], limit=2, operation=Operation.THUMBNAIL) is slots.Slot.ACQUIRED

    monkeypatch.setattr(deadlines, "START_WITHIN_S", 0.1)
    assert acquire(jobs[0], limit=2) is slots.Slot.HELD
    wait_until(lambda: acquire(jobs[2], limit=2) is slots.Slot.ACQUIRED)


def test_stale_message_acquires_no_slot(make_job: MakeJob) -> None:
    running, ended = make_job(), make_job()
    views.create(running)
    claim(running)
    views.create(ended)
    finish(ended)

    assert acquire(running, limit=9) is slots.Slot.STALE
    assert acquire(ended, limit=9) is slots.Slot.ENDED
    assert slots.in_flight()[RESIZE] == 1  # that of the claim


def test_wait_for_a_slot_ends_when_one_is_freed(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job)
    claim(job)
    use_timeouts(replace(BACKGROUND, cache_s=40))  # a wait lasts up to half of this
    end = threading.Timer(0.2, lambda: finish(job))
    end.start()

    began = time.monotonic()
    slots.wait_until_freed([RESIZE], 20)

    assert time.monotonic() - began < 15
    end.join()


def test_each_attempt_holds_a_slot_of_its_own(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job, attempt=1, limit=9)
    requeue(job, run=None)  # the run of attempt 1 counts as dead
    acquire(job, attempt=2, limit=9)

    assert claim(job, attempt=1, run="late").outcome == "stale"

    assert slots.in_flight()[RESIZE] == 1
    assert claim(job, attempt=2, run="run-2").outcome == "claimed"
    assert slots.in_flight()[RESIZE] == 1


def test_late_release_of_an_attempt_does_not_free_the_slot_of_the_next(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job, attempt=1, limit=9)
    requeue(job, run=None)
    acquire(job, attempt=2, limit=9)

    slots.release(job.ref, RESIZE, 1)

    assert slots.in_flight()[RESIZE] == 1
    slots.release(job.ref, RESIZE, 2)
    assert slots.in_flight()[RESIZE] == 0


def test_second_requeue_of_an_attempt_does_not_free_the_slot_of_the_next(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job, attempt=1, limit=9)
    requeue(job, run=None)
    acquire(job, attempt=2, limit=9)

    assert requeue(job, run=None) is False

    assert slots.in_flight()[RESIZE] == 1


@pytest.mark.parametrize("attempt", [1, 2])
def test_cancel_frees_the_slot_of_an_attempt_that_was_not_claimed(make_job: MakeJob, attempt: int) -> None:
    job = make_job()
    views.create(job)
    for failed in range(1, attempt):
        acquire(job, attempt=failed, limit=9)
        claim(job, attempt=failed)
        requeue(job, attempt=failed)
    acquire(job, attempt=attempt, limit=9)

    finish(job, Status.CANCELED, run="none", attempt=attempt - 1)

    assert slots.in_flight()[RESIZE] == 0


def test_end_of_a_job_frees_the_slot_of_an_attempt_that_was_dispatched_again(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job, attempt=1, limit=9)
    claim(job, attempt=1, run="slow")
    requeue(job, run=None)  # its lease expired
    acquire(job, attempt=2, limit=9)

    finish(job, run="slow")

    assert slots.in_flight()[RESIZE] == 0
    assert claim(job, attempt=2, run="run-2").outcome == "ended"


def test_run_of_a_later_attempt_that_meets_a_running_job_frees_its_own_slot_only(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job, attempt=1, limit=9)
    acquire(job, attempt=2, limit=9)  # sweep published the message again although the first was not lost
    claim(job, attempt=1)

    assert claim(job, attempt=2, run="run-2").outcome == "leased"

    assert slots.in_flight()[RESIZE] == 1


def test_repeated_claim_of_a_run_that_got_no_answer_is_claimed(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job)
    assert [claim(job).outcome, claim(job).outcome, claim(job, run="run-2").outcome] == ["claimed", "claimed", "leased"]

    assert slots.in_flight()[RESIZE] == 1
