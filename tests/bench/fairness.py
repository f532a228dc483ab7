"""How long the single job of a quiet tenant waits while others flood the same operation.

    python -m tests.bench.fairness        # a step of `make bench`, which sets its environment

Redis, RabbitMQ, the mapping's poller and dispatch are real. Lambda is a stub that starts each run at once; a run claims
its job, takes `--run-s` and ends it. The waits without fair share are those of the same jobs when all belong to one
tenant: then they start in the order in which they came, as they would from a queue.
"""

import argparse
import heapq
import json
import logging
import math
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from darkroom import config, ids
from darkroom.contracts.jobs import FileSource, Job, JobRef
from darkroom.contracts.operations import Operation
from darkroom.jobs import lifecycle
from darkroom.services import rabbitmq
from darkroom.services.redis import leases, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from functions.dispatch import app
from localstack.aws.deployed import DeployedMapping
from localstack.aws.poller import Poller
from tests.support.broker import on_channel, open_connection
from tests.support.lambda_context import LambdaContext
from tests.support.lambda_stub import LambdaStub, running_stub

RESIZE = Operation.RESIZE
QUEUE = rabbitmq.queue_of(RESIZE)
_PREFIX = "fairness-bench"

#: Jobs with which an operation is flooded.
FLOOD = 5_000

#: Tenants altogether.
TENANTS = (2, 10, 100)

#: Single jobs whose wait is measured, one after another.
REPETITIONS = 20

#: Columns of a bar in the plot, and the wait in seconds at its left end.
_BAR = 48
_LEFT_S = 0.001


@dataclass
class Measurement:
    """The waits of the single jobs, in seconds, and how many jobs were queued before the first and after the last."""

    waits_s: list[float]
    queued: tuple[int, int]

    @property
    def summary(self) -> str:
        return f"{statistics.median(self.waits_s):.2f} | {max(self.waits_s):.2f}"


class Runs:
    """Ends every run that the stub starts, `run_s` after it claimed its job. `claimed_s` is when it did."""

    def __init__(self, stub: LambdaStub, run_s: float) -> None:
        self.claimed_s: dict[str, float] = {}
        self._stub, self._run_s = stub, run_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runs")

    def __enter__(self) -> "Runs":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        done = len(self._stub.started)
        ends: list[tuple[float, int, Job, int]] = []
        while not self._stopping.is_set() or done < len(self._stub.started):
            while done < len(self._stub.started):
                message = self._stub.started[done]["message"]
                done += 1
                ref, attempt = JobRef(message["tenant"], message["job_id"]), message["attempt"]
                claim = leases.claim(ref, RESIZE, attempt=attempt, run=f"run-{done}", lease_ms=60_000)
                if claim.job is None:
                    slots.release(ref, RESIZE, attempt)  # of a job of the measurement before
                    continue
                self.claimed_s[ref.job_id] = time.monotonic()
                heapq.heappush(ends, (time.monotonic() + self._run_s, done, claim.job, attempt))
            while ends and ends[0][0] <= time.monotonic():
                _, number, job, attempt = heapq.heappop(ends)
                result = lifecycle.canceled_result(job, attempt=attempt)
                views.finish(job, result.model_copy(update={"run": f"run-{number}"}))
            time.sleep(0.002)


@contextmanager
def mapping(batch_size: int) -> Iterator[None]:
    """Delivers the messages of the queue to dispatch. Ends when dispatch has ended."""
    busy = threading.Lock()

    def invoke(event: bytes) -> None:
        with busy:
            app.handler(json.loads(event), LambdaContext(remaining_ms=600_000))

    mapped = DeployedMapping("a-uuid", "arn:aws:mq:::b", "dispatch", QUEUE, "/", "a-secret", batch_size, 0.0)
    poller = Poller(mapped, open_connection, invoke)
    poller.start()
    try:
        yield
    finally:
        poller.stop()
        poller.join(10)
        with busy:
            pass


def new_job(tenant: str) -> Job:
    return Job(
        job_id=ids.new_id(),
        tenant=tenant,
        operation=RESIZE,
        params={"width": 100},
        source=FileSource(file_id=ids.new_id()),
        created_at=utc_now(),
        traceparent=new_traceparent(),
    )


