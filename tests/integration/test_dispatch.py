import base64
import io
import json
import os
import threading
import time
import uuid
import zipfile

import pytest
from botocore.exceptions import ClientError

from darkroom.contracts.operations import Operation
from darkroom.jobs import lifecycle
from darkroom.services import aws, rabbitmq
from darkroom.services.redis import slots, views
from darkroom.services.redis.client import redis_client
from functions.dispatch import app

RESIZE = Operation.RESIZE


class Context:
    def __init__(self, remaining_ms=60_000):
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self):
        return self.remaining_ms


@pytest.fixture(scope="module")
def operation_function(bucket):
    """A function in the emulator under the operation's name, which writes what it was started with into the bucket."""
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
    """A role that may write into the bucket. The emulator looks it up and obeys it, as AWS does."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    write = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    name = f"integration-{uuid.uuid4().hex[:8]}"
    client = aws.client("iam")
    made = client.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    client.put_role_policy(RoleName=name, PolicyName="write", PolicyDocument=policy(write))
    return made["Role"]["Arn"]


def policy(statement: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def batch(*bodies, headers=None):
    """An event as a mapping delivers it."""
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": "arn:aws:mq:us-east-1:000000000000:broker:local:b-0",
        "rmqMessagesByQueue": {
            "darkroom.resize::/": [
                {
                    "basicProperties": {"headers": headers or {}, "messageId": "an-id"},
                    "redelivered": False,
                    "data": base64.b64encode(body).decode(),
                }
                for body in bodies
            ]
        },
    }


def body_of(job, attempt=1):
    return lifecycle.message_for(job, attempt).model_dump_json().encode()


@pytest.fixture
def started(bucket):
    """Waits until the function was started for a job and returns what it was started with."""

    def started(job):
        deadline = time.monotonic() + 10
        while True:
            try:
                answer = aws.client("s3").get_object(Bucket=bucket, Key=f"started/{job.job_id}")
            except ClientError:
                assert time.monotonic() < deadline, "the function was not started"
                time.sleep(0.05)
            else:
                return json.loads(answer["Body"].read())

    return started


def test_each_message_starts_one_run_with_its_trace(make_job, operation_function, started):
    jobs = [make_job(), make_job()]
    for job in jobs:
        views.create(job)
    header = {"traceparent": {"bytes": list(jobs[0].traceparent.encode())}}

    outcomes = app.handler(batch(*map(body_of, jobs), headers=header), Context())

    assert outcomes == {"acquired": 2}
    assert started(jobs[0])["message"]["job_id"] == jobs[0].job_id
    assert started(jobs[1])["traceparent"] == jobs[0].traceparent
    assert slots.in_flight()[RESIZE] == 2


def test_a_message_of_a_job_that_is_over_starts_nothing(make_job):
    job = make_job()
    views.create(job)
    lifecycle.end(job, lifecycle.canceled_result(job, attempt=0))

    assert app.handler(batch(body_of(job)), Context()) == {"ended": 1}
    assert slots.in_flight()[RESIZE] == 0


@pytest.mark.parametrize(
    "body", [b"not json", b"{}", b'{"job_id":"x","tenant":"t","operation":"nonsense","attempt":1}']
)
def test_a_message_that_is_none_of_ours_is_parked_with_its_reason(take, body):
    assert app.handler(batch(body), Context()) == {"parked": 1}

    parked = take(rabbitmq.PARKED_QUEUE)
    assert parked["headers"]["x-reason"]


def test_without_a_free_slot_the_message_waits_and_starts_when_one_comes_free(
    make_job, operation_function, started, monkeypatch
):
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "1")
    app.settings.cache_clear()
    holder, waiting = make_job(), make_job()
    for job in (holder, waiting):
        views.create(job)
    slots.acquire(holder.job_id, RESIZE, 1, limit=1)
    result = threading.Timer(0.3, lambda: lifecycle.end(holder, lifecycle.canceled_result(holder, attempt=0)))
    result.start()

    assert app.handler(batch(body_of(waiting)), Context()) == {"acquired": 1}

    assert started(waiting)
    result.join()


def test_a_message_that_waited_too_long_goes_back_to_the_broker(make_job, take, monkeypatch):
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "1")
    app.settings.cache_clear()
    holder, waiting = make_job(), make_job()
    for job in (holder, waiting):
        views.create(job)
    slots.acquire(holder.job_id, RESIZE, 1, limit=1)

    outcomes = app.handler(batch(body_of(waiting)), Context(remaining_ms=app.RESERVE_MS + 300))

    assert outcomes == {"given_back": 1}
    assert take("darkroom.resize")["body"]["job_id"] == waiting.job_id


def test_video_metadata_has_the_limit_of_video_operations_although_it_accepts_images(make_job, take, monkeypatch):
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "2")
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_VIDEO", "1")
    app.settings.cache_clear()
    holder, waiting = make_job(Operation.VIDEO_METADATA), make_job(Operation.VIDEO_METADATA)
    for job in (holder, waiting):
        views.create(job)
    slots.acquire(holder.job_id, Operation.VIDEO_METADATA, 1, limit=1)

    outcomes = app.handler(batch(body_of(waiting)), Context(remaining_ms=app.RESERVE_MS + 300))

    assert outcomes == {"given_back": 1}
    assert take("darkroom.video_metadata")["body"]["job_id"] == waiting.job_id


def test_a_function_that_cannot_be_started_gives_its_slot_and_message_back(make_job, take):
    job = make_job(Operation.WATERMARK)
    views.create(job)

    outcomes = app.handler(batch(body_of(job)), Context(remaining_ms=app.RESERVE_MS + 300))

    assert outcomes == {"given_back": 1}
    assert slots.in_flight()[Operation.WATERMARK] == 0
    assert take("darkroom.watermark")["body"]["job_id"] == job.job_id


def test_a_run_that_cannot_start_holds_up_none_of_its_batch(make_job, operation_function, started, take):
    stuck, other = make_job(Operation.WATERMARK), make_job()
    for job in (stuck, other):
        views.create(job)

    outcomes = app.handler(batch(body_of(stuck), body_of(other)), Context(remaining_ms=app.RESERVE_MS + 300))

    assert outcomes == {"given_back": 1, "acquired": 1}
    assert started(other)
    assert take("darkroom.watermark")["body"]["job_id"] == stuck.job_id


def test_what_is_parked_holds_up_none_of_its_batch(make_job, operation_function, take):
    job = make_job()
    views.create(job)

    assert app.handler(batch(b"not json", body_of(job)), Context()) == {"parked": 1, "acquired": 1}
    assert take(rabbitmq.PARKED_QUEUE)["body"] == b"not json"


def test_dispatch_waits_for_a_cache_that_is_down_and_gives_the_message_back(make_job, take, monkeypatch):
    job = make_job()
    monkeypatch.setenv("DARKROOM_CACHE_URL", "redis://127.0.0.1:1/1")
    app.settings.cache_clear()
    redis_client.cache_clear()

    outcomes = app.handler(batch(body_of(job)), Context(remaining_ms=app.RESERVE_MS + 300))

    assert outcomes == {"given_back": 1}
    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
