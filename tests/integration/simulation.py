"""Everything around the life cycle, played in this process: the mapping, Lambda, S3's events, the clock.

Darkroom's own handlers run as they are against real Redis, RabbitMQ and S3. Only what AWS would do between them is done
here, one step at a time, so that a test decides what happens in which order and who dies when.
"""

import base64
import hashlib
import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from darkroom import config, ids
from darkroom.contracts.jobs import AttachedJob, FileSource, Job, JobResult, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError, StorageUnavailableError
from darkroom.jobs import events, ledger, lifecycle, uploads, worker
from darkroom.media.task import Rendition, Task
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from functions.dispatch import app as dispatch
from functions.ingest import app as ingest
from functions.settle import app as settle
from functions.sweep import app as sweep
from tests.integration.crash_injection import Effects, Killed, watched

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
HOUR_MS = 3_600_000
#: Jobs of the world are this old, so that sweep does not take them for ones that are being accepted right now.
AGE_MS = 120_000

#: Steps between two looks of sweep while the world comes to rest.
STEPS = 30

RESIZE = Operation.RESIZE


class Context:
    """Lambda's, with a minute left."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def copy(task: Task, _params: Any) -> list[Rendition]:
    """An operation: two results, so that a run may die between them."""
    content = task.source.read()
    return [Rendition(content, "png", "image/png"), Rendition(content + b"2", "second.png", "image/png")]


def corrupt(_task: Task, _params: Any) -> list[Rendition]:
    raise CorruptMediaError("The file ends in the middle of a picture.")


def unlucky(_task: Task, _params: Any) -> list[Rendition]:
    raise StorageUnavailableError("The object store does not answer.")


@dataclass
class World:
    """One deployment. `operation` is what runs do; `told` is whether Lambda tells settle of a run that died."""

    effects: Effects = field(default_factory=Effects)
    operation: Callable[[Task, Any], list[Rendition]] = copy
    told: bool = True
    invocations: deque[bytes] = field(default_factory=deque)
    failures: deque[dict[str, Any]] = field(default_factory=deque)
    jobs: list[str] = field(default_factory=list)
    last_error: Exception | None = None
    #: What was seen of a job that had ended, which must never be seen otherwise.
    results: dict[str, tuple[str, str]] = field(default_factory=dict)

    # What dies ------------------------------------------------------------------------------------------------------

    def process(self, work: Callable[[], Any]) -> bool:
        """Runs one process. False when it died, of a kill or of an error that left its handler."""
        try:
            with watched(self.effects, self._invoke):
                work()
        except Killed:
            self.effects.bury()
            return False
        except Exception as error:  # noqa: BLE001 - as Lambda sees it: the invocation failed
            self.last_error = error
            return False
        return True

    def _invoke(self, arguments: dict[str, Any]) -> dict[str, int]:
        self.invocations.append(arguments["Payload"])
        return {"StatusCode": 202}

    # What happens ---------------------------------------------------------------------------------------------------

    def new_job(self, file_id: str | None = None) -> Job:
        """A job that may be accepted, on a file that is there."""
        job = Job(
            job_id=ids.new_id(at_ms=ids.created_ms(ids.new_id()) - AGE_MS),
            operation=RESIZE,
            params={"width": 10},
            source=FileSource(file_id=file_id or self.upload()),
            created_at=utc_now(),
            traceparent=new_traceparent(),
        )
        self.jobs.append(job.job_id)
        return job

    def upload(self, content: bytes = PNG, carried: Iterable[AttachedJob] = ()) -> str:
        """Puts a file into the bucket, as a client does with a form."""
        file_id = ids.new_id(at_ms=ids.created_ms(ids.new_id()) - AGE_MS)
        metadata = uploads.metadata_of("photo.png", list(carried))
        s3.put(uploads.key_of(file_id), content, media_type="image/png", metadata=metadata)
        return file_id

    def upload_with_jobs(self, count: int, content: bytes = PNG) -> str:
        """An upload that carries jobs."""
        carried = [
            AttachedJob(job_id=ids.new_id(at_ms=ids.created_ms(ids.new_id()) - AGE_MS), operation=RESIZE, params={})
            for _ in range(count)
        ]
        carried = [job.model_copy(update={"params": {"width": 10}}) for job in carried]
        self.jobs += [job.job_id for job in carried]
        return self.upload(content, carried)

    def accept(self, job: Job) -> bool:
        """What the API does. Whether the client heard of it."""
        return self.process(lambda: lifecycle.accept(job))

    def announce(self, file_id: str) -> bool:
        """S3 tells of an upload, once."""
        event = {"Records": [{"s3": {"object": {"key": uploads.key_of(file_id)}}}]}
        return self.process(lambda: ingest.handler(event, None))

    def cancel(self, job_id: str) -> bool:
        """What the API does when the owner calls a job off."""
        job = ledger.read_job(job_id)
        return job is not None and self.process(lambda: lifecycle.end(job, lifecycle.canceled_result(job, attempt=0)))

    def deliver(self, *, keep: bool = False) -> bool:
        """One message goes to dispatch; afterwards it is gone, unless dispatch died or `keep` has it come again.

        Messages that wait for their next attempt count as due: time is not what is tried here.
        """
        for queue in [
            rabbitmq.queue_of(RESIZE),
            *(rabbitmq.retry_queue_of(RESIZE, s) for s in rabbitmq.RETRY_DELAYS_S),
        ]:
            method, properties, body = channel().basic_get(queue)
            if method is None:
                continue
            event = batch(queue, properties, body)
            done = self.process(lambda event=event: dispatch.handler(event, Context()))
            if done and not keep:
                channel().basic_ack(method.delivery_tag)
            else:
                channel().basic_nack(method.delivery_tag, requeue=True)
            return True
        return False

    def run(self, index: int = 0, *, keep: bool = False) -> bool:
        """Lambda starts one of the runs it was asked for. One that dies is settled later, if settle is told."""
        if not self.invocations:
            return False
        self.invocations.rotate(-index)
        payload = self.invocations[0] if keep else self.invocations.popleft()
        handler = worker.bind(RESIZE, self.operation)
        event = json.loads(payload)
        if not self.process(lambda: handler(event, Context())) and self.told:
            self.failures.append(event)
        return True

    def settle(self, index: int = 0, *, keep: bool = False) -> bool:
        """Lambda tells settle of a dead run; it does so again when settle dies."""
        if not self.failures:
            return False
        self.failures.rotate(-index)
        payload = self.failures[0]
        event = {
            "requestContext": {"condition": "RetriesExhausted"},
            "requestPayload": payload,
            "responsePayload": {"errorMessage": "Worker process died"},
        }
        if self.process(lambda: settle.handler(event, None)) and not keep:
            self.failures.popleft()
        return True

    def sweep(self) -> bool:
        """The minute's sweep."""
        return self.process(lambda: sweep.handler({}, Context()))

    def pass_time(self, ms: int = HOUR_MS) -> None:
        """An hour passes for everything in Redis that waits for its time."""
        redis = redis_client()
        for key in redis.scan_iter("darkroom:*", count=1000):
            name = key.removeprefix("darkroom:")
            if name in TIMED_SETS or name.startswith("inflight:"):
                for member in redis.zrange(key, 0, -1):
                    redis.zincrby(key, -ms, member)
            elif name.startswith("job:") and redis.hexists(key, "published_ms"):
                redis.hincrby(key, "published_ms", -ms)

    def drain(self, rounds: int = 60) -> None:
        """Goes on until nothing is left to happen. Every step that dies is taken again, as AWS does."""
        for _ in range(rounds):
            for _ in range(STEPS):  # a message that finds no free slot comes back at once
                if not any([self.deliver(), self.run(), self.settle()]):
                    break
            self.pass_time()
            self.sweep()
            if self.at_rest():
                return

    def at_rest(self) -> bool:
        """Whether nothing would happen any more."""
        redis = redis_client()
        waiting = self.invocations or self.failures or any(redis.exists(f"darkroom:{name}") for name in TIMED_SETS)
        return not waiting and all(ledger.read_result(job_id) or not ledger.read_job(job_id) for job_id in self.jobs)

    # What must hold -------------------------------------------------------------------------------------------------

    def look(self) -> list[str]:
        """What is wrong at this moment, whatever has happened."""
        wrong = []
        for job_id in self.jobs:
            etag = etag_of(ledger.result_key(job_id))
            view = views.fetch(job_id)
            if etag:
                result = ledger.read_result(job_id)
                assert result is not None
                seen = self.results.setdefault(job_id, (etag, result.status))
                if seen != (etag, result.status):
                    wrong.append(f"{job_id} ended twice: {seen} and {(etag, result.status)}")
                wrong += missing_outputs(result)
            if view is not None and view.status.terminal and not etag:
                wrong.append(f"{job_id} is shown {view.status}, which the ledger does not know")
            if view is not None and view.status.terminal and etag and view.status != self.results[job_id][1]:
                wrong.append(f"{job_id} is shown {view.status}, and the ledger has it {self.results[job_id][1]}")
            if view is not None and view.attempt > 5:
                wrong.append(f"{job_id} has had {view.attempt} attempts")
        return wrong

    def reckon(self, accepted: Iterable[str]) -> list[str]:
        """What is wrong at the end: every accepted job has ended, once, and nothing is left behind."""
        wrong = self.look()
        for job_id in accepted:
            if ledger.read_job(job_id) is None:
                wrong.append(f"{job_id} was accepted and is lost")
        for job_id in self.jobs:
            job, result, view = ledger.read_job(job_id), ledger.read_result(job_id), views.fetch(job_id)
            if job is None:
                continue
            if result is None:
                wrong.append(f"{job_id} is stuck; Redis has it {view and view.status}")
                continue
            if view is None or view.result != result:
                wrong.append(f"{job_id} ended {result.status} and is shown {view and view.status}")
            kept = {output.key for output in result.outputs}
            left = set(s3.keys_after(f"processed/{job.tenant}/{job_id}/")) - kept
            if left:
                wrong.append(f"{job_id} ended {result.status} by run {result.run} and left {sorted(left)}")
        return wrong + leftovers()