def queue_job(job: Job) -> None:
    views.create(job)
    body = lifecycle.first_message(job).model_dump_json().encode()
    on_channel("basic_publish", rabbitmq.EXCHANGE, QUEUE, body)


def measure(stub: LambdaStub, tenants: int, floods: int, run_s: float, in_flight: int, *, fair: bool) -> Measurement:
    """The waits of single jobs of quiet tenants, while `floods` of `tenants` flood the operation."""
    forget_jobs()
    names = [f"tenant-{number}" if fair else "everybody" for number in range(tenants)]
    for number in range(FLOOD):
        queue_job(new_job(names[number % floods]))
    with Runs(stub, run_s) as runs, mapping(in_flight):
        time.sleep(5 * run_s + 1)
        queued = views.count_queued(RESIZE)
        accepted: dict[str, float] = {}
        for number in range(REPETITIONS):
            # Where all others flood, a tenant's share is small: each of these jobs is the only one of its tenant.
            quiet = f"quiet-{number}" if floods > 1 else names[floods + number % (tenants - floods)]
            job = new_job(quiet if fair else names[0])
            accepted[job.job_id] = time.monotonic()
            queue_job(job)
            time.sleep(run_s)
        while not accepted.keys() <= runs.claimed_s.keys():
            time.sleep(0.05)
        waits = [runs.claimed_s[job_id] - at_s for job_id, at_s in accepted.items()]
        measured = Measurement(waits, (queued, views.count_queued(RESIZE)))
        forget_jobs()  # dispatch waits for no slot then
    return measured


def forget_jobs() -> None:
    redis_client().flushdb()
    on_channel("queue_purge", QUEUE)


def bar(seconds: float, longest_s: float) -> str:
    """A bar on a logarithmic scale."""
    share = math.log(max(seconds, _LEFT_S) / _LEFT_S) / math.log(longest_s / _LEFT_S)
    return "█" * max(1, round(share * _BAR))


def report(stub: LambdaStub, run_s: float, in_flight: int) -> None:
    """Prints a table and a plot for one tenant that floods, then for all but one that flood together."""
    print(f"\nA run takes {run_s} s, {in_flight} are in flight at most; {REPETITIONS} single jobs per line.")
    for title, most in (("One tenant floods", 1), ("All tenants but one flood, together", max(TENANTS))):
        print(f"\n{title}.\n")
        print("| tenants | order | queued jobs, at first and last | wait of a single job, s: p50 | longest |")
        print("|---:|---|---:|---:|---:|", flush=True)
        found: list[tuple[str, Measurement]] = []
        for tenants in TENANTS if most == 1 else TENANTS[1:]:
            for fair in (True, False):
                measured = measure(stub, tenants, min(most, tenants - 1), run_s, in_flight, fair=fair)
                order = "fair share" if fair else "first in, first out"
                found.append((f"{tenants:3} tenants, {order}", measured))
                first, last = measured.queued
                print(f"| {tenants} | {order} | {first:,} to {last:,} | {measured.summary} |", flush=True)
        longest_s = max(max(measured.waits_s) for _, measured in found)
        print("\n```text\nlongest wait, on a logarithmic scale")
        for name, measured in found:
            print(f"{name:32} {bar(max(measured.waits_s), longest_s)} {max(measured.waits_s):.2f} s")
        print("```", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fairness", description=__doc__)
    parser.add_argument("--run-s", type=float, default=0.2, help="seconds that a run takes; default: %(default)s")
    parser.add_argument("--in-flight", type=int, default=20, help="the limit; default: %(default)s")
    arguments = parser.parse_args()
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "database 0 belongs to a running stack: use another one"
    os.environ |= {
        "DARKROOM_BUCKET": _PREFIX,
        "DARKROOM_FUNCTION_PREFIX": _PREFIX,
        "DARKROOM_IN_FLIGHT_IMAGE": str(arguments.in_flight),
        "POWERTOOLS_LOG_LEVEL": "WARNING",
    }
    logging.getLogger("mapping").setLevel(logging.ERROR)  # the poller of a measurement ends with a batch in flight
    stub = LambdaStub(latency_s=0.005)
    with running_stub(stub) as url:
        os.environ["AWS_ENDPOINT_URL_LAMBDA"] = url
        config.settings.cache_clear()
        rabbitmq.declare_topology()
        report(stub, arguments.run_s, arguments.in_flight)


if __name__ == "__main__":
    main()
