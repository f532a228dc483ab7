"""Simulates in this process what AWS does around the functions: the mapping, Lambda, S3's events, the passing of time.

The handlers are the real ones, with a real Redis, RabbitMQ and S3. Each step between them is a method, so that a test
decides their order and where a process crashes.
"""

import io
import json
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import MAX_ATTEMPTS, AttachedJob, FileSource, Job, Priority
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError, StorageUnavailableError
from darkroom.jobs import acceptance, events, ledger, lifecycle, open_index, uploads, worker
from darkroom.media.task import Rendition, Task
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from functions.dispatch import app as dispatch
from functions.ingest import app as ingest
from functions.settle import app as settle
from functions.sweep import app as sweep
from functions.sweep import missed_uploads, reconciling
from localstack.aws import rmq_event
from tests.integration.conftest import PNG
from tests.integration.crash_injection import CrashInjector, ProcessCrash, inject_crashes
from tests.integration.remains import TIMED_SETS, entries_left, etag_of, leftovers, missing_outputs
from tests.support.broker import open_connection
from tests.support.lambda_context import LambdaContext
from tests.support.tenants import TENANT, ref_of, upload_key

HOUR_MS = 3_600_000
BROKER_ARN = "arn:aws:mq:us-east-1:000000000000:broker:local:b-0"

#: Age of the simulated jobs. Sweep ignores younger ones, whose acceptance may be in progress.
AGE_MS = 120_000

#: Steps between two passes of sweep while the simulation runs until nothing is left to do.
STEPS = 30

RESIZE = Operation.RESIZE

#: The queues of the operation: its own and those that delay retries.
QUEUES = [
    rabbitmq.queue_of(RESIZE),
    *(rabbitmq.retry_queue_of(RESIZE, delay_s) for delay_s in rabbitmq.RETRY_DELAYS_S),
]

#: The beginning of the keys that mark entries of the open index as looked up.
LOOKUPS = keys.lookup_of("", "", 0).removesuffix("::0")

Operate = Callable[[Task, Any], list[Rendition]]


def copy(task: Task, _params: Any) -> list[Rendition]:
    """An operation with two outputs, so that a run can crash between them."""
    content = task.source.read()
    return [Rendition(content, "png", "image/png"), Rendition(content + b"2", "second.png", "image/png")]


def find_corrupt(_task: Task, _params: Any) -> list[Rendition]:
    """An operation whose media is corrupt."""
    raise CorruptMediaError("The image ends early.")


def fail_in_an_outage(_task: Task, _params: Any) -> list[Rendition]:
    """An operation during an outage of S3."""
    raise StorageUnavailableError("The object store is unavailable.")


def old_id() -> str:
    """An identifier of the age of the simulated jobs."""
    return ids.new_id(at_ms=ids.created_ms(ids.new_id()) - AGE_MS)


