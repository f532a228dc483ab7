"""Settle retries or fails the job of a run that did not return, and lets operators handle parked messages."""

import base64
import json
from typing import Any

import pytest

from darkroom.contracts.jobs import MAX_ATTEMPTS, FailedAttempt, Failure, Job, JobResult, Status
from darkroom.jobs import events, ledger, lifecycle
from darkroom.services import rabbitmq
from darkroom.services.redis import leases, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from functions.settle import app
from tests.integration.conftest import MakeJob, Take, failure_code_of, on_channel, view_of


def failed_invocation(
    job: Job, attempt: int = 1, reason: str = "Worker process died", error_type: str = ""
) -> dict[str, Any]:
    """The record that Lambda sends to an on-failure destination."""
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


def dead_letter(body: bytes) -> events.Event:
    message = {"basicProperties": {"headers": {}}, "redelivered": True, "data": base64.b64encode(body).decode()}
    return {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"darkroom.dead::/": [message]}}


@pytest.fixture
def queued(make_job: MakeJob) -> Job:
    job = make_job()
    ledger.write_job(job)
    views.create(job)
    return job


@pytest.fixture
def running(queued: Job) -> Job:
    leases.claim(queued.ref, queued.operation, attempt=1, run="run-1", lease_ms=60_000)
    return queued


def next_attempt() -> int:
    """The attempt of the message that waits for its first retry."""
    _, _, body = on_channel("basic_get", "darkroom.resize.retry.2s", auto_ack=True)
    return int(json.loads(body)["attempt"])


def test_job_of_a_run_that_crashed_is_retried(running: Job) -> None:
    app.handler(failed_invocation(running), None)

    view = view_of(running.job_id)
    assert (view.status, view.attempt, view.errors[0].code) == (Status.QUEUED, 1, "worker_died")
    assert next_attempt() == 2
    assert slots.in_flight()[running.operation] == 0


def test_job_of_a_run_that_lambda_stopped_is_retried_because_its_storage_may_have_stalled(running: Job) -> None:
    app.handler(failed_invocation(running, reason="2026 Task timed out after 60.00 seconds"), None)

    view = view_of(running.job_id)
    assert (view.status, view.failed_attempts, view.errors[0].code) == (Status.QUEUED, 1, "worker_died")
    assert next_attempt() == 2


def test_job_fails_when_its_last_attempt_crashed(queued: Job) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert ledger.read_result(queued.ref) is None
        leases.claim(queued.ref, queued.operation, attempt=attempt, run="a", lease_ms=60_000)
        app.handler(failed_invocation(queued, attempt), None)

    assert failure_code_of(queued.job_id) == "worker_died"


def test_record_of_a_failed_run_that_arrives_twice_counts_once(queued: Job) -> None:
    for attempt in range(1, MAX_ATTEMPTS):
        leases.claim(queued.ref, queued.operation, attempt=attempt, run="a", lease_ms=60_000)
        for _ in range(2):
            app.handler(failed_invocation(queued, attempt), None)

    assert ledger.read_result(queued.ref) is None
    assert view_of(queued.job_id).failed_attempts == MAX_ATTEMPTS - 1


def report(job: Job, run: str, *, outage: bool = False) -> events.Event:
    """The report of a run whose attempt failed."""
    failed = FailedAttempt(
        message=lifecycle.message_for(job, 1),
        run=run,
        failure=Failure(code="internal_error", message="An internal error occurred."),
        outage=outage,
    )
    event: events.Event = json.loads(events.failure_report_payload(failed))
    return event


@pytest.mark.parametrize(("outage", "counted"), [(False, 1), (True, 0)])
def test_attempt_that_its_run_reports_as_failed_is_retried(running: Job, outage: bool, counted: int) -> None:
    app.handler(report(running, "run-1", outage=outage), None)

    view = view_of(running.job_id)
    assert (view.status, view.failed_attempts, view.errors[0].code) == (Status.QUEUED, counted, "internal_error")
    assert next_attempt() == 2


def test_report_of_a_run_that_does_not_own_the_job_changes_nothing(running: Job) -> None:
    app.handler(report(running, "another-run"), None)

    assert view_of(running.job_id).status is Status.RUNNING


def test_report_of_a_run_of_an_unknown_job_is_parked(make_job: MakeJob, take: Take) -> None:
    job = make_job()

    assert app.handler(report(job, "run-1", outage=True), None) == {"outcome": "unknown"}

    assert take(rabbitmq.PARKED_QUEUE)["body"]["job_id"] == job.job_id


def test_run_that_crashed_before_its_claim_counts_as_an_attempt(queued: Job) -> None:
    app.handler(failed_invocation(queued), None)

    assert view_of(queued.job_id).attempt == 1
    assert next_attempt() == 2


def test_run_for_which_lambda_had_no_capacity_uses_no_attempt(queued: Job) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 2):
        record = failed_invocation(queued, attempt)
        record["requestContext"]["condition"] = "EventAgeExceeded"
        del record["responseContext"], record["responsePayload"]

        app.handler(record, None)

    assert ledger.read_result(queued.ref) is None
    assert {error.code for error in view_of(queued.job_id).errors} == {"lambda_unavailable"}


