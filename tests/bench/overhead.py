"""CPU time that Darkroom adds to an operation, by step. The handlers run in this process and use the real services.

The API's handler receives POST /jobs. Dispatch's handler receives the message that this published, in a batch of one.
The worker runs an operation that only reads its source and returns a prepared result. Then the API receives GET /jobs.
Only this process counts: the services and other programs do not.
"""

import contextlib
import cProfile
import io
import json
import os
import pstats
import statistics
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.lambda_context import LambdaContext
from tests.support.tenants import upload_key

#: Measured jobs, and jobs before the measurement.
JOBS = 200
WARM_UP_JOBS = 20

#: The goal: milliseconds per job for the steps that every job takes.
GOAL_MS = 15.0

#: Size of the result: that of a thumbnail of 300 x 300 pixels.
RESULT_BYTES = 20_000

_PREFIX = "overhead"
_SUBMIT, _DISPATCH, _WORK, _GET = "API, POST /jobs", "dispatch", "worker", "API, GET /jobs/{id}"

#: The steps that every job takes; a client sends GET as often as it wants.
_PER_JOB = (_SUBMIT, _DISPATCH, _WORK)
_STEPS = (*_PER_JOB, _GET)

Event = dict[str, Any]
Call = Callable[[], Any]


class JobSteps:
    """The steps of one job after another, on one uploaded photo."""

    def __init__(self, photo: bytes) -> None:
        from api.main import handler as api
        from darkroom import ids
        from darkroom.contracts.operations import Operation
        from darkroom.jobs import uploads, worker
        from darkroom.media.task import Rendition
        from darkroom.services import s3
        from functions.dispatch.app import handler as dispatch

        result = os.urandom(RESULT_BYTES)

        def read_only(task: Any, _params: Any) -> list[Rendition]:
            task.source.read()
            return [Rendition(result, "jpg", "image/jpeg", 300, 300)]

        self._api, self._dispatch = api, dispatch
        self._run = worker.bind(Operation.THUMBNAIL, read_only)
        self._file_id = ids.new_id()
        key, metadata = upload_key(self._file_id), uploads.metadata_of("photo.jpg", [])
        s3.put(key, photo, media_type="image/jpeg", metadata=metadata)

    def run(self) -> Iterator[tuple[str, Call]]:
        """The steps of a new job in order, each with the call to be timed. The caller makes each call once."""
        from tests.support import gateway

        responses: list[Any] = []
        submitted = json.dumps({"file_id": self._file_id, "operation": "thumbnail", "params": {}}).encode()
        post = gateway.event("POST", "/jobs", body=submitted, headers={"content-type": "application/json"})
        yield _SUBMIT, lambda: responses.append(self._api(post, gateway.context()))
        assert responses[0]["statusCode"] == 202, responses[0]

        batch, invocation = _published()
        yield _DISPATCH, lambda: responses.append(self._dispatch(batch, LambdaContext()))
        assert responses[1] == {"started": 1}, responses[1]

        yield _WORK, lambda: responses.append(self._run(invocation, LambdaContext()))
        assert responses[2]["outcome"] == "completed", responses[2]

        get = gateway.event("GET", f"/jobs/{responses[2]['job_id']}?wait=20")
        yield _GET, lambda: responses.append(self._api(get, gateway.context()))
        assert json.loads(responses[3]["body"])["status"] == "completed", responses[3]


def _published() -> tuple[Event, Event]:
    """The message that the API has just published, as the events that dispatch and the worker receive."""
    from darkroom.contracts.operations import Operation
    from darkroom.services import rabbitmq
    from localstack.aws import rmq_event
    from tests.support.broker import on_channel

    queue = rabbitmq.queue_of(Operation.THUMBNAIL)
    method, properties, body = on_channel("basic_get", queue, auto_ack=True)
    assert method is not None, "nothing was published"
    source = rmq_event.Source("arn:aws:mq:us-east-1:000000000000:broker:local:b-0", queue, "/")
    record = rmq_event.record(properties, body, redelivered=False)
    traceparent = properties.headers["traceparent"]
    return json.loads(rmq_event.event(source, [record])), {"message": json.loads(body), "traceparent": traceparent}


