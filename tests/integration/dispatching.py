"""Around dispatch in its tests: batches of messages, the mapping that delivers them, the runs that it starts."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.jobs import events, lifecycle
from darkroom.services import rabbitmq
from darkroom.services.redis import leases, slots
from functions.dispatch import app
from localstack.aws.deployed import DeployedMapping
from localstack.aws.poller import Poller
from tests.integration.simulation import BROKER_ARN
from tests.support.broker import open_connection
from tests.support.lambda_context import LambdaContext
from tests.support.lambda_stub import LambdaStub

RESIZE = Operation.RESIZE


def batch(*bodies: bytes, headers: dict[str, Any] | None = None) -> events.Event:
    """An event as an event source mapping sends it."""
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


def body_of(job: Job, attempt: int = 1) -> bytes:
    """The body of the message for an attempt."""
    return lifecycle.message_for(job, attempt).model_dump_json().encode()


def almost_over(remaining_s: float = 0.3) -> LambdaContext:
    """Leaves dispatch this time before it requeues."""
    return LambdaContext(remaining_ms=app.REQUEUE_RESERVE_MS + int(remaining_s * 1000))


@contextmanager
def mapping(batch_size: int) -> Iterator[threading.Lock]:
    """Delivers the messages of the queue to dispatch in this process, one batch after another.

    Yields a lock that is held while dispatch has a batch.
    """
    busy = threading.Lock()

    def invoke(event: bytes) -> None:
        with busy:
            app.handler(json.loads(event), LambdaContext(remaining_ms=600_000))

    mapped = DeployedMapping(
        "a-uuid", BROKER_ARN, "dispatch", rabbitmq.queue_of(RESIZE), "/", "a-secret", batch_size, 0.0
    )
    poller = Poller(mapped, open_connection, invoke)
    poller.start()
    try:
        yield busy
    finally:
        poller.stop()
        poller.join(10)


class Worker:
    """Runs what the stub starts, some of it late: claims each job and ends it. `claimed` counts the claims of a job."""

    def __init__(self, stub: LambdaStub, jobs: list[Job], delay_s: float = 0.0) -> None:
        self.claimed: Counter[str] = Counter()
        self.attempts: set[int] = set()
        self.most_in_flight = 0
        self._stub, self._delay_s = stub, delay_s
        self._jobs = {job.job_id: job for job in jobs}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Worker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        done = 0
        while not self._stopping.is_set() or done < len(self._stub.started):
            if done == len(self._stub.started):
                time.sleep(0.002)
                continue
            message = self._stub.started[done]["message"]
            done += 1
            time.sleep(self._delay_s)
            self.most_in_flight = max(self.most_in_flight, slots.in_flight()[RESIZE])
            job = self._jobs[message["job_id"]]
            claim = leases.claim(job.ref, RESIZE, attempt=message["attempt"], run=f"run-{done}", lease_ms=60_000)
            if claim.outcome == "claimed":
                lifecycle.end(job, lifecycle.canceled_result(job, attempt=message["attempt"]))
                self.attempts.add(message["attempt"])
                self.claimed[job.job_id] += 1
