"""A deployment simulated in this process: S3 notifications, the event source mapping, Lambda and time.

Darkroom's handlers run unchanged against real Redis, RabbitMQ and S3. The simulation does what AWS would do between
them, one step per call, so that a test decides the order of the steps and which process crashes.
"""

import hashlib
import json
import os
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from darkroom import config, ids
from darkroom.contracts.jobs import MAX_ATTEMPTS, FileSource, Job, JobResult, Status, UploadedJob
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError, StorageUnavailableError
from darkroom.jobs import events, ledger, lifecycle, uploads, worker
from darkroom.media.task import Rendition, Task
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import keys, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from functions.dispatch import app as dispatch
from functions.ingest import app as ingest
from functions.settle import app as settle
from functions.sweep import app as sweep
from localstack.aws import rmq_event
from tests.integration.crash_injection import CrashInjector, ProcessKilled, intercept_writes
from tests.lambda_context import LambdaContext

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
HOUR_MS = 3_600_000

#: The age of new jobs and uploads: sweep leaves younger ones alone, since they may still be being accepted.
AGE_MS = 120_000

#: Steps between two passes of sweep while the simulation runs until it is idle.
STEPS = 30

RESIZE = Operation.RESIZE

#: Sorted sets whose scores are times, in milliseconds since 1970.
TIMED_SETS = (keys.OPEN_JOBS, keys.CLEANUPS)

BROKER_ARN = "arn:aws:mq:us-east-1:000000000000:broker:local:b-0"


def copy_twice(task: Task, _params: Any) -> list[Rendition]:
    """An operation with two outputs, so that a run can crash between their uploads."""
    content = task.source.read()
    return [Rendition(content, "png", "image/png"), Rendition(content + b"2", "second.png", "image/png")]


def fail_on_corrupt_media(_task: Task, _params: Any) -> list[Rendition]:
    raise CorruptMediaError("The file ends in the middle of an image.")


def fail_on_outage(_task: Task, _params: Any) -> list[Rendition]:
    raise StorageUnavailableError("The object store does not answer.")


def start_empty(prefix: str) -> None:
    """Makes a new bucket, and empties Redis and the queues of the simulated operation."""
    os.environ["DARKROOM_BUCKET"] = f"{prefix}-{uuid.uuid4().hex[:16]}"
    config.settings.cache_clear()
    aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
    redis_client().flushdb()
    for queue in (*work_queues(), rabbitmq.DEAD_QUEUE):
        channel().queue_purge(queue)


def work_queues() -> list[str]:
    """The queues of the simulated operation: of jobs that are due, then of later attempts."""
    delayed = [rabbitmq.retry_queue_of(RESIZE, delay_s) for delay_s in rabbitmq.RETRY_DELAYS_S]
    return [rabbitmq.queue_of(RESIZE), *delayed]


