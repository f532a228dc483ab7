import time

from darkroom import ids
from darkroom.contracts.jobs import AttachedJob, JobResult, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import deadlines, files, keys, leases, open_jobs, reconciliation, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from functions.sweep import app


class Context:
    def __init__(self, remaining_ms):
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self):
        return self.remaining_ms


def sweep(remaining_ms=60_000):
    return app.handler({}, Context(remaining_ms))


def accept_without_publishing(job):
    ledger.write_job(job)
    views.create(job, due_in_s=0)


def test_a_queued_job_whose_message_was_lost_is_published_again(make_job, take):
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


def test_a_queued_job_whose_queue_is_not_empty_is_left_to_wait(make_job):
    ahead, job = make_job(), make_job()
    rabbitmq.publish(lifecycle.first_message(ahead), ahead.traceparent)
    while rabbitmq.depth(job.operation) == 0:
        time.sleep(0.02)
    accept_without_publishing(job)

    sweep()

    assert rabbitmq.depth(job.operation) == 1
    assert open_jobs.due(10) == []


def test_a_run_whose_lease_ended_is_tried_again(make_job, monkeypatch):
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    leases.claim(job.job_id, job.operation, attempt=1, run="run-1", lease_ms=1)
    time.sleep(0.02)

    sweep()

    view = views.fetch(job.job_id)
    assert (view.status, view.errors[0].code) == (Status.QUEUED, "worker_died")


def test_an_end_that_never_reached_the_view_is_shown(make_job, monkeypatch):
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setattr(deadlines, "LEASE_GRACE_S", 0)
    leases.claim(job.job_id, job.operation, attempt=1, run="run-1", lease_ms=1)
    ledger.write_result(
        JobResult(job_id=job.job_id, status=Status.COMPLETED, attempt=1, run="run-1", finished_at=utc_now())
    )
    time.sleep(0.02)

    sweep()

    assert views.fetch(job.job_id).status is Status.COMPLETED


def test_a_job_that_was_written_down_but_never_shown_is_found_and_queued(make_job, take):
    a_minute_ago = ids.new_id(at_ms=int((time.time() - 60) * 1000))
    job = make_job(job_id=a_minute_ago)
    ledger.write_job(job)

    assert sweep()["restored"] == 1

    assert views.fetch(job.job_id).status is Status.QUEUED
    sweep()
    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


def test_a_job_that_is_being_accepted_right_now_is_not_touched(make_job):
    job = make_job()
    ledger.write_job(job)

    assert sweep()["restored"] == 0
    assert views.fetch(job.job_id) is None


def test_after_redis_came_up_empty_the_whole_view_is_built_again(make_job, take):
    long_ago = [ids.new_id(at_ms=int((time.time() - 7200 - number) * 1000)) for number in range(3)]
    jobs = [make_job(job_id=job_id) for job_id in long_ago]
    for job in jobs:
        ledger.write_job(job)
    ledger.write_result(
        JobResult(job_id=jobs[0].job_id, status=Status.FAILED, attempt=1, run="run", finished_at=utc_now())
    )
    redis_client().flushdb()

    assert sweep()["restored"] == 3

    assert views.fetch(jobs[0].job_id).status is Status.FAILED
    assert views.fetch(jobs[1].job_id).status is Status.QUEUED
    assert set(long_ago) <= set(views.list_ids("default", before=None, limit=1000))
    sweep()
    published = {take("darkroom.resize")["body"]["job_id"] for _ in range(2)}
    assert {jobs[1].job_id, jobs[2].job_id} >= published
    assert sweep()["restored"] == 0


def test_after_a_long_outage_of_redis_the_comparison_goes_on_where_it_ended(make_job):
    reconciliation.advance_cursor(ids.new_id(at_ms=int((time.time() - 3600) * 1000)), reconciliation.dataset_id())
    job = make_job(job_id=ids.new_id(at_ms=int((time.time() - 1800) * 1000)))
    ledger.write_job(job)

    assert sweep()["restored"] == 1
    assert ids.created_ms(reconciliation.cursor()) > (time.time() - app.ACCEPTING_S - 5) * 1000


