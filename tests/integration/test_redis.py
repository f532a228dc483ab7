"""Views, slots, leases and open jobs in a real Redis."""

import threading
import time

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Output, Status
from darkroom.services.redis import files, keys, leases, open_jobs, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from tests.integration.conftest import MakeJob, view_of
from tests.integration.redis_jobs import FAILURE, RESIZE, acquire, claim, finish, progress, requeue, result_for
from tests.support.tenants import TENANT


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

    assert progress(job, "run-1", 0.5)
    assert progress(job, "run-1", 0.25)
    assert not progress(job, "run-2", 0.9)

    assert view_of(job.job_id).progress == 0.5


def test_next_attempt_starts_without_the_speed_of_the_last(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    progress(job, "run-1", 0.5, 2.25)
    assert view_of(job.job_id).speed == 2.25
    progress(job, "run-1", 0.6)
    assert view_of(job.job_id).speed is None

    requeue(job, delay_s=1)
    claim(job, attempt=2, run="run-2")

    view = view_of(job.job_id)
    assert (view.progress, view.speed, view.progressed_ms) == (0, None, None)


def test_run_whose_view_was_lost_still_owns_its_job(make_job: MakeJob) -> None:
    assert progress(make_job(), "run-1", 0.5)


def test_run_adopts_its_job_after_redis_lost_its_data_and_the_view_was_restored(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    acquire(job)
    claim(job)
    redis_client().flushdb()
    views.create(job, due_in_s=0, restored=True)

    assert progress(job, "run-1", 0.5)

    view = view_of(job.job_id)
    assert (view.status, view.attempt, view.progress) == (Status.RUNNING, 1, 0.5)
    assert open_jobs.due(10) == []
    assert views.count_queued(RESIZE) == 0
    assert slots.in_flight()[RESIZE] == 1
    assert acquire(job) is slots.Slot.STALE  # the message that sweep published starts no second run
    assert claim(job, run="run-2").outcome == "leased"
    assert finish(job)
    assert slots.in_flight()[RESIZE] == 0


@pytest.mark.parametrize(("attempt", "owned"), [(1, False), (2, True)])
def test_run_gives_up_after_a_flush_only_if_a_run_of_its_own_or_a_later_attempt_owns_the_job(
    make_job: MakeJob, attempt: int, owned: bool
) -> None:
    job = make_job()
    views.create(job, restored=True)
    claim(job, attempt=1, run="run-2")

    assert progress(job, "run-1", 0.5, attempt=attempt) is owned
    assert progress(job, "run-2", 0.5, attempt=1) is not owned


def test_run_of_an_attempt_that_was_ended_no_longer_owns_its_job(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    requeue(job, run=None)

    assert not progress(job, "run-1", 0.5)
    assert view_of(job.job_id).status is Status.QUEUED


def test_run_of_a_canceled_job_no_longer_owns_it(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    finish(job, Status.CANCELED, run="none")

    assert not progress(job, "run-1", 0.5)


def test_terminal_job_never_changes_again(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    claim(job)
    assert finish(job)

    assert not finish(job, Status.FAILED)
    assert not requeue(job, run=None, delay_s=1)
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


def test_wait_for_the_end_of_a_job_returns_at_once_when_it_ends(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    output = Output(name="a.jpg", key="processed/a", media_type="image/jpeg", size_bytes=1, sha256="0" * 64)
    result = result_for(job).model_copy(update={"outputs": [output]})
    end = threading.Timer(0.2, lambda: views.finish(job, result))
    end.start()

    began = time.monotonic()
    view = views.wait_for_end(job.ref, 10)

    assert time.monotonic() - began < 2
    assert view is not None
    assert view.result == result
    end.join()


def test_wait_for_the_end_of_a_job_times_out(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)

    began = time.monotonic()
    view = views.wait_for_end(job.ref, 0.3)

    assert 0.25 < time.monotonic() - began < 2
    assert view is not None
    assert view.status is Status.QUEUED


def test_open_jobs_become_due_and_ended_ones_do_not(make_job: MakeJob) -> None:
    job, ended = make_job(), make_job()
    views.create(job, due_in_s=0)
    views.create(ended, due_in_s=0)
    finish(ended)

    assert open_jobs.due(10) == [job.ref]

    open_jobs.postpone([job.ref], 60, published=True)
    assert open_jobs.due(10) == []


@pytest.mark.parametrize("published", [True, False])
def test_job_that_was_claimed_before_it_is_postponed_stays_due_at_the_end_of_its_lease(
    make_job: MakeJob, published: bool
) -> None:
    job = make_job()
    views.create(job, due_in_s=0)
    claim(job)

    open_jobs.postpone([job.ref], 0, published=published)

    assert open_jobs.due(10) == []


def test_job_that_awaits_its_upload_has_a_view_but_is_not_listed(make_job: MakeJob) -> None:
    job = make_job()
    views.await_upload(job, expires_s=60)

    assert view_of(job.job_id).awaits_upload
    assert views.list_ids("default", before=None, limit=10) == []

    views.create(job)
    assert not view_of(job.job_id).awaits_upload
    assert views.list_ids("default", before=None, limit=10) == [job.job_id]


def test_second_ingestion_does_not_reset_a_job_that_runs(
    make_job: MakeJob,
) -> None:
    job = make_job()
    views.await_upload(job, expires_s=60)
    claim(job)  # its message was published, but Redis did not respond when the view was to be created

    assert not views.create(job)

    view = view_of(job.job_id)
    assert (view.status, view.attempt, view.awaits_upload) == (Status.RUNNING, 1, False)
    assert redis_client().ttl(keys.view_of(job.ref)) > 3600


def test_view_that_awaits_its_upload_is_replaced_only_while_it_is_queued(make_job: MakeJob) -> None:
    job = make_job()
    views.await_upload(job, expires_s=60)
    claim(job)
    redis_client().hset(keys.view_of(job.ref), "awaits_upload", 1)  # as an earlier version left it

    assert not views.create(job)
    assert view_of(job.job_id).status is Status.RUNNING


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
    files.save_record(TENANT, "a-file", {"status": "ready"})
    finish(job)

    client = redis_client()
    permanent = [key for key in client.keys("*") if client.ttl(key) < 0]

    assert permanent == [keys.CHANGED_USAGE]  # until sweep has saved what the tenant uses


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
    views.finish(job, result)

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