@dataclass
class Simulation:
    """One deployment. Runs execute `operation`; Lambda invokes settle for a crashed run if `invokes_settle`."""

    crashes: CrashInjector = field(default_factory=CrashInjector)
    operation: Callable[[Task, Any], list[Rendition]] = copy_twice
    invokes_settle: bool = True
    #: Events of runs that dispatch started, and of runs that crashed and that settle has not handled.
    invocations: deque[bytes] = field(default_factory=deque)
    failures: deque[dict[str, Any]] = field(default_factory=deque)
    jobs: list[str] = field(default_factory=list)
    last_error: Exception | None = None
    #: The result of each ended job as it was first seen: the version of the object, and the status.
    results: dict[str, tuple[str, str]] = field(default_factory=dict)

    def run_process(self, work: Callable[[], Any]) -> bool:
        """Runs one process. Returns False when it was killed or its handler raised."""
        try:
            with intercept_writes(self.crashes, self._record_invocation):
                work()
        except ProcessKilled:
            self.crashes.start_process()
            return False
        except Exception as error:  # noqa: BLE001 - for Lambda, an invocation that raises has failed
            self.last_error = error
            return False
        return True

    def _record_invocation(self, arguments: dict[str, Any]) -> dict[str, int]:
        self.invocations.append(arguments["Payload"])
        return {"StatusCode": 202}

    # Steps of clients -----------------------------------------------------------------------------------------------

    def new_job(self, file_id: str | None = None) -> Job:
        """A job on an uploaded file, not accepted yet."""
        job = Job(
            job_id=_aged_id(),
            operation=RESIZE,
            params={"width": 10},
            source=FileSource(file_id=file_id or self.upload()),
            created_at=utc_now(),
            traceparent=new_traceparent(),
        )
        self.jobs.append(job.job_id)
        return job

    def upload(self, content: bytes = PNG, jobs: Iterable[UploadedJob] = ()) -> str:
        """Puts a file into the bucket, as a client does with a presigned form. Returns its id."""
        file_id = _aged_id()
        metadata = uploads.metadata_of("photo.png", list(jobs))
        s3.put(uploads.key_of(file_id), content, media_type="image/png", metadata=metadata)
        return file_id

    def upload_with_jobs(self, count: int, content: bytes = PNG) -> str:
        """Uploads a file with jobs attached. Returns the file's id."""
        jobs = [UploadedJob(job_id=_aged_id(), operation=RESIZE, params={"width": 10}) for _ in range(count)]
        self.jobs += [job.job_id for job in jobs]
        return self.upload(content, jobs)

    def accept(self, job: Job) -> bool:
        """Accepts a job in the API's process. Returns whether the client gets a response."""
        return self.run_process(lambda: lifecycle.accept(job))

    def cancel(self, job_id: str) -> bool:
        """Cancels a job in the API's process. Returns whether the client gets a response."""
        job = ledger.read_job(job_id)
        return job is not None and self.run_process(
            lambda: lifecycle.end(job, lifecycle.canceled_result(job, attempt=0))
        )

    # Steps of AWS ---------------------------------------------------------------------------------------------------

    def notify_ingest(self, file_id: str) -> bool:
        """Sends S3's notification of an upload to ingest, once."""
        event = {"Records": [{"s3": {"object": {"key": uploads.key_of(file_id)}}}]}
        return self.run_process(lambda: ingest.handler(event, None))

    def deliver(self, *, again: bool = False) -> bool:
        """Delivers one message to dispatch. It is acknowledged unless dispatch crashed or `again` is set.

        Messages that are delayed until their next attempt are delivered as well. Returns whether there was a message.
        """
        for queue in work_queues():
            method, properties, body = channel().basic_get(queue)
            if method is None:
                continue
            event = mapping_event(queue, properties, body)
            done = self.run_process(lambda event=event: dispatch.handler(event, LambdaContext()))  # type: ignore[misc]
            if done and not again:
                channel().basic_ack(method.delivery_tag)
            else:
                channel().basic_nack(method.delivery_tag, requeue=True)
            return True
        return False

    def run(self, index: int = 0, *, again: bool = False) -> bool:
        """Runs one of the invocations that dispatch started. If it crashes, settle is due, if it is invoked at all.

        With `again`, Lambda will run the invocation once more. Returns whether there was an invocation.
        """
        if not self.invocations:
            return False
        self.invocations.rotate(-index)
        payload = self.invocations[0] if again else self.invocations.popleft()
        handler = worker.bind(RESIZE, self.operation)
        event = json.loads(payload)
        if not self.run_process(lambda: handler(event, LambdaContext())) and self.invokes_settle:
            self.failures.append(event)
        return True

    def settle(self, index: int = 0, *, again: bool = False) -> bool:
        """Invokes settle for a crashed run. Lambda repeats this if settle crashes, or with `again`.

        Returns whether there was a crashed run.
        """
        if not self.failures:
            return False
        self.failures.rotate(-index)
        event = {
            "requestContext": {"condition": "RetriesExhausted"},
            "requestPayload": self.failures[0],
            "responsePayload": {"errorMessage": "Worker process died"},
        }
        if self.run_process(lambda: settle.handler(event, None)) and not again:
            self.failures.popleft()
        return True

    def sweep(self) -> bool:
        """Invokes sweep, as the schedule does every minute."""
        return self.run_process(lambda: sweep.handler({}, LambdaContext()))

    def advance_time(self, ms: int = HOUR_MS) -> None:
        """Lets time pass for everything in Redis that is due later."""
        redis = redis_client()
        for key in redis.scan_iter("darkroom:*", count=1000):
            if key in TIMED_SETS or key.startswith("darkroom:inflight:"):
                for member in redis.zrange(key, 0, -1):
                    redis.zincrby(key, -ms, str(member))
            elif key.startswith("darkroom:job:") and redis.hexists(key, "published_ms"):
                redis.hincrby(key, "published_ms", -ms)

    def run_until_idle(self, rounds: int = 60) -> None:
        """Takes steps until there is nothing left to do. A step that crashes is repeated, as AWS does."""
        for _ in range(rounds):
            for _ in range(STEPS):  # limited: a message without a free slot is delivered again and again
                if not any([self.deliver(), self.run(), self.settle()]):
                    break
            self.advance_time()
            self.sweep()
            if self.idle():
                return

    def idle(self) -> bool:
        """Whether no step would change anything."""
        pending = self.invocations or self.failures or any(redis_client().exists(key) for key in TIMED_SETS)
        return not pending and all(ledger.read_result(job_id) or not ledger.read_job(job_id) for job_id in self.jobs)

    # Checks ---------------------------------------------------------------------------------------------------------

    def inconsistencies(self) -> list[str]:
        """Violations of what must hold after every step."""
        problems = []
        for job_id in self.jobs:
            version = version_of(ledger.result_key(job_id))
            view = views.fetch(job_id)
            if version:
                result = ledger.read_result(job_id)
                assert result is not None
                first = self.results.setdefault(job_id, (version, result.status))
                if first != (version, result.status):
                    problems.append(f"{job_id} ended twice: {first} and {(version, result.status)}")
                problems += bad_outputs(result)
            if view is not None and view.status.terminal and not version:
                problems.append(f"{job_id} is {view.status} in the view, and has no result in the ledger")
            if view is not None and view.status.terminal and version and view.status != self.results[job_id][1]:
                problems.append(f"{job_id} is {view.status} in the view, {self.results[job_id][1]} in the ledger")
            if view is not None and view.attempt > MAX_ATTEMPTS:
                problems.append(f"{job_id} has had {view.attempt} attempts")
        return problems

    def final_problems(self, accepted: Iterable[str]) -> list[str]:
        """Violations of what must hold at the end: every accepted job has ended once, and nothing is left behind."""
        problems = self.inconsistencies()
        problems += [f"{job_id} was accepted and is lost" for job_id in accepted if ledger.read_job(job_id) is None]
        for job_id in self.jobs:
            job, result, view = ledger.read_job(job_id), ledger.read_result(job_id), views.fetch(job_id)
            if job is None:
                continue
            if result is None:
                problems.append(f"{job_id} is stuck, {view and view.status} in the view")
                continue
            if view is None or view.result != result:
                problems.append(f"{job_id} is {result.status} in the ledger, {view and view.status} in the view")
            named = {output.key for output in result.outputs}
            orphans = set(s3.keys_after(f"processed/{job.tenant}/{job_id}/")) - named
            if orphans:
                problems.append(f"{job_id} ended {result.status} by run {result.run} and left {sorted(orphans)}")
        return problems + leftovers()