def test_a_comparison_that_runs_out_of_time_goes_on_in_the_next_pass(make_job, monkeypatch):
    for minutes in (3, 2, 1):
        ledger.write_job(make_job(job_id=ids.new_id(at_ms=int((time.time() - minutes * 60) * 1000))))
    monkeypatch.setattr(app, "BATCH", 1)
    restore = app._restore

    def slowly(job_id):
        time.sleep(0.15)
        return restore(job_id)

    monkeypatch.setattr(app, "_restore", slowly)

    assert [sweep(remaining_ms=app.RESERVE_MS + 100)["restored"] for _ in range(4)] == [1, 1, 1, 0]


def test_a_job_whose_upload_landed_long_after_its_form_was_given_out_is_found(make_job):
    reconciliation.advance_cursor(ids.new_id(), reconciliation.dataset_id())
    job = make_job(job_id=ids.new_id(at_ms=int((time.time() - 3500) * 1000)))
    ledger.write_job(job)

    assert sweep()["restored"] == 1


def test_a_job_of_which_nothing_is_known_any_more_is_forgotten(make_job):
    job = make_job()
    views.create(job, due_in_s=0)
    redis_client().delete(keys.view_of(job.job_id))

    sweep()

    assert open_jobs.due(10) == []


def test_while_the_broker_is_down_a_queued_job_stays_due(make_job, monkeypatch):
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setenv("DARKROOM_BROKER_URL", "amqp://127.0.0.1:1/%2F")
    rabbitmq.settings.cache_clear()
    rabbitmq.close()

    sweep()

    assert open_jobs.due(10) == [job.job_id]


def test_a_job_that_cannot_be_read_keeps_no_other_waiting(make_job, take):
    broken, job = make_job(), make_job()
    accept_without_publishing(broken)
    redis_client().delete(keys.view_of(broken.job_id))
    s3.put(ledger.job_key(broken.job_id), b"{}", media_type="application/json")
    accept_without_publishing(job)

    sweep()

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert open_jobs.due(10) == [broken.job_id]


def test_a_view_that_cannot_be_read_keeps_no_other_waiting(make_job, take):
    broken, job = make_job(), make_job()
    for each in (broken, job):
        accept_without_publishing(each)
    redis_client().hset(keys.view_of(broken.job_id), "job", "{}")

    sweep()

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


def test_an_acceptance_that_cannot_be_read_keeps_no_other_waiting_and_is_looked_for_again(make_job):
    minute_ago = int((time.time() - 60) * 1000)
    broken, job = (make_job(job_id=ids.new_id(at_ms=minute_ago + number)) for number in range(2))
    s3.put(ledger.job_key(broken.job_id), b"{}", media_type="application/json")
    ledger.write_job(job)

    assert sweep()["restored"] == 1

    assert views.fetch(job.job_id) is not None
    assert reconciliation.cursor() == ""
    s3.put(ledger.job_key(broken.job_id), broken.model_dump_json().encode(), media_type="application/json")
    assert sweep()["restored"] == 1
    assert views.fetch(broken.job_id) is not None


def test_an_end_that_cannot_be_read_keeps_no_other_untidy(make_job):
    jobs = [make_job() for _ in range(2)]
    for job in jobs:
        ledger.write_job(job)
        s3.put(f"{lifecycle.outputs_prefix(job)}dead/a.png", b"a", media_type="image/png")
        lifecycle.end(
            job, JobResult(job_id=job.job_id, status=Status.FAILED, attempt=1, run="a", finished_at=utc_now())
        )
    s3.put(ledger.result_key(jobs[0].job_id), b"{}", media_type="application/json")
    redis_client().zadd(keys.CLEANUPS, {job.job_id: score for score, job in enumerate(jobs)})

    assert sweep()["tidied"] == 1

    assert open_jobs.due_for_cleanup(10) == [jobs[0].job_id]


