import base64
import json

import pytest

from darkroom.contracts.jobs import MAX_ATTEMPTS, JobResult, Status
from darkroom.jobs import ledger, lifecycle
from darkroom.jobs.events import MalformedMessageError
from darkroom.services import rabbitmq
from darkroom.services.redis import leases, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from functions.settle import app


def failed_run(job, attempt=1, reason="Worker process died", error_type=""):
    """The record that an on-failure destination receives."""
    return {
        "version": "1.0",
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": {
            "message": json.loads(lifecycle.message_for(job, attempt).model_dump_json()),
            "traceparent": job.traceparent,
        },
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": reason, "errorType": error_type},
    }


def dead_letter(body):
    message = {"basicProperties": {"headers": {}}, "redelivered": True, "data": base64.b64encode(body).decode()}
    return {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"darkroom.dead::/": [message]}}


@pytest.fixture
def running(make_job):
    job = make_job()
    ledger.write_job(job)
    views.create(job)
    leases.claim(job.job_id, job.operation, attempt=1, run="run-1", lease_ms=60_000)
    return job


def waiting_for_retry(queue):
    return rabbitmq._on_channel(lambda channel: channel.basic_get(queue, auto_ack=True))[2]


def test_a_run_that_died_is_tried_again(running):
    app.handler(failed_run(running), None)

    view = views.fetch(running.job_id)
    assert (view.status, view.attempt, view.errors[0].code) == (Status.QUEUED, 1, "worker_died")
    assert json.loads(waiting_for_retry("darkroom.resize.retry.2s"))["attempt"] == 2
    assert slots.in_flight()[running.operation] == 0


def test_a_run_that_hit_the_time_limit_fails_since_another_would_too(running):
    app.handler(failed_run(running, reason="2026 Task timed out after 60.00 seconds"), None)

    assert ledger.read_result(running.job_id).error.code == "processing_timed_out"
    assert views.fetch(running.job_id).status is Status.FAILED


def test_the_last_attempt_that_dies_fails_the_job(make_job):
    job = make_job()
    ledger.write_job(job)
    views.create(job)
    leases.claim(job.job_id, job.operation, attempt=MAX_ATTEMPTS, run="run-5", lease_ms=60_000)

    app.handler(failed_run(job, MAX_ATTEMPTS), None)

    assert ledger.read_result(job.job_id).error.code == "worker_died"


def test_a_run_that_died_before_its_claim_counts_as_an_attempt(make_job):
    job = make_job()
    ledger.write_job(job)
    views.create(job)

    app.handler(failed_run(job), None)

    assert views.fetch(job.job_id).attempt == 1
    assert json.loads(waiting_for_retry("darkroom.resize.retry.2s"))["attempt"] == 2


def test_a_run_that_lambda_had_no_room_for_uses_up_no_attempt(make_job):
    job = make_job()
    ledger.write_job(job)
    views.create(job)
    for attempt in range(1, MAX_ATTEMPTS + 2):
        record = failed_run(job, attempt)
        record["requestContext"]["condition"] = "EventAgeExceeded"
        del record["responseContext"], record["responsePayload"]

        app.handler(record, None)

    assert ledger.read_result(job.job_id) is None
    assert {error.code for error in views.fetch(job.job_id).errors} == {"lambda_unavailable"}


def test_a_run_that_an_outage_ended_uses_up_no_attempt(make_job):
    job = make_job()
    ledger.write_job(job)
    views.create(job)
    for attempt in range(1, MAX_ATTEMPTS + 2):
        app.handler(failed_run(job, attempt, error_type="StorageUnavailableError"), None)

    assert ledger.read_result(job.job_id) is None
    assert {error.code for error in views.fetch(job.job_id).errors} == {"storage_unavailable"}


def test_news_of_an_attempt_that_was_overtaken_changes_nothing(running):
    app.handler(failed_run(running), None)
    leases.claim(running.job_id, running.operation, attempt=2, run="run-2", lease_ms=60_000)

    assert app.handler(failed_run(running), None) == {"outcome": "stale"}
    assert app.handler(failed_run(running, reason="Task timed out after 60 s"), None) == {"outcome": "stale"}

    assert views.fetch(running.job_id).status is Status.RUNNING


def test_a_run_that_died_after_its_commit_is_completed(running):
    result = JobResult(job_id=running.job_id, status=Status.COMPLETED, attempt=1, run="run-1", finished_at=utc_now())
    ledger.write_result(result)

    assert app.handler(failed_run(running), None) == {"outcome": "ended"}

    assert views.fetch(running.job_id).status is Status.COMPLETED


def test_a_dead_run_whose_view_was_lost_is_tried_again(running):
    redis_client().flushdb()

    app.handler(failed_run(running), None)

    assert views.fetch(running.job_id).status is Status.QUEUED
    assert json.loads(waiting_for_retry("darkroom.resize.retry.2s"))["attempt"] == 2


def test_a_dead_letter_puts_its_job_back_to_work(make_job):
    job = make_job()
    ledger.write_job(job)
    views.create(job)

    app.handler(dead_letter(lifecycle.first_message(job).model_dump_json().encode()), None)

    assert json.loads(waiting_for_retry("darkroom.resize.retry.2s"))["attempt"] == 2


def test_a_dead_letter_that_names_no_job_is_parked(make_job, take):
    app.handler(dead_letter(lifecycle.first_message(make_job()).model_dump_json().encode()), None)
    app.handler(dead_letter(b"nonsense"), None)

    assert "never accepted" in take(rabbitmq.PARKED_QUEUE)["headers"]["x-reason"]
    assert take(rabbitmq.PARKED_QUEUE)["body"] == b"nonsense"


def test_parked_messages_can_be_listed_again_and_again(take):
    rabbitmq.park(b"nonsense", "an-id", "it is not JSON", since_s=1_795_000_000)

    for _ in range(3):
        assert app.handler({"parked": "list"}, None)["parked"] == [
            {"reason": "it is not JSON", "message_id": "an-id", "parked_at_s": 1_795_000_000, "body": "nonsense"}
        ]

    assert take(rabbitmq.PARKED_QUEUE) is not None
    assert take(rabbitmq.PARKED_QUEUE) is None


def test_parked_messages_are_replayed_when_they_can_be_and_kept_when_not(make_job, take):
    job = make_job()
    rabbitmq.park(lifecycle.first_message(job).model_dump_json().encode(), job.job_id, "never accepted")
    rabbitmq.park(b"nonsense", None, "it is not JSON")

    assert app.handler({"parked": "replay"}, None) == {"replayed": 1, "kept": 1}

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert take(rabbitmq.PARKED_QUEUE)["headers"]["x-reason"] == "it is not JSON"
    assert take(rabbitmq.PARKED_QUEUE) is None


@pytest.mark.parametrize("command", [{"parked": "burn"}, {"parked": "list", "limit": 0}])
def test_a_command_that_does_not_exist_is_refused(command):
    with pytest.raises(MalformedMessageError):
        app.handler(command, None)
