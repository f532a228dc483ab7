import contextlib
import socket
import threading
import time

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Failure, JobResult, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheUnavailableError
from darkroom.services.redis import deadlines, files, leases, open_jobs, slots, views
from darkroom.services.redis.client import ping_redis, redis_client
from darkroom.timestamps import utc_now
from tests.integration.conftest import forget_clients

RESIZE = Operation.RESIZE
FAILURE = Failure(code="storage_unavailable", message="The object store does not answer.")


def claim(job, attempt=1, run="run-1", lease_ms=60_000):
    return leases.claim(job.job_id, job.operation, attempt=attempt, run=run, lease_ms=lease_ms)


def ending_of(job, status=Status.COMPLETED, run="run-1"):
    return JobResult(job_id=job.job_id, status=status, attempt=1, run=run, finished_at=utc_now())


def test_a_created_job_is_queued_and_listed_newest_first(make_job):
    first, second = (make_job(job_id=ids.new_id(at_ms=time.time_ns() // 1_000_000 - age)) for age in (5, 0))

    assert views.create(first)
    assert views.create(second)

    assert views.fetch(first.job_id).status is Status.QUEUED
    assert views.fetch(first.job_id).job == first
    assert views.list_ids("default", before=None, limit=10) == [second.job_id, first.job_id]
    assert views.list_ids("default", before=second.job_id, limit=10) == [first.job_id]


def test_creating_a_job_twice_changes_nothing(make_job):
    job = make_job()
    views.create(job)
    claim(job)

    assert not views.create(job)

    assert views.fetch(job.job_id).status is Status.RUNNING


def test_only_one_of_many_simultaneous_claims_succeeds(make_job):
    job = make_job()
    views.create(job)
    outcomes = []

    threads = [threading.Thread(target=lambda n=n: outcomes.append(claim(job, run=f"run-{n}"))) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.outcome for outcome in outcomes) == ["claimed"] + ["leased"] * 15


def test_a_claim_with_an_attempt_that_was_made_already_is_stale(make_job):
    job = make_job()
    views.create(job)
    claim(job, attempt=1)
    leases.requeue(job, attempt=1, run="run-1", failure=FAILURE, due_in_s=60)

    assert claim(job, attempt=1, run="run-2").outcome == "stale"
    assert claim(job, attempt=2, run="run-2").job == job


def test_a_claim_of_an_unknown_job_says_that_it_is_missing(make_job):
    assert claim(make_job()).outcome == "missing"


def test_progress_never_goes_backwards_and_belongs_to_the_run(make_job):
    job = make_job()
    views.create(job)
    claim(job)

    assert leases.report_progress(job.job_id, "run-1", 0.5)
    assert leases.report_progress(job.job_id, "run-1", 0.25)
    assert not leases.report_progress(job.job_id, "run-2", 0.9)

    assert views.fetch(job.job_id).progress == 0.5


def test_the_next_attempt_begins_without_the_pace_of_the_last(make_job):
    job = make_job()
    views.create(job)
    claim(job)
    leases.report_progress(job.job_id, "run-1", 0.5, 2.25)
    assert views.fetch(job.job_id).speed == 2.25
    leases.report_progress(job.job_id, "run-1", 0.6)
    assert views.fetch(job.job_id).speed is None

    leases.requeue(job, attempt=1, run="run-1", failure=FAILURE, due_in_s=1)
    claim(job, attempt=2, run="run-2")

    view = views.fetch(job.job_id)
    assert (view.progress, view.speed, view.progressed_ms) == (0, None, None)


def test_a_run_whose_record_was_lost_may_go_on(make_job):
    assert leases.report_progress(make_job().job_id, "run-1", 0.5)


def test_a_run_learns_from_its_progress_that_the_job_was_canceled(make_job):
    job = make_job()
    views.create(job)
    claim(job)
    views.finish(job.job_id, RESIZE, ending_of(job, Status.CANCELED, run="none"))

    assert not leases.report_progress(job.job_id, "run-1", 0.5)


def test_a_terminal_job_never_changes_again(make_job):
    job = make_job()
    views.create(job)
    claim(job)
    assert views.finish(job.job_id, RESIZE, ending_of(job))

    assert not views.finish(job.job_id, RESIZE, ending_of(job, Status.FAILED))
    assert not leases.requeue(job, attempt=1, run=None, failure=FAILURE, due_in_s=1)
    assert claim(job, attempt=2).outcome == "ended"

    assert views.fetch(job.job_id).status is Status.COMPLETED


def test_a_released_attempt_leaves_its_error_and_frees_its_slot(make_job):
    job = make_job()
    views.create(job)
    slots.acquire(job.job_id, RESIZE, 1, limit=1)
    claim(job)

    assert leases.requeue(job, attempt=1, run="run-1", failure=FAILURE, due_in_s=60)

    view = views.fetch(job.job_id)
    assert (view.status, view.attempt, view.errors) == (Status.QUEUED, 1, [FAILURE])
    assert slots.in_flight()[RESIZE] == 0


def test_a_release_by_a_run_that_lost_its_job_does_nothing(make_job):
    job = make_job()
    views.create(job)
    claim(job)

    assert not leases.requeue(job, attempt=1, run="run-2", failure=FAILURE, due_in_s=60)
    assert not leases.requeue(job, attempt=2, run="run-1", failure=FAILURE, due_in_s=60)
    assert views.fetch(job.job_id).status is Status.RUNNING


def test_an_attempt_that_died_before_its_claim_counts_as_made(make_job):
    job = make_job()
    views.create(job)

    assert leases.requeue(job, attempt=1, run=None, failure=FAILURE, due_in_s=60)

    assert views.fetch(job.job_id).attempt == 1
    assert claim(job, attempt=1).outcome == "stale"


def test_slots_are_limited_per_operation_and_heal_when_they_expire(make_job, monkeypatch):
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        views.create(job)
    monkeypatch.setattr(deadlines, "START_WITHIN_S", 0.2)

    assert slots.acquire(jobs[0].job_id, RESIZE, 1, limit=2) is slots.Slot.ACQUIRED
    assert slots.acquire(jobs[1].job_id, RESIZE, 1, limit=2) is slots.Slot.ACQUIRED
    assert slots.acquire(jobs[2].job_id, RESIZE, 1, limit=2) is slots.Slot.FULL
    assert slots.acquire(jobs[0].job_id, RESIZE, 1, limit=2) is slots.Slot.ACQUIRED
    assert slots.acquire(jobs[2].job_id, Operation.THUMBNAIL, 1, limit=2) is slots.Slot.ACQUIRED

    time.sleep(0.25)
    assert slots.acquire(jobs[2].job_id, RESIZE, 1, limit=2) is slots.Slot.ACQUIRED


def test_no_slot_is_taken_for_a_message_that_is_out_of_date(make_job):
    running, over = make_job(), make_job()
    views.create(running)
    claim(running)
    views.create(over)
    views.finish(over.job_id, RESIZE, ending_of(over))

    assert slots.acquire(running.job_id, RESIZE, 1, limit=9) is slots.Slot.STALE
    assert slots.acquire(over.job_id, RESIZE, 1, limit=9) is slots.Slot.ENDED
    assert slots.in_flight()[RESIZE] == 1  # the claim's own


def test_who_waits_for_a_slot_is_woken_when_one_comes_free(make_job):
    job = make_job()
    views.create(job)
    slots.acquire(job.job_id, RESIZE, 1, limit=1)
    claim(job)
    result = threading.Timer(0.2, lambda: views.finish(job.job_id, RESIZE, ending_of(job)))
    result.start()

    begun = time.monotonic()
    slots.wait_until_freed(RESIZE, 4)

    assert time.monotonic() - begun < 2
    result.join()


def test_who_waits_for_an_end_hears_of_it_at_once(make_job):
    job = make_job()
    views.create(job)
    output = Output(name="a.jpg", key="processed/a", media_type="image/jpeg", size_bytes=1, sha256="0" * 64)
    result = ending_of(job).model_copy(update={"outputs": [output]})
    end = threading.Timer(0.2, lambda: views.finish(job.job_id, RESIZE, result))
    end.start()

    begun = time.monotonic()
    view = views.wait_for_end(job.job_id, 10)

    assert time.monotonic() - begun < 2
    assert view.result == result
    end.join()


def test_waiting_for_an_end_gives_up_in_time(make_job):
    job = make_job()
    views.create(job)

    begun = time.monotonic()
    view = views.wait_for_end(job.job_id, 0.3)

    assert 0.25 < time.monotonic() - begun < 2
    assert view.status is Status.QUEUED


def test_open_jobs_come_due_and_ended_ones_do_not(make_job):
    job, over = make_job(), make_job()
    views.create(job, due_in_s=0)
    views.create(over, due_in_s=0)
    views.finish(over.job_id, RESIZE, ending_of(over))

    assert open_jobs.due(10) == [job.job_id]

    open_jobs.postpone(job.job_id, 60, published=True)
    assert open_jobs.due(10) == []


def test_a_job_that_awaits_its_upload_can_be_asked_for_but_is_not_listed(make_job):
    job = make_job()
    views.await_upload(job, expires_s=60)

    assert views.fetch(job.job_id).awaits_upload
    assert views.list_ids("default", before=None, limit=10) == []

    views.create(job)
    assert not views.fetch(job.job_id).awaits_upload
    assert views.list_ids("default", before=None, limit=10) == [job.job_id]


def test_a_job_canceled_before_its_upload_stays_canceled_when_it_lands(make_job):
    job = make_job()
    views.await_upload(job, expires_s=60)
    views.finish(job.job_id, RESIZE, ending_of(job, Status.CANCELED, run="none"))

    views.create(job)

    assert views.fetch(job.job_id).status is Status.CANCELED
    assert claim(job).outcome == "ended"


def test_every_key_expires_or_is_bounded(make_job):
    job = make_job()
    views.create(job)
    slots.acquire(job.job_id, RESIZE, 1, limit=1)
    claim(job)
    files.save_record("a-file", {"status": "ready"})
    views.finish(job.job_id, RESIZE, ending_of(job))

    client = redis_client()
    endless = [key for key in client.keys("*") if client.ttl(key) < 0]

    assert endless == []


def test_the_timeline_tells_what_happened_in_order(make_job):
    job = make_job()
    views.create(job)
    slots.acquire(job.job_id, RESIZE, 1, limit=1)
    claim(job)
    leases.requeue(job, attempt=1, run="run-1", failure=FAILURE, due_in_s=60)
    slots.acquire(job.job_id, RESIZE, 2, limit=1)
    slots.acquire(job.job_id, RESIZE, 2, limit=1)
    claim(job, attempt=2, run="run-2")
    uploaded_at = utc_now()
    views.finish(job.job_id, RESIZE, ending_of(job).model_copy(update={"attempt": 2, "uploaded_at": uploaded_at}))

    timeline = views.fetch(job.job_id).timeline

    assert [(moment.event, moment.attempt) for moment in timeline] == [
        ("accepted", 0),
        ("dispatched", 1),
        ("claimed", 1),
        ("attempt_failed", 1),
        ("dispatched", 2),
        ("claimed", 2),
        ("uploaded", 2),
        ("completed", 2),
    ]
    times = [moment.at_ms for moment in timeline]
    assert times == sorted(times)


def test_a_cache_that_answers_nothing_is_given_up_while_an_api_call_still_has_time():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        address = deaf.getsockname()
        for _ in range(3):  # who comes after them hears nothing, as from a machine that is gone
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        patch.setenv("DARKROOM_CACHE_URL", f"redis://127.0.0.1:{address[1]}/1")
        forget_clients()
        begun = time.monotonic()

        with pytest.raises(CacheUnavailableError):
            ping_redis()

        assert time.monotonic() - begun < 6
    forget_clients()
