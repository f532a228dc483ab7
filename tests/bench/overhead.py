"""Processor time that Darkroom adds around the pure operation, part by part, in this process against the real services.

The API's handler takes POST /jobs, dispatch's handler the batch of one message which that published. The life cycle
runs an operation that only reads its source and returns a result that is there already. Then the API is asked for it.
Time on the processor, not on the clock: what services and other programs do does not count.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Jobs that count, and jobs before them.
JOBS = 200
WARM_UP = 20

#: Milliseconds a job that the sum of what every job needs shall stay below.
AIM_MS = 15.0

#: Bytes of the result: as many as a thumbnail of 300 x 300 pixels has.
RESULT_BYTES = 20_000

_PREFIX = "overhead"
_NEEDED = ("API, POST /jobs", "dispatch", "life cycle")
_ASKED = "API, GET /jobs/{id}"
_PARTS = (*_NEEDED, _ASKED)

Event = dict[str, Any]
Step = Callable[[], Any]


class Context:
    """Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Course:
    """One job's way through the parts."""

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
        key, metadata = uploads.key_of(self._file_id), uploads.metadata_of("photo.jpg", [])
        s3.put(key, photo, media_type="image/jpeg", metadata=metadata)

    def steps(self) -> Iterator[tuple[str, Step]]:
        """The parts in order, each with what is to be timed."""
        from tests import gateway

        answers: list[Any] = []
        wanted = json.dumps({"file_id": self._file_id, "operation": "thumbnail", "params": {}}).encode()
        post = gateway.event("POST", "/jobs", body=wanted, headers={"content-type": "application/json"})
        yield _PARTS[0], lambda: answers.append(self._api(post, gateway.context()))
        assert answers[0]["statusCode"] == 202, answers[0]

        batch, invocation = _published()
        yield _PARTS[1], lambda: answers.append(self._dispatch(batch, Context()))
        assert answers[1] == {"acquired": 1}, answers[1]

        yield _PARTS[2], lambda: answers.append(self._run(invocation, Context()))
        assert answers[2]["outcome"] == "completed", answers[2]

        get = gateway.event("GET", f"/jobs/{answers[2]['job_id']}?wait=20")
        yield _PARTS[3], lambda: answers.append(self._api(get, gateway.context()))
        assert json.loads(answers[3]["body"])["status"] == "completed", answers[3]


def _published() -> tuple[Event, Event]:
    """The message that the API has just published: as the mapping hands it to dispatch, and dispatch to the worker."""
    from darkroom.contracts.operations import Operation
    from darkroom.services import rabbitmq
    from localstack.aws import rmq_event

    queue = rabbitmq.queue_of(Operation.THUMBNAIL)
    method, properties, body = rabbitmq._on_channel(lambda channel: channel.basic_get(queue, auto_ack=True))
    assert method is not None, "nothing was published"
    source = rmq_event.Source("arn:aws:mq:us-east-1:000000000000:broker:local:b-0", queue, "/")
    record = rmq_event.record(properties, body, redelivered=False)
    traceparent = properties.headers["traceparent"]
    return json.loads(rmq_event.event(source, [record])), {"message": json.loads(body), "traceparent": traceparent}


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """A bucket, queues, a Redis database and functions that no running stack uses. The database is emptied."""
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "the Redis database is emptied: give one of its own"
    os.environ["DARKROOM_BUCKET"] = f"{_PREFIX}-{uuid.uuid4().hex[:12]}"
    os.environ["DARKROOM_FUNCTION_PREFIX"] = _PREFIX
    from darkroom.contracts.operations import Operation
    from darkroom.services import aws, rabbitmq
    from darkroom.services.redis.client import redis_client

    aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
    redis_client().flushdb()
    rabbitmq.declare_topology()
    rabbitmq._on_channel(lambda channel: channel.queue_purge(rabbitmq.queue_of(Operation.THUMBNAIL)))
    function = _idle_function()
    try:
        yield
    finally:
        aws.client("lambda").delete_function(FunctionName=function)
        rabbitmq.close()


def _idle_function() -> str:
    """What dispatch starts: a function that does nothing."""
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
def _logs_aside() -> Iterator[None]:
    """Sends what the handlers log into a file: it costs what it costs, but does not disturb the table."""
    with tempfile.TemporaryFile("w") as file, contextlib.redirect_stdout(file):
        yield


def measure(photo: bytes, jobs: int = JOBS) -> dict[str, list[float]]:
    """Milliseconds on the processor, by part, one figure per job."""
    spent: dict[str, list[float]] = {part: [] for part in _PARTS}
    with _logs_aside(), surroundings():
        course = Course(photo)
        for job in range(WARM_UP + jobs):
            for part, step in course.steps():
                begun = time.process_time()
                step()
                if job >= WARM_UP:
                    spent[part].append((time.process_time() - begun) * 1000)
    return spent


def profile(photo: bytes, jobs: int = JOBS) -> dict[str, cProfile.Profile]:
    """What each part spends its time on."""
    profiles = {part: cProfile.Profile() for part in _PARTS}
    with _logs_aside(), surroundings():
        course = Course(photo)
        for job in range(WARM_UP + jobs):
            for part, step in course.steps():
                if job < WARM_UP:
                    step()
                else:
                    profiles[part].runcall(step)
    return profiles


def report(photo: bytes) -> None:
    """Prints the table."""
    spent = measure(photo)
    print(f"\nProcessor time around the operation, ms a job, {JOBS} jobs. Source: {len(photo):,} bytes.\n")
    print("| part | median | mean |\n|---|---:|---:|")
    for part, milliseconds in spent.items():
        if part in _NEEDED:
            print(f"| {part} | {statistics.median(milliseconds):.2f} | {statistics.mean(milliseconds):.2f} |")
    sums = [sum(each) for each in zip(*(spent[part] for part in _NEEDED), strict=True)]
    print(f"| **sum**, to stay below {AIM_MS:.0f} | **{statistics.median(sums):.2f}** | {statistics.mean(sums):.2f} |")
    asked = spent[_ASKED]
    print(f"| besides, each time: {_ASKED} | {statistics.median(asked):.2f} | {statistics.mean(asked):.2f} |")


def report_profile(photo: bytes, lines: int) -> None:
    """Prints what each part spends its time on."""
    for part, found in profile(photo).items():
        print(f"\n## {part}")
        pstats.Stats(found).sort_stats("cumulative").print_stats(lines)


if __name__ == "__main__":  # <photo> <lines>: where the time goes
    report_profile(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]))
