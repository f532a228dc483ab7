"""Views, slots, leases and open jobs in a real Redis."""

import contextlib
import socket
import threading
import time

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Failure, Job, JobResult, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheUnavailableError
from darkroom.services.redis import deadlines, files, leases, open_jobs, slots, views
from darkroom.services.redis.client import ping_redis, redis_client
from darkroom.timestamps import utc_now
from tests.integration.conftest import MakeJob, forget_clients, view_of

RESIZE = Operation.RESIZE
FAILURE = Failure(code="storage_unavailable", message="The object store is unavailable.")


def claim(job: Job, attempt: int = 1, run: str = "run-1", lease_ms: int = 60_000) -> leases.Claim:
    return leases.claim(job.job_id, job.operation, attempt=attempt, run=run, lease_ms=lease_ms)


def result_for(job: Job, status: Status = Status.COMPLETED, run: str = "run-1") -> JobResult:
    return JobResult(job_id=job.job_id, status=status, attempt=1, run=run, finished_at=utc_now())


def finish(job: Job, status: Status = Status.COMPLETED, run: str = "run-1") -> bool | None:
    return views.finish(job.job_id, job.operation, result_for(job, status, run))


def requeue(job: Job, attempt: int = 1, run: str | None = "run-1", due_in_s: float = 60) -> bool | None:
    return leases.requeue(job, attempt=attempt, run=run, failure=FAILURE, due_in_s=due_in_s)


def acquire(job: Job, attempt: int = 1, limit: int = 1) -> slots.Slot:
    return slots.acquire(job.job_id, job.operation, attempt, limit=limit)


