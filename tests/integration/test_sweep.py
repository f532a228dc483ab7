"""Sweep completes what was interrupted or lost. An unreadable record or an outage does not stop the rest."""

import time
from typing import Any

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import AttachedJob, Job, JobResult, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import deadlines, files, keys, leases, open_jobs, reconciliation, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from functions.sweep import app
from tests.integration.conftest import PNG, MakeJob, Take, Upload, on_channel, view_of
from tests.support.lambda_context import LambdaContext


def sweep(remaining_ms: int = 60_000) -> dict[str, int]:
    return app.handler({}, LambdaContext(remaining_ms))


def accept_without_publishing(job: Job) -> None:
    ledger.write_job(job)
    views.create(job, due_in_s=0)


def id_of_age(seconds: float) -> str:
    """An id that was created so many seconds ago."""
    return ids.new_id(at_ms=int((time.time() - seconds) * 1000))


def result_for(job: Job, status: Status = Status.COMPLETED, run: str = "run-1", **more: Any) -> JobResult:
    return JobResult(
        **{"job_id": job.job_id, "status": status, "attempt": 1, "run": run, "finished_at": utc_now(), **more}
    )


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
    while rabbitmq.depth(job.operation) == 0:
        time.sleep(0.02)
    accept_without_publishing(job)

    sweep()

    assert rabbitmq.depth(job.operation) == 1
    assert open_jobs.due(10) == []