@pytest.mark.parametrize(
    ("error_type", "code"), [("SourceReplacedError", "source_replaced"), ("InternalError", "internal_error")]
)
def test_error_that_a_run_could_not_report_keeps_its_code(running: Job, error_type: str, code: str) -> None:
    app.handler(failed_invocation(running, error_type=error_type), None)

    view = view_of(running.job_id)
    assert (view.failed_attempts, view.errors[0].code) == (1, code)


def test_invocation_that_lambda_never_started_does_not_end_another_run_of_the_attempt(running: Job) -> None:
    record = failed_invocation(running)  # dispatch called Lambda twice, and the other call started the run
    record["requestContext"]["condition"] = "EventAgeExceeded"
    del record["responseContext"], record["responsePayload"]

    assert app.handler(record, None) == {"outcome": "stale"}

    assert view_of(running.job_id).status is Status.RUNNING


def test_run_that_failed_in_an_outage_uses_no_attempt(queued: Job) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 2):
        app.handler(failed_invocation(queued, attempt, error_type="StorageUnavailableError"), None)

    assert ledger.read_result(queued.ref) is None
    assert {error.code for error in view_of(queued.job_id).errors} == {"storage_unavailable"}


def test_failure_record_of_an_earlier_attempt_changes_nothing(running: Job) -> None:
    app.handler(failed_invocation(running), None)
    leases.claim(running.ref, running.operation, attempt=2, run="run-2", lease_ms=60_000)

    assert app.handler(failed_invocation(running), None) == {"outcome": "stale"}
    assert app.handler(failed_invocation(running, reason="Task timed out after 60 s"), None) == {"outcome": "stale"}

    assert view_of(running.job_id).status is Status.RUNNING


def test_job_of_a_run_that_crashed_after_its_commit_is_completed(running: Job) -> None:
    result = JobResult(job_id=running.job_id, status=Status.COMPLETED, attempt=1, run="run-1", finished_at=utc_now())
    ledger.write_result(running.ref, result)

    assert app.handler(failed_invocation(running), None) == {"outcome": "ended"}

    assert view_of(running.job_id).status is Status.COMPLETED


def test_job_of_a_run_that_crashed_is_retried_after_its_view_was_lost(running: Job) -> None:
    redis_client().flushdb()

    app.handler(failed_invocation(running), None)

    assert view_of(running.job_id).status is Status.QUEUED
    assert next_attempt() == 2


def test_message_that_could_not_be_delivered_uses_no_attempt(queued: Job) -> None:
    for attempt in range(1, 2 * MAX_ATTEMPTS):
        app.handler(dead_letter(lifecycle.message_for(queued, attempt).model_dump_json().encode()), None)

    view = view_of(queued.job_id)
    assert (view.status, view.attempt, view.failed_attempts) == (Status.QUEUED, 2 * MAX_ATTEMPTS - 1, 0)
    assert view.errors[0].code == "lambda_unavailable"
    assert next_attempt() == 2


def test_dead_letter_of_a_run_that_was_started_changes_nothing(running: Job) -> None:
    app.handler(dead_letter(lifecycle.first_message(running).model_dump_json().encode()), None)

    assert view_of(running.job_id).status is Status.RUNNING


def test_dead_letter_that_is_invalid_or_of_an_unknown_job_is_parked(make_job: MakeJob, take: Take) -> None:
    app.handler(dead_letter(lifecycle.first_message(make_job()).model_dump_json().encode()), None)
    app.handler(dead_letter(b"nonsense"), None)

    assert "never accepted" in take(rabbitmq.PARKED_QUEUE)["headers"]["x-reason"]
    assert take(rabbitmq.PARKED_QUEUE)["body"] == b"nonsense"


def test_listing_parked_messages_keeps_them(take: Take) -> None:
    rabbitmq.park(b"nonsense", "an-id", "it is not JSON", since_s=1_795_000_000)

    for _ in range(3):
        assert app.handler({"parked": "list"}, None)["parked"] == [
            {"reason": "it is not JSON", "message_id": "an-id", "parked_at_s": 1_795_000_000, "body": "nonsense"}
        ]

    assert take(rabbitmq.PARKED_QUEUE) is not None
    assert take(rabbitmq.PARKED_QUEUE) is None


def test_replay_publishes_valid_parked_messages_and_keeps_invalid_ones(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    rabbitmq.park(lifecycle.first_message(job).model_dump_json().encode(), job.job_id, "never accepted")
    rabbitmq.park(b"nonsense", None, "it is not JSON")

    assert app.handler({"parked": "replay"}, None) == {"replayed": 1, "kept": 1}

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert take(rabbitmq.PARKED_QUEUE)["headers"]["x-reason"] == "it is not JSON"
    assert take(rabbitmq.PARKED_QUEUE) is None


@pytest.mark.parametrize("command", [{"parked": "burn"}, {"parked": "list", "limit": 0}])
def test_invalid_command_is_refused(command: dict[str, Any]) -> None:
    with pytest.raises(events.MalformedMessageError):
        app.handler(command, None)