def test_more_jobs_than_one_batch_move_in_one_pass(make_job, take, monkeypatch):
    monkeypatch.setattr(app, "BATCH", 2)
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        accept_without_publishing(job)

    assert sweep()["moved"] == 5

    assert {take("darkroom.resize")["body"]["job_id"] for _ in jobs} == {job.job_id for job in jobs}


def test_redis_emptied_during_the_comparison_is_compared_again_from_the_start(make_job, monkeypatch):
    for minutes in (180, 150, 120):
        ledger.write_job(make_job(job_id=ids.new_id(at_ms=int((time.time() - minutes * 60) * 1000))))
    monkeypatch.setattr(app, "BATCH", 1)
    restore, seen = app._restore, []

    def interrupted(job_id):
        done = restore(job_id)
        seen.append(job_id)
        if len(seen) == 2:
            redis_client().flushdb()
        return done

    monkeypatch.setattr(app, "_restore", interrupted)
    sweep()

    sweep()

    assert views.fetch(seen[0]) is not None
    assert len(views.list_ids("default", before=None, limit=10)) == 3


def test_lost_queues_are_declared_and_what_was_in_them_is_published_at_once(make_job, take):
    job = make_job()
    lifecycle.accept(job)
    for queue in ("darkroom.resize", "darkroom.dead"):
        rabbitmq._on_channel(lambda channel, queue=queue: channel.queue_delete(queue))

    assert sweep()["mended"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert sweep()["mended"] == 0


def test_an_upload_of_which_nobody_was_told_is_taken_in_once(upload, take):
    job = AttachedJob(job_id=ids.new_id(), operation=Operation.RESIZE, params={"width": 10})
    file_id = ids.new_id(at_ms=int((time.time() - 60) * 1000))
    png = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
    s3.put(uploads.key_of(file_id), png, media_type="image/png", metadata=uploads.metadata_of("a.png", [job]))
    just_landed = upload(png, "image/png")

    assert sweep()["taken_in"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert files.find_record(just_landed) is None
    assert sweep()["taken_in"] == 0


def test_what_a_dead_run_left_goes_once_no_run_can_be_under_way(make_job):
    job = make_job()
    accept_without_publishing(job)
    leases.claim(job.job_id, job.operation, attempt=1, run="dead", lease_ms=1)
    left, kept = f"{lifecycle.outputs_prefix(job)}dead/a.png", f"{lifecycle.outputs_prefix(job)}alive/a.png"
    for key in (left, kept):
        s3.put(key, b"a", media_type="image/png")
    output = Output(name="a.png", key=kept, media_type="image/png", size_bytes=1, sha256="0" * 64)
    result = JobResult(
        job_id=job.job_id, status=Status.COMPLETED, attempt=2, run="alive", finished_at=utc_now(), outputs=[output]
    )
    lifecycle.end(job, result)

    assert sweep()["tidied"] == 0
    redis_client().zadd(keys.CLEANUPS, {job.job_id: 0})
    assert sweep()["tidied"] == 1

    assert list(s3.keys_after(lifecycle.outputs_prefix(job))) == [kept]
    assert open_jobs.due_for_cleanup(10) == []


def test_a_job_of_one_run_needs_no_search_for_what_others_left(make_job):
    job = make_job()
    accept_without_publishing(job)
    leases.claim(job.job_id, job.operation, attempt=1, run="only", lease_ms=1)

    lifecycle.end(
        job, JobResult(job_id=job.job_id, status=Status.COMPLETED, attempt=1, run="only", finished_at=utc_now())
    )

    assert not redis_client().exists(keys.CLEANUPS)


def test_without_the_object_store_sweep_does_what_it_can(make_job, take, monkeypatch):
    job = make_job()
    accept_without_publishing(job)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    aws.client.cache_clear()

    assert sweep()["moved"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    aws.client.cache_clear()