#: Sorted sets whose scores are times, in milliseconds since 1970.
TIMED_SETS = ("open", "cleanups")


def leftovers() -> list[str]:
    """What no job may leave behind: a slot, an entry among the open ones, a directory."""
    redis = redis_client()
    wrong = [f"{count} slots of {operation} are taken" for operation, count in slots.in_flight().items() if count]
    for name in TIMED_SETS:
        if redis.exists(f"darkroom:{name}"):
            wrong.append(f"still in {name}: {redis.zrange(f'darkroom:{name}', 0, -1, withscores=True)}")
    wrong += [f"left the directory {path}" for path in Path(tempfile.gettempdir()).glob("darkroom-*")]
    return wrong


def missing_outputs(result: JobResult) -> list[str]:
    """Outputs of a completed job that are not there as its record says."""
    wrong = []
    for output in result.outputs:
        content = s3.get(output.key)
        if content is None:
            wrong.append(f"{result.job_id} completed without its output {output.key}")
        elif hashlib.sha256(content).hexdigest() != output.sha256:
            wrong.append(f"{result.job_id} completed with another {output.key} than it says")
    if result.status is Status.COMPLETED and not result.outputs:
        wrong.append(f"{result.job_id} completed without outputs")
    return wrong


def etag_of(key: str) -> str | None:
    """What S3 calls this version of an object, or None without it."""
    head = s3.head(key, 1)
    if head is None:
        return None
    answer = aws.client("s3").head_object(Bucket=config.settings().bucket, Key=key)
    return f"{head.etag} {answer['LastModified']}"


def batch(queue: str, properties: Any, body: bytes) -> events.Event:
    """A mapping's event with one message."""
    texts = {name: text for name, text in (properties.headers or {}).items() if isinstance(text, str)}
    headers = {name: {"bytes": list(text.encode())} for name, text in texts.items()}
    message = {
        "basicProperties": {"headers": headers, "messageId": properties.message_id},
        "redelivered": False,
        "data": base64.b64encode(body).decode(),
    }
    return {"eventSource": "aws:rmq", "rmqMessagesByQueue": {f"{queue}::/": [message]}}


@lru_cache(maxsize=1)
def _connection() -> Any:
    return rabbitmq._open()


@lru_cache(maxsize=1)
def channel() -> Any:
    """The mapping's own way to the broker, which outlives the processes that die here."""
    return _connection().channel()