@dataclass
class Simulation:
    """One deployment.

    Runs execute `operation`. `failures_reported` is whether Lambda invokes settle for a run that failed.
    """

    injector: CrashInjector = field(default_factory=CrashInjector)
    operation: Operate = copy
    failures_reported: bool = True
    invocations: deque[bytes] = field(default_factory=deque)
    #: Events of settle: the reports of runs, and Lambda's records of runs that did not return.
    failures: deque[dict[str, Any]] = field(default_factory=deque)
    jobs: list[str] = field(default_factory=list)
    last_error: Exception | None = None
    #: Steps of sweep that failed. None may, unless `queues_lost`.
    failed_steps: set[str] = field(default_factory=set)
    queues_lost: bool = False
    #: The ETag and the status of each result that was seen. They must not change.
    results: dict[str, tuple[str, str]] = field(default_factory=dict)

    def run_process(self, work: Callable[[], Any]) -> bool:
        """Runs one process. Returns False when it crashed, or an error left its handler."""
        try:
            with inject_crashes(self.injector, self._invoke):
                work()
        except ProcessCrash:
            self.injector.start_process()
            return False
        except Exception as error:  # noqa: BLE001 - for Lambda, the invocation failed
            self.last_error = error
            return False
        return True

    def _invoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["FunctionName"].endswith("-settle"):
            self.failures.append(json.loads(arguments["Payload"]))
        else:
            self.invocations.append(arguments["Payload"])
        return {"StatusCode": 202, "Payload": io.BytesIO()}

    # Steps ----------------------------------------------------------------------------------------------------------

    def new_job(self, file_id: str | None = None, priority: Priority = "normal") -> Job:
        """A job that was not accepted yet, on a file that exists."""
        job = Job(
            job_id=old_id(),
            tenant=TENANT,
            operation=RESIZE,
            params={"width": 10},
            source=FileSource(file_id=file_id or self.upload()),
            created_at=utc_now(),
            traceparent=new_traceparent(),
            priority=priority,
        )
        self.jobs.append(job.job_id)
        return job

    def upload(self, content: bytes = PNG, attached: Iterable[AttachedJob] = ()) -> str:
        """Puts a file into the bucket, as a client does with a form."""
        file_id = old_id()
        metadata = uploads.metadata_of("photo.png", list(attached))
        s3.put(upload_key(file_id), content, media_type="image/png", metadata=metadata)
        return file_id

    def upload_with_jobs(self, count: int, content: bytes = PNG) -> str:
        """The API issues a form with attached jobs, and a client uploads a file with it."""
        attached = [AttachedJob(job_id=old_id(), operation=RESIZE, params={"width": 10}) for _ in range(count)]
        self.jobs += [job.job_id for job in attached]
        file_id = self.upload(content, attached)
        open_index.add_upload(TENANT, file_id)
        for job in attached:
            waiting = job.to_job(file_id, tenant=TENANT, traceparent=new_traceparent())
            views.await_upload(waiting, expires_s=3600)
        return file_id

    def accept(self, job: Job) -> bool:
        """The API accepts a job. Returns whether the client got a response."""
        return self.run_process(lambda: acceptance.accept(job))

    def report_upload(self, file_id: str) -> bool:
        """S3 sends the event of an upload, once."""
        event = {"Records": [{"s3": {"object": {"key": upload_key(file_id)}}}]}
        return self.run_process(lambda: ingest.handler(event, None))

    def cancel(self, job_id: str) -> bool:
        """The API cancels a job."""
        job, view = ledger.read_job(ref_of(job_id)), views.fetch(ref_of(job_id))
        if job is not None:
            return self.run_process(lambda: lifecycle.end(job, lifecycle.canceled_result(job, attempt=0)))
        if view is None:
            return False
        canceled = lifecycle.canceled_result(view.job, attempt=0)
        return self.run_process(lambda: acceptance.accept_ended(view.job, canceled))

    def deliver(self, *, again: bool = False) -> bool:
        """The mapping delivers one message to dispatch. It is requeued if dispatch crashed, or if `again`.

        Delayed messages are delivered at once, because the delays themselves are not tested here.
        """
        for queue in QUEUES:
            method, properties, body = channel().basic_get(queue)
            if method is None:
                continue
            event = mapping_event(queue, properties, body)
            if self.run_process(partial(dispatch.handler, event, LambdaContext())) and not again:
                channel().basic_ack(method.delivery_tag)
            else:
                channel().basic_nack(method.delivery_tag, requeue=True)
            return True
        return False

    def run(self, index: int = 0, *, again: bool = False) -> bool:
        """Lambda starts one of the invoked runs, which it keeps to start it again if `again`."""
        if not self.invocations:
            return False
        self.invocations.rotate(-index)
        payload = self.invocations[0] if again else self.invocations.popleft()
        handler = worker.bind(RESIZE, self.operation)
        event = json.loads(payload)
        if not self.run_process(lambda: handler(event, LambdaContext())) and self.failures_reported:
            self.failures.append(
                {
                    "requestContext": {"condition": "RetriesExhausted"},
                    "requestPayload": event,
                    "responsePayload": {"errorMessage": "Worker process died"},
                }
            )
        return True

    def settle(self, index: int = 0, *, again: bool = False) -> bool:
        """Lambda invokes settle with one of its events. It keeps the event if settle crashed, or if `again`."""
        if not self.failures:
            return False
        self.failures.rotate(-index)
        event = self.failures[0]
        if self.run_process(lambda: settle.handler(event, None)) and not again:
            self.failures.popleft()
        return True

    def sweep(self) -> bool:
        """The schedule invokes sweep."""
        return self.run_process(lambda: self.failed_steps.update(sweep.handler({}, LambdaContext())["failed"]))

    def pass_time(self, ms: int = HOUR_MS) -> None:
        """Moves every time in Redis back by `ms`, as if this time had passed."""
        redis: Any = redis_client()
        slots_prefix, views_prefix = keys.slots_of(RESIZE).removesuffix(RESIZE), keys.VIEW_PREFIX
        timed = {*TIMED_SETS, keys.served_tenants_of(RESIZE)}
        for key in redis.scan_iter(f"{LOOKUPS}*", count=1000):
            redis.delete(key)  # they expire
        for key in redis.scan_iter("*", count=1000):
            if key in timed or key.startswith(slots_prefix):
                for member in redis.zrange(key, 0, -1):
                    redis.zincrby(key, -ms, member)
            elif key.startswith(views_prefix) and redis.hexists(key, "published_ms"):
                redis.hincrby(key, "published_ms", -ms)

    def run_until_idle(self, rounds: int = 60) -> None:
        """Takes steps until nothing is left to do. Every step that crashes is repeated, as AWS does."""
        for _ in range(rounds):
            for _ in range(STEPS):  # bounded, since a message that finds no slot is requeued at once
                if not any([self.deliver(), self.run(), self.settle()]):
                    break
            self.pass_time()
            self.sweep()
            if self.is_idle():
                return

    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        redis = redis_client()
        waiting = self.invocations or self.failures or any(redis.exists(key) for key in TIMED_SETS) or entries_left()
        return not waiting and all(
            ledger.read_result(ref_of(job_id)) or not ledger.read_job(ref_of(job_id)) for job_id in self.jobs
        )

    # Checks ---------------------------------------------------------------------------------------------------------

    def inconsistencies(self) -> list[str]:
        """Violations of what must hold after every step."""
        wrong = []
        for job_id in self.jobs:
            etag = etag_of(ledger.result_key(ref_of(job_id)))
            view = views.fetch(ref_of(job_id))
            if etag:
                result = ledger.read_result(ref_of(job_id))
                assert result is not None
                seen = self.results.setdefault(job_id, (etag, result.status))
                if seen != (etag, result.status):
                    wrong.append(f"{job_id} ended twice: {seen} and {(etag, result.status)}")
                wrong += missing_outputs(result)
            if view is not None and view.status.terminal and not etag:
                wrong.append(f"{job_id} is shown as {view.status}, but has no result in the ledger")
            if view is not None and view.status.terminal and etag and view.status != self.results[job_id][1]:
                wrong.append(f"{job_id} is shown as {view.status}, but is {self.results[job_id][1]} in the ledger")
            if view is not None and view.failed_attempts >= MAX_ATTEMPTS:
                wrong.append(f"{job_id} has had {view.failed_attempts} failed attempts")
        return wrong

    def problems_at_the_end(self, accepted: Iterable[str]) -> list[str]:
        """Violations of what must hold at the end: every accepted job has ended once and has left nothing behind."""
        wrong = self.inconsistencies()
        for job_id in accepted:
            if ledger.read_job(ref_of(job_id)) is None:
                wrong.append(f"{job_id} was accepted and is lost")
        for job_id in self.jobs:
            job, result, view = (
                ledger.read_job(ref_of(job_id)),
                ledger.read_result(ref_of(job_id)),
                views.fetch(ref_of(job_id)),
            )
            if job is None:
                continue
            if result is None:
                wrong.append(f"{job_id} is stuck; its view is {view and view.status}")
                continue
            if view is not None and view.result != result:
                wrong.append(f"{job_id} is {result.status} and is shown as {view and view.status}")
            kept = {output.key for output in result.outputs}
            left = set(s3.keys_after(f"processed/{job.tenant}/{job_id}/")) - kept
            if left:
                wrong.append(f"{job_id} is {result.status} by run {result.run} and has left {sorted(left)}")
        if self.failed_steps and not self.queues_lost:
            wrong.append(f"steps of sweep failed: {sorted(self.failed_steps)}")
        return wrong + leftovers()