def leftovers() -> list[str]:
    """Slots, entries of open jobs and temporary directories that are left."""
    redis = redis_client()
    problems = [f"{count} slots of {operation} are taken" for operation, count in slots.in_flight().items() if count]
    for key in TIMED_SETS:
        if redis.exists(key):
            problems.append(f"still in {key}: {redis.zrange(key, 0, -1, withscores=True)}")
    return problems + [f"{path} was not removed" for path in Path(tempfile.gettempdir()).glob("darkroom-*")]


def bad_outputs(result: JobResult) -> list[str]:
    """Outputs of a completed job that are missing or differ from their checksum."""
    problems = []
    for output in result.outputs:
        content = s3.get(output.key)
        if content is None:
            problems.append(f"{result.job_id} completed without its output {output.key}")
        elif hashlib.sha256(content).hexdigest() != output.sha256:
            problems.append(f"{result.job_id} completed, and {output.key} differs from its checksum")
    if result.status is Status.COMPLETED and not result.outputs:
        problems.append(f"{result.job_id} completed without outputs")
    return problems


def version_of(key: str) -> str | None:
    """Identifies one write of an object, or None when there is no object."""
    head = s3.head(key, 1)
    if head is None:
        return None
    response = aws.client("s3").head_object(Bucket=config.settings().bucket, Key=key)
    return f"{head.etag} {response['LastModified']}"


def mapping_event(queue: str, properties: Any, body: bytes) -> events.Event:
    """The event with which the event source mapping delivers one message."""
    record = rmq_event.record(properties, body, redelivered=False)
    event: events.Event = json.loads(rmq_event.event(rmq_event.Source(BROKER_ARN, queue, "/"), [record]))
    return event


def _aged_id() -> str:
    return ids.new_id(at_ms=ids.created_ms(ids.new_id()) - AGE_MS)


@lru_cache(maxsize=1)
def _connection() -> Any:
    return rabbitmq._open()


@lru_cache(maxsize=1)
def channel() -> Any:
    """The mapping's channel to RabbitMQ, which stays open when a simulated process crashes."""
    return _connection().channel()