def test_created_job_is_queued_and_listed_newest_first(make_job: MakeJob) -> None:
    first, second = (make_job(job_id=ids.new_id(at_ms=time.time_ns() // 1_000_000 - age)) for age in (5, 0))

    assert views.create(first)
    assert views.create(second)

    assert view_of(first.job_id).status is Status.QUEUED
    assert view_of(first.job_id).job == first
    assert views.list_ids("default", before=None, limit=10) == [second.job_id, first.job_id]
    assert views.list_ids("default", before=second.job_id, limit=10) == [first.job_id]


def test_creating_a_view_again_changes_nothing(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)

    assert not views.create(job)

    assert view_of(job.job_id).status is Status.RUNNING


def test_only_one_of_many_concurrent_claims_succeeds(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claims: list[leases.Claim] = []

    def claim_as(number: int) -> None:
        claims.append(claim(job, run=f"run-{number}"))

    threads = [threading.Thread(target=claim_as, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each.outcome for each in claims) == ["claimed"] + ["leased"] * 15


def test_second_claim_of_an_attempt_is_stale(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job, attempt=1)
    requeue(job)

    assert claim(job, attempt=1, run="run-2").outcome == "stale"
    assert claim(job, attempt=2, run="run-2").job == job


def test_claim_of_an_unknown_job_is_missing(make_job: MakeJob) -> None:
    assert claim(make_job()).outcome == "missing"


def test_progress_never_decreases_and_belongs_to_the_run(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)

    assert leases.report_progress(job.job_id, "run-1", 0.5)
    assert leases.report_progress(job.job_id, "run-1", 0.25)
    assert not leases.report_progress(job.job_id, "run-2", 0.9)

    assert view_of(job.job_id).progress == 0.5


def test_next_attempt_starts_without_the_speed_of_the_last(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    leases.report_progress(job.job_id, "run-1", 0.5, 2.25)
    assert view_of(job.job_id).speed == 2.25
    leases.report_progress(job.job_id, "run-1", 0.6)
    assert view_of(job.job_id).speed is None

    requeue(job, due_in_s=1)
    claim(job, attempt=2, run="run-2")

    view = view_of(job.job_id)
    assert (view.progress, view.speed, view.progressed_ms) == (0, None, None)


def test_run_whose_view_was_lost_still_owns_its_job(make_job: MakeJob) -> None:
    assert leases.report_progress(make_job().job_id, "run-1", 0.5)


def test_run_of_a_canceled_job_no_longer_owns_it(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    finish(job, Status.CANCELED, run="none")

    assert not leases.report_progress(job.job_id, "run-1", 0.5)


def test_terminal_job_never_changes_again(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    assert finish(job)

    assert not finish(job, Status.FAILED)
    assert not requeue(job, run=None, due_in_s=1)
    assert claim(job, attempt=2).outcome == "ended"

    assert view_of(job.job_id).status is Status.COMPLETED


def test_requeued_job_keeps_the_error_and_frees_its_slot(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job)
    claim(job)

    assert requeue(job)

    view = view_of(job.job_id)
    assert (view.status, view.attempt, view.errors) == (Status.QUEUED, 1, [FAILURE])
    assert slots.in_flight()[RESIZE] == 0


def test_run_that_lost_its_job_cannot_requeue_it(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)

    assert not requeue(job, run="run-2")
    assert not requeue(job, attempt=2)
    assert view_of(job.job_id).status is Status.RUNNING


def test_attempt_whose_run_crashed_before_its_claim_is_counted(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)

    assert requeue(job, run=None)

    assert view_of(job.job_id).attempt == 1
    assert claim(job, attempt=1).outcome == "stale"


def test_slots_are_limited_per_operation_and_expire(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        views.create(job)
    monkeypatch.setattr(deadlines, "START_WITHIN_S", 0.2)

    assert acquire(jobs[0], limit=2) is slots.Slot.ACQUIRED
    assert acquire(jobs[1], limit=2) is slots.Slot.ACQUIRED
    assert acquire(jobs[2], limit=2) is slots.Slot.FULL
    assert acquire(jobs[0], limit=2) is slots.Slot.ACQUIRED
    assert slots.acquire(jobs[2].job_id, Operation.THUMBNAIL, 1, limit=2) is slots.Slot.ACQUIRED

    time.sleep(0.25)
    assert acquire(jobs[2], limit=2) is slots.Slot.ACQUIRED


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
    end = threading.Timer(0.2, lambda: finish(job))
    end.start()

    began = time.monotonic()
    slots.wait_until_freed(RESIZE, 4)

    assert time.monotonic() - began < 2
    end.join()


def test_wait_for_the_end_of_a_job_returns_at_once_when_it_ends(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    output = Output(name="a.jpg", key="processed/a", media_type="image/jpeg", size_bytes=1, sha256="0" * 64)
    result = result_for(job).model_copy(update={"outputs": [output]})
    end = threading.Timer(0.2, lambda: views.finish(job.job_id, RESIZE, result))
    end.start()

    began = time.monotonic()
    view = views.wait_for_end(job.job_id, 10)

    assert time.monotonic() - began < 2
    assert view is not None
    assert view.result == result
    end.join()


def test_wait_for_the_end_of_a_job_times_out(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)

    began = time.monotonic()
    view = views.wait_for_end(job.job_id, 0.3)

    assert 0.25 < time.monotonic() - began < 2
    assert view is not None
    assert view.status is Status.QUEUED


def test_open_jobs_become_due_and_ended_ones_do_not(make_job: MakeJob) -> None:
    job, ended = make_job(), make_job()
    views.create(job, due_in_s=0)
    views.create(ended, due_in_s=0)
    finish(ended)

    assert open_jobs.due(10) == [job.job_id]

    open_jobs.postpone([job.job_id], 60, published=True)
    assert open_jobs.due(10) == []


def test_job_that_awaits_its_upload_has_a_view_but_is_not_listed(make_job: MakeJob) -> None:
    job = make_job()
    views.await_upload(job, expires_s=60)

    assert view_of(job.job_id).awaits_upload
    assert views.list_ids("default", before=None, limit=10) == []

    views.create(job)
    assert not view_of(job.job_id).awaits_upload
    assert views.list_ids("default", before=None, limit=10) == [job.job_id]


def test_job_that_was_canceled_before_its_upload_stays_canceled(make_job: MakeJob) -> None:
    job = make_job()
    views.await_upload(job, expires_s=60)
    finish(job, Status.CANCELED, run="none")

    views.create(job)

    assert view_of(job.job_id).status is Status.CANCELED
    assert claim(job).outcome == "ended"


def test_every_key_of_an_ended_job_and_of_a_file_expires(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job)
    claim(job)
    files.save_record("a-file", {"status": "ready"})
    finish(job)

    client = redis_client()
    permanent = [key for key in client.keys("*") if client.ttl(key) < 0]

    assert permanent == []


def test_timeline_has_every_event_in_order(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job)
    claim(job)
    requeue(job)
    acquire(job, attempt=2)
    acquire(job, attempt=2)
    claim(job, attempt=2, run="run-2")
    result = result_for(job).model_copy(update={"attempt": 2, "uploaded_at": utc_now()})
    views.finish(job.job_id, RESIZE, result)

    timeline = view_of(job.job_id).timeline

    assert [(event.event, event.attempt) for event in timeline] == [
        ("accepted", 0),
        ("dispatched", 1),
        ("claimed", 1),
        ("attempt_failed", 1),
        ("dispatched", 2),
        ("claimed", 2),
        ("uploaded", 2),
        ("completed", 2),
    ]
    times = [event.at_ms for event in timeline]
    assert times == sorted(times)


def test_redis_that_does_not_respond_is_unavailable_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        address = silent.getsockname()
        for _ in range(3):  # fills the backlog: further connections get no response, as from an unreachable host
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        patch.setenv("DARKROOM_CACHE_URL", f"redis://127.0.0.1:{address[1]}/1")
        forget_clients()
        began = time.monotonic()

        with pytest.raises(CacheUnavailableError):
            ping_redis()

        assert time.monotonic() - began < 6
    forget_clients()