def let_entries_be_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes sweep look up the entries of the index however new they are: their ages cannot be simulated."""
    monkeypatch.setattr(reconciling, "ACCEPTING_S", -10)
    monkeypatch.setattr(missed_uploads, "EVENT_WITHIN_S", -10)


def new_deployment(name: str) -> None:
    """Makes a new bucket, and empties Redis and the queues."""
    bucket = f"{name}-{uuid.uuid4().hex[:16]}"
    os.environ["DARKROOM_BUCKET"] = bucket
    config.settings.cache_clear()
    aws.client("s3").create_bucket(Bucket=bucket)
    redis_client().flushdb()
    for queue in (*QUEUES, rabbitmq.DEAD_QUEUE):
        channel().queue_purge(queue)


def mapping_event(queue: str, properties: Any, body: bytes) -> events.Event:
    """The event with which the mapping delivers one message."""
    record = rmq_event.record(properties, body, redelivered=False)
    event: events.Event = json.loads(rmq_event.event(rmq_event.Source(BROKER_ARN, queue, "/"), [record]))
    return event


@lru_cache(maxsize=1)
def _connection() -> Any:
    return open_connection()


@lru_cache(maxsize=1)
def channel() -> Any:
    """The mapping's own channel to the broker, which survives the simulated crashes."""
    return _connection().channel()
