"""Dispatch starts one run per message, within the operation's in-flight limit, and requeues what it cannot start."""

import io
import json
import os
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from darkroom import config
from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import UNLIMITED
from darkroom.jobs import lifecycle
from darkroom.services import aws, rabbitmq
from darkroom.services.redis import slots, views
from darkroom.services.redis.client import redis_client
from functions.dispatch import app
from tests.integration.conftest import MakeJob, Take
from tests.integration.dispatching import almost_over, batch, body_of
from tests.integration.redis_jobs import acquire
from tests.support.lambda_context import LambdaContext

RESIZE = Operation.RESIZE

#: Returns the payload with which the function was invoked for a job.
InvokedWith = Callable[[Job], dict[str, Any]]


@pytest.fixture(scope="module")
def operation_function(bucket: str) -> Iterator[str]:
    """A function in the emulator with the operation's name, which writes its payload to the bucket."""
    code = f"""
import boto3, json
def handler(event, context):
    print("started")
    job_id = event["message"]["job_id"]
    boto3.client("s3").put_object(Bucket={bucket!r}, Key="started/" + job_id, Body=json.dumps(event))
"""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", code)
    client, name = aws.client("lambda"), f"{os.environ['DARKROOM_FUNCTION_PREFIX']}-{RESIZE}"
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=role(bucket),
        Code={"ZipFile": package.getvalue()},
    )
    yield name
    aws.client("lambda").delete_function(FunctionName=name)


def role(bucket: str) -> str:
    """The ARN of a role that may write to the bucket. The emulator enforces roles, as AWS does."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    write = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    name = f"integration-{uuid.uuid4().hex[:8]}"
    client = aws.client("iam")
    created = client.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    client.put_role_policy(RoleName=name, PolicyName="write", PolicyDocument=policy(write))
    return str(created["Role"]["Arn"])


def policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def invoked_with(bucket: str) -> InvokedWith:
    def invoked_with(job: Job) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = aws.client("s3").get_object(Bucket=bucket, Key=f"started/{job.job_id}")
            except ClientError:
                assert time.monotonic() < deadline, "the function was not invoked"
                time.sleep(0.05)
            else:
                return dict(json.loads(answer["Body"].read()))

    return invoked_with


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits each image operation to one run at a time."""
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "1")
    config.settings.cache_clear()


def test_each_message_starts_one_run_with_the_trace_of_the_job_or_of_the_message_if_redis_does_not_know_the_job(
    make_job: MakeJob, operation_function: str, invoked_with: InvokedWith
) -> None:
    jobs = [make_job(), make_job()]
    views.create(jobs[1])
    header = {"traceparent": {"bytes": list(jobs[0].traceparent.encode())}}

    outcomes = app.handler(batch(*map(body_of, jobs), headers=header), LambdaContext())

    assert outcomes == {"started": 2}
    assert invoked_with(jobs[0])["message"]["job_id"] == jobs[0].job_id
    assert invoked_with(jobs[0])["traceparent"] == jobs[0].traceparent
    assert invoked_with(jobs[1])["traceparent"] == jobs[1].traceparent
    assert slots.in_flight()[RESIZE] == 2


def test_message_starts_the_job_whose_turn_it_is_with_the_trace_of_that_job(
    make_job: MakeJob, operation_function: str, invoked_with: InvokedWith
) -> None:
    flood = [make_job(tenant="flood") for _ in range(3)]
    quiet = make_job(tenant="quiet")
    for job in (*flood, quiet):
        views.create(job)

    assert app.handler(batch(*map(body_of, flood[:2])), LambdaContext()) == {"started": 2}

    assert invoked_with(quiet)["traceparent"] == quiet.traceparent
    assert invoked_with(flood[0])["message"]["job_id"] == flood[0].job_id
    assert slots.in_flight()[RESIZE] == 2


def test_first_job_of_a_quiet_tenant_starts_although_all_messages_wait_for_the_limit_of_another(
    make_job: MakeJob, operation_function: str, invoked_with: InvokedWith
) -> None:
    limited = [make_job(tenant="limited") for _ in range(3)]
    for job in limited:
        views.create(job, quotas=UNLIMITED.model_copy(update={"in_flight_jobs": 1}))
    came: list[Job] = []

    def come() -> None:
        came.append(make_job(tenant="quiet"))
        views.create(came[0])

    coming = threading.Timer(0.3, come)
    coming.start()

    outcomes = app.handler(batch(*map(body_of, limited)), almost_over(3))

    coming.join()
    assert outcomes == {"started": 2, "requeued": 1}
    assert invoked_with(came[0])
    view = views.fetch(came[0].ref)
    assert view is not None
    at_ms = {event.event: event.at_ms for event in view.timeline}
    assert at_ms["dispatched"] - at_ms["accepted"] < 1000 * app.SLOT_WAIT_S / 2  # it did not wait for the next attempt