@contextlib.contextmanager
def isolated_services() -> Iterator[None]:
    """Creates a bucket, queues and a function that no running stack uses, and empties the Redis database."""
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "database 0 belongs to a running stack: use another one"
    os.environ["DARKROOM_ACCESS"] = "open"
    os.environ["DARKROOM_BUCKET"] = f"{_PREFIX}-{uuid.uuid4().hex[:12]}"
    os.environ["DARKROOM_FUNCTION_PREFIX"] = _PREFIX
    from darkroom.contracts.operations import Operation
    from darkroom.services import aws, rabbitmq
    from darkroom.services.redis.client import redis_client
    from tests.support.broker import close_connections, on_channel

    aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
    redis_client().flushdb()
    rabbitmq.declare_topology()
    on_channel("queue_purge", rabbitmq.queue_of(Operation.THUMBNAIL))
    function = _idle_function()
    try:
        yield
    finally:
        aws.client("lambda").delete_function(FunctionName=function)
        rabbitmq.close()
        close_connections()


def _idle_function() -> str:
    """Creates the function that dispatch invokes, which does nothing. Returns its name."""
    from darkroom.services import aws

    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    print('started')\n")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = aws.client("iam").create_role(RoleName=f"{_PREFIX}-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=policy)
    name = f"{_PREFIX}-thumbnail"
    with contextlib.suppress(aws.client("lambda").exceptions.ResourceNotFoundException):
        aws.client("lambda").delete_function(FunctionName=name)
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": package.getvalue()},
    )
    return name


@contextlib.contextmanager
def _logs_in_a_file() -> Iterator[None]:
    """Redirects the handlers' logs to a file, so that writing them counts and the printed table stays readable."""
    with tempfile.TemporaryFile("w") as file, contextlib.redirect_stdout(file):
        yield


def measure(photo: bytes, jobs: int = JOBS) -> dict[str, list[float]]:
    """CPU milliseconds by step, one figure per job."""
    times_ms: dict[str, list[float]] = {step: [] for step in _STEPS}
    with _logs_in_a_file(), isolated_services():
        steps = JobSteps(photo)
        for job in range(WARM_UP_JOBS + jobs):
            for step, call in steps.run():
                started = time.process_time()
                call()
                if job >= WARM_UP_JOBS:
                    times_ms[step].append((time.process_time() - started) * 1000)
    return times_ms


def profile(photo: bytes, jobs: int = JOBS) -> dict[str, cProfile.Profile]:
    """A profile of each step."""
    profiles = {step: cProfile.Profile() for step in _STEPS}
    with _logs_in_a_file(), isolated_services():
        steps = JobSteps(photo)
        for job in range(WARM_UP_JOBS + jobs):
            for step, call in steps.run():
                if job < WARM_UP_JOBS:
                    call()
                else:
                    profiles[step].runcall(call)
    return profiles


def report(photo: bytes) -> None:
    """Prints the table."""
    times_ms = measure(photo)
    print(f"\nCPU milliseconds per job around an operation, {JOBS} jobs, source of {len(photo):,} bytes.\n")
    print("| step | median | mean |\n|---|---:|---:|")
    for step in _PER_JOB:
        print(f"| {step} | {_cells(times_ms[step])} |")
    sums = [sum(each) for each in zip(*(times_ms[step] for step in _PER_JOB), strict=True)]
    print(f"| **sum** (goal: below {GOAL_MS:.0f}) | {_cells(sums)} |")
    print(f"| in addition, per request: {_GET} | {_cells(times_ms[_GET])} |")


def _cells(milliseconds: Sequence[float]) -> str:
    return f"{statistics.median(milliseconds):.2f} | {statistics.mean(milliseconds):.2f}"


def report_profile(photo: bytes, lines: int) -> None:
    """Prints where each step spends its time."""
    for step, found in profile(photo).items():
        print(f"\n## {step}")
        pstats.Stats(found).sort_stats("cumulative").print_stats(lines)


if __name__ == "__main__":  # arguments: the path of a photo, and the number of lines per step
    report_profile(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]))