def test_job_whose_lease_expired_is_retried(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    leases.claim(job.job_id, job.operation, attempt=1, run="run-1", lease_ms=1)
    time.sleep(0.02)

    sweep()

    view = view_of(job.job_id)
    assert (view.status, view.errors[0].code) == (Status.QUEUED, "worker_died")


def test_result_that_is_only_in_the_ledger_is_shown(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    leases.claim(job.job_id, job.operation, attempt=1, run="run-1", lease_ms=1)
    ledger.write_result(result_for(job))
    time.sleep(0.02)

    sweep()

    assert view_of(job.job_id).status is Status.COMPLETED


def test_job_that_is_only_in_the_ledger_gets_a_view_and_is_queued(make_job: MakeJob, take: Take) -> None:
    job = make_job(job_id=id_of_age(60))
    ledger.write_job(job)

    assert sweep()["restored"] == 1

    assert view_of(job.job_id).status is Status.QUEUED
    sweep()
    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


def test_new_job_is_not_restored_because_its_acceptance_may_be_in_progress(make_job: MakeJob) -> None:
    job = make_job()
    ledger.write_job(job)

    assert sweep()["restored"] == 0
    assert views.fetch(job.job_id) is None


def test_all_views_are_restored_after_redis_lost_its_data(make_job: MakeJob, take: Take) -> None:
    jobs = [make_job(job_id=id_of_age(7200 + number)) for number in range(3)]
    for job in jobs:
        ledger.write_job(job)
    ledger.write_result(result_for(jobs[0], Status.FAILED))
    redis_client().flushdb()

    assert sweep()["restored"] == 3

    assert view_of(jobs[0].job_id).status is Status.FAILED
    assert view_of(jobs[1].job_id).status is Status.QUEUED
    assert {job.job_id for job in jobs} <= set(views.list_ids("default", before=None, limit=1000))
    sweep()
    published = {take("darkroom.resize")["body"]["job_id"] for _ in range(2)}
    assert {jobs[1].job_id, jobs[2].job_id} >= published
    assert sweep()["restored"] == 0


def test_comparison_continues_at_its_cursor_after_a_long_outage_of_redis(make_job: MakeJob) -> None:
    reconciliation.advance_cursor(id_of_age(3600), reconciliation.dataset_id())
    job = make_job(job_id=id_of_age(1800))
    ledger.write_job(job)

    assert sweep()["restored"] == 1
    assert ids.created_ms(reconciliation.cursor()) > (time.time() - app.ACCEPTING_S - 5) * 1000


def test_comparison_that_ran_out_of_time_continues_in_the_next_pass(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes in (3, 2, 1):
        ledger.write_job(make_job(job_id=id_of_age(minutes * 60)))
    monkeypatch.setattr(app, "BATCH", 1)
    restore = app._restore

    def restore_slowly(job_id: str) -> int:
        time.sleep(0.15)
        return restore(job_id)

    monkeypatch.setattr(app, "_restore", restore_slowly)

    assert [sweep(remaining_ms=app.RESERVE_MS + 100)["restored"] for _ in range(4)] == [1, 1, 1, 0]


def test_job_that_was_accepted_long_after_its_upload_form_was_created_is_found(make_job: MakeJob) -> None:
    reconciliation.advance_cursor(ids.new_id(), reconciliation.dataset_id())
    job = make_job(job_id=id_of_age(3500))
    ledger.write_job(job)

    assert sweep()["restored"] == 1


def test_open_job_without_view_and_ledger_record_is_removed(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job, due_in_s=0)
    redis_client().delete(keys.view_of(job.job_id))

    sweep()

    assert open_jobs.due(10) == []


def test_queued_job_stays_due_while_the_broker_is_unavailable(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setenv("DARKROOM_BROKER_URL", "amqp://127.0.0.1:1/%2F")
    config.settings.cache_clear()
    rabbitmq.close()

    sweep()

    assert open_jobs.due(10) == [job.job_id]


def test_unreadable_job_in_the_ledger_does_not_delay_other_due_jobs(make_job: MakeJob, take: Take) -> None:
    unreadable, job = make_job(), make_job()
    accept_without_publishing(unreadable)
    redis_client().delete(keys.view_of(unreadable.job_id))
    s3.put(ledger.job_key(unreadable.job_id), b"{}", media_type="application/json")
    accept_without_publishing(job)

    sweep()

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert open_jobs.due(10) == [unreadable.job_id]


def test_unreadable_view_does_not_delay_other_due_jobs(make_job: MakeJob, take: Take) -> None:
    unreadable, job = make_job(), make_job()
    for each in (unreadable, job):
        accept_without_publishing(each)
    redis_client().hset(keys.view_of(unreadable.job_id), "job", "{}")

    sweep()

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


def test_unreadable_job_does_not_delay_the_comparison_and_is_tried_again(make_job: MakeJob) -> None:
    minute_ago = int((time.time() - 60) * 1000)
    unreadable, job = (make_job(job_id=ids.new_id(at_ms=minute_ago + number)) for number in range(2))
    s3.put(ledger.job_key(unreadable.job_id), b"{}", media_type="application/json")
    ledger.write_job(job)

    assert sweep()["restored"] == 1

    assert views.fetch(job.job_id) is not None
    assert reconciliation.cursor() == ""
    s3.put(ledger.job_key(unreadable.job_id), unreadable.model_dump_json().encode(), media_type="application/json")
    assert sweep()["restored"] == 1
    assert views.fetch(unreadable.job_id) is not None


def test_unreadable_result_does_not_delay_the_cleanup_of_other_jobs(make_job: MakeJob) -> None:
    jobs = [make_job() for _ in range(2)]
    for job in jobs:
        ledger.write_job(job)
        s3.put(f"{lifecycle.outputs_prefix(job)}dead/a.png", b"a", media_type="image/png")
        lifecycle.end(job, result_for(job, Status.FAILED, run="a"))
    s3.put(ledger.result_key(jobs[0].job_id), b"{}", media_type="application/json")
    redis_client().zadd(keys.CLEANUPS, {job.job_id: score for score, job in enumerate(jobs)})

    assert sweep()["cleaned"] == 1

    assert open_jobs.due_for_cleanup(10) == [jobs[0].job_id]


def test_one_pass_recovers_more_jobs_than_one_batch(
    make_job: MakeJob, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BATCH", 2)
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        accept_without_publishing(job)

    assert sweep()["recovered"] == 5

    assert {take("darkroom.resize")["body"]["job_id"] for _ in jobs} == {job.job_id for job in jobs}


def test_comparison_starts_again_when_redis_lost_its_data_meanwhile(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes in (180, 150, 120):
        ledger.write_job(make_job(job_id=id_of_age(minutes * 60)))
    monkeypatch.setattr(app, "BATCH", 1)
    restore = app._restore
    restored: list[str] = []

    def restore_then_lose(job_id: str) -> int:
        done = restore(job_id)
        restored.append(job_id)
        if len(restored) == 2:
            redis_client().flushdb()
        return done

    monkeypatch.setattr(app, "_restore", restore_then_lose)
    sweep()

    sweep()

    assert views.fetch(restored[0]) is not None
    assert len(views.list_ids("default", before=None, limit=10)) == 3


def test_missing_queues_are_declared_and_their_messages_published_at_once(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    lifecycle.accept(job)
    for queue in ("darkroom.resize", "darkroom.dead"):
        on_channel("queue_delete", queue)

    assert sweep()["repaired"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert sweep()["repaired"] == 0


def test_upload_whose_event_was_lost_is_ingested_once(upload: Upload, take: Take) -> None:
    job = AttachedJob(job_id=ids.new_id(), operation=Operation.RESIZE, params={"width": 10})
    file_id = id_of_age(60)
    s3.put(uploads.key_of(file_id), PNG, media_type="image/png", metadata=uploads.metadata_of("a.png", [job]))
    just_uploaded = upload(PNG, "image/png")

    assert sweep()["ingested"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert files.find_record(just_uploaded) is None
    assert sweep()["ingested"] == 0


def test_outputs_of_a_crashed_run_are_removed_when_no_run_can_be_in_flight(make_job: MakeJob) -> None:
    job = make_job()
    accept_without_publishing(job)
    leases.claim(job.job_id, job.operation, attempt=1, run="dead", lease_ms=1)
    left, kept = f"{lifecycle.outputs_prefix(job)}dead/a.png", f"{lifecycle.outputs_prefix(job)}alive/a.png"
    for key in (left, kept):
        s3.put(key, b"a", media_type="image/png")
    output = Output(name="a.png", key=kept, media_type="image/png", size_bytes=1, sha256="0" * 64)
    lifecycle.end(job, result_for(job, run="alive", attempt=2, outputs=[output]))

    assert sweep()["cleaned"] == 0
    redis_client().zadd(keys.CLEANUPS, {job.job_id: 0})
    assert sweep()["cleaned"] == 1

    assert list(s3.keys_after(lifecycle.outputs_prefix(job))) == [kept]
    assert open_jobs.due_for_cleanup(10) == []


def test_job_that_its_only_run_completed_needs_no_cleanup(make_job: MakeJob) -> None:
    job = make_job()
    accept_without_publishing(job)
    leases.claim(job.job_id, job.operation, attempt=1, run="only", lease_ms=1)

    lifecycle.end(job, result_for(job, run="only"))

    assert not redis_client().exists(keys.CLEANUPS)


def test_sweep_recovers_jobs_while_s3_is_unavailable(
    make_job: MakeJob, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    aws.client.cache_clear()

    assert sweep()["recovered"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    aws.client.cache_clear()
