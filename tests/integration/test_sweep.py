"""Sweep recovers jobs that are due and removes leftovers. An unreadable record or an outage does not stop the rest."""

import time

import pytest

from darkroom.contracts.jobs import Output, Status
from darkroom.jobs import acceptance, ledger, lifecycle
from darkroom.services import rabbitmq, s3
from darkroom.services.redis import deadlines, keys, leases, open_jobs, views
from darkroom.services.redis.client import redis_client
from functions.sweep import recovery
from tests.integration.conftest import BreakService, MakeJob, Take, on_channel, view_of
from tests.integration.sweeping import accept_without_publishing, result_for, sweep
from tests.support.waiting import wait_until

# Jobs that are due --------------------------------------------------------------------------------------------------


def test_queued_job_whose_message_was_lost_is_published_again(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    accept_without_publishing(job)

    sweep()

    assert take("darkroom.resize")["body"] == {
        "job_id": job.job_id,
        "tenant": "default",
        "operation": "resize",
        "attempt": 1,
    }
    assert open_jobs.due(10) == []


def test_queued_job_whose_queue_is_not_empty_is_not_published_again(make_job: MakeJob) -> None:
    ahead, job = make_job(), make_job()
    rabbitmq.publish(lifecycle.first_message(ahead), ahead.traceparent)
    wait_until(lambda: rabbitmq.depth(job.operation))
    accept_without_publishing(job)

    sweep()

    assert rabbitmq.depth(job.operation) == 1
    assert open_jobs.due(10) == []


def test_jobs_that_wait_for_long_get_as_many_messages_as_are_missing(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more for each of them would only fill the queue, since every message can start any of them."""
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        accept_without_publishing(job)
    for job in jobs[:3]:
        rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
    wait_until(lambda: rabbitmq.depth(jobs[0].operation) == 3)
    monkeypatch.setattr(recovery, "REPUBLISH_AFTER_S", -1)

    assert sweep()["recovered"] == 2
    wait_until(lambda: rabbitmq.depth(jobs[0].operation) == 5)
    open_jobs.make_queued_due_now()
    assert sweep()["recovered"] == 0

    assert open_jobs.due(10) == []


def test_queued_job_that_was_canceled_in_the_ledger_only_is_not_published_again(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    accept_without_publishing(job)
    ledger.write_result(job.ref, lifecycle.canceled_result(job, attempt=0))  # Redis was unavailable

    sweep()

    assert take("darkroom.resize") is None
    assert view_of(job.job_id).status is Status.CANCELED


def test_job_whose_lease_expired_is_retried(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    leases.claim(job.ref, job.operation, attempt=1, run="run-1", lease_ms=1)
    time.sleep(0.02)

    sweep()

    view = view_of(job.job_id)
    assert (view.status, view.errors[0].code, view.failed_attempts) == (Status.QUEUED, "worker_died", 1)


@pytest.mark.parametrize(("gap_s", "counted"), [(600, 0), (60, 1)])
def test_run_whose_lease_expired_uses_no_attempt_if_sweep_could_not_run_meanwhile(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, gap_s: int, counted: int
) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    sweep()
    leases.claim(job.ref, job.operation, attempt=1, run="run-1", lease_ms=1)
    time.sleep(0.02)
    redis_client().incrby(keys.LAST_SWEEP, -gap_s * 1000)  # so long ago

    sweep()

    view = view_of(job.job_id)
    assert (view.status, view.failed_attempts) == (Status.QUEUED, counted)
    assert view.errors[0].code == ("worker_died" if counted else "cache_unavailable")


def test_result_that_is_only_in_the_ledger_is_shown(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    leases.claim(job.ref, job.operation, attempt=1, run="run-1", lease_ms=1)
    ledger.write_result(job.ref, result_for(job))
    time.sleep(0.02)

    sweep()

    assert view_of(job.job_id).status is Status.COMPLETED


def test_open_job_without_view_and_ledger_record_is_removed(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job, due_in_s=0)
    redis_client().delete(keys.view_of(job.ref))

    sweep()

    assert open_jobs.due(10) == []


def test_queued_job_stays_due_while_the_broker_is_unavailable(make_job: MakeJob, break_service: BreakService) -> None:
    job = make_job()
    accept_without_publishing(job)
    break_service("broker")

    done = sweep()

    assert open_jobs.due(10) == [job.ref]
    assert done["failed"] == ["recovered", "queues_reported", "repaired"]


def test_running_job_is_retried_while_the_broker_is_unavailable(
    make_job: MakeJob, break_service: BreakService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    queued, running = make_job(), make_job()
    for job in (queued, running):
        accept_without_publishing(job)
    leases.claim(running.ref, running.operation, attempt=1, run="run-1", lease_ms=1)
    time.sleep(0.02)
    break_service("broker")

    sweep()

    assert view_of(running.job_id).status is Status.QUEUED


def test_unreadable_job_in_the_ledger_does_not_delay_other_due_jobs(make_job: MakeJob, take: Take) -> None:
    unreadable, job = make_job(), make_job()
    accept_without_publishing(unreadable)
    redis_client().delete(keys.view_of(unreadable.ref))
    s3.put(ledger.job_key(unreadable.ref), b"{}", media_type="application/json")
    accept_without_publishing(job)

    sweep()

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert open_jobs.due(10) == [unreadable.ref]


def test_unreadable_view_does_not_delay_other_due_jobs(make_job: MakeJob, take: Take) -> None:
    unreadable, job = make_job(), make_job()
    for each in (unreadable, job):
        accept_without_publishing(each)
    redis_client().hset(keys.view_of(unreadable.ref), "job", "{}")

    sweep()

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


def test_one_pass_recovers_more_jobs_than_one_batch(
    make_job: MakeJob, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "BATCH", 2)
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        accept_without_publishing(job)

    assert sweep()["recovered"] == 5

    assert {take("darkroom.resize")["body"]["job_id"] for _ in jobs} == {job.job_id for job in jobs}


def test_missing_queues_are_declared_and_their_messages_published(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    acceptance.accept(job)
    for queue in ("darkroom.resize", "darkroom.dead"):
        on_channel("queue_delete", queue)

    assert sweep()["repaired"] == 1
    assert sweep()["repaired"] == 0

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


# Leftover outputs ---------------------------------------------------------------------------------------------------


def test_unreadable_result_does_not_delay_the_cleanup_of_other_jobs(make_job: MakeJob) -> None:
    jobs = [make_job() for _ in range(2)]
    for job in jobs:
        ledger.write_job(job)
        s3.put(f"{lifecycle.outputs_prefix(job)}dead/a.png", b"a", media_type="image/png")
        lifecycle.end(job, result_for(job, Status.FAILED, run="a"))
    s3.put(ledger.result_key(jobs[0].ref), b"{}", media_type="application/json")
    redis_client().zadd(keys.CLEANUPS, {str(job.ref): score for score, job in enumerate(jobs)})

    assert sweep()["cleaned"] == 1

    assert open_jobs.due_for_cleanup(10) == [jobs[0].ref]


def test_outputs_of_a_crashed_run_are_removed_when_no_run_can_be_in_flight(make_job: MakeJob) -> None:
    job = make_job()
    accept_without_publishing(job)
    leases.claim(job.ref, job.operation, attempt=1, run="dead", lease_ms=1)
    left, kept = f"{lifecycle.outputs_prefix(job)}dead/a.png", f"{lifecycle.outputs_prefix(job)}alive/a.png"
    for key in (left, kept):
        s3.put(key, b"a", media_type="image/png")
    output = Output(name="a.png", key=kept, media_type="image/png", size_bytes=1, sha256="0" * 64)
    lifecycle.end(job, result_for(job, run="alive", attempt=2, outputs=[output]))

    assert sweep()["cleaned"] == 0
    redis_client().zadd(keys.CLEANUPS, {str(job.ref): 0})
    assert sweep()["cleaned"] == 1

    assert list(s3.keys_after(lifecycle.outputs_prefix(job))) == [kept]
    assert open_jobs.due_for_cleanup(10) == []


def test_job_that_its_only_run_completed_needs_no_cleanup(make_job: MakeJob) -> None:
    job = make_job()
    accept_without_publishing(job)
    leases.claim(job.ref, job.operation, attempt=1, run="only", lease_ms=1)

    lifecycle.end(job, result_for(job, run="only"))

    assert not redis_client().exists(keys.CLEANUPS)