def test_message_of_an_ended_job_starts_nothing(make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    lifecycle.end(job, lifecycle.canceled_result(job, attempt=0))

    assert app.handler(batch(body_of(job)), LambdaContext()) == {"ended": 1}
    assert slots.in_flight()[RESIZE] == 0


@pytest.mark.parametrize(
    "body", [b"not json", b"{}", b'{"job_id":"x","tenant":"t","operation":"nonsense","attempt":1}']
)
def test_invalid_message_is_parked_with_the_reason(take: Take, body: bytes) -> None:
    assert app.handler(batch(body), LambdaContext()) == {"parked": 1}

    parked = take(rabbitmq.PARKED_QUEUE)
    assert parked["headers"]["x-reason"]


def test_message_waits_for_a_free_slot(
    make_job: MakeJob, operation_function: str, invoked_with: InvokedWith, one_slot: None
) -> None:
    holder, waiting = make_job(), make_job()
    for job in (holder, waiting):
        views.create(job)
    acquire(holder)
    end = threading.Timer(0.3, lambda: lifecycle.end(holder, lifecycle.canceled_result(holder, attempt=0)))
    end.start()

    assert app.handler(batch(body_of(waiting)), LambdaContext()) == {"started": 1}

    assert invoked_with(waiting)
    end.join()


def test_message_that_found_no_slot_in_time_is_requeued(make_job: MakeJob, take: Take, one_slot: None) -> None:
    holder, waiting = make_job(), make_job()
    for job in (holder, waiting):
        views.create(job)
    acquire(holder)

    outcomes = app.handler(batch(body_of(waiting)), almost_over())

    assert outcomes == {"requeued": 1}
    assert take("darkroom.resize")["body"]["job_id"] == waiting.job_id


def test_video_metadata_has_the_limit_of_video_operations_although_it_accepts_images(
    make_job: MakeJob, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "2")
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_VIDEO", "1")
    config.settings.cache_clear()
    holder, waiting = make_job(Operation.VIDEO_METADATA), make_job(Operation.VIDEO_METADATA)
    for job in (holder, waiting):
        views.create(job)
    acquire(holder)

    outcomes = app.handler(batch(body_of(waiting)), almost_over())

    assert outcomes == {"requeued": 1}
    assert take("darkroom.video_metadata")["body"]["job_id"] == waiting.job_id


def test_message_whose_function_cannot_be_invoked_is_requeued_and_its_slot_released(
    make_job: MakeJob, take: Take
) -> None:
    job = make_job(Operation.WATERMARK)
    views.create(job)

    outcomes = app.handler(batch(body_of(job)), almost_over())

    assert outcomes == {"delayed": 1}
    assert slots.in_flight()[Operation.WATERMARK] == 0
    assert take(f"darkroom.watermark.retry.{app.OUTAGE_DELAY_S}s")["body"]["job_id"] == job.job_id


def test_run_that_cannot_start_does_not_delay_the_rest_of_its_batch(
    make_job: MakeJob, operation_function: str, invoked_with: InvokedWith, take: Take
) -> None:
    stuck, other = make_job(Operation.WATERMARK), make_job()
    for job in (stuck, other):
        views.create(job)

    outcomes = app.handler(batch(body_of(stuck), body_of(other)), almost_over())

    assert outcomes == {"delayed": 1, "started": 1}
    assert invoked_with(other)
    assert take(f"darkroom.watermark.retry.{app.OUTAGE_DELAY_S}s")["body"]["job_id"] == stuck.job_id


def test_parked_message_does_not_delay_the_rest_of_its_batch(
    make_job: MakeJob, operation_function: str, take: Take
) -> None:
    job = make_job()
    views.create(job)

    assert app.handler(batch(b"not json", body_of(job)), LambdaContext()) == {"parked": 1, "started": 1}
    assert take(rabbitmq.PARKED_QUEUE)["body"] == b"not json"


def test_message_is_requeued_while_redis_is_unavailable(
    make_job: MakeJob, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    monkeypatch.setenv("DARKROOM_CACHE_URL", "redis://127.0.0.1:1/1")
    config.settings.cache_clear()
    redis_client.cache_clear()

    outcomes = app.handler(batch(body_of(job)), almost_over())

    assert outcomes == {"delayed": 1}
    assert take(f"darkroom.resize.retry.{app.OUTAGE_DELAY_S}s")["body"]["job_id"] == job.job_id
