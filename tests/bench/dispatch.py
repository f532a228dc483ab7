"""Throughput of dispatch behind one event source mapping: one environment, one batch after another.

    python -m tests.bench.dispatch        # a step of `make bench`, which sets its environment

The handler and Redis are real. Lambda is a stub in a process of its own, which accepts each call after 30 ms. A batch
counts from the event as text to the handler's return.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.support.lambda_context import LambdaContext

#: Milliseconds that the stub takes for a call.
INVOKE_MS = 30

#: Megabytes of a Lambda function for one processor.
MEGABYTES_PER_CPU = 1769

#: The goal: jobs per second.
GOAL = 1000

_WARM_UP_BATCHES = 5
_PREFIX = "dispatch-bench"


@dataclass
class Measurement:
    """The time of each batch in seconds, and the CPU time of all in seconds."""

    batch_size: int
    batch_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    @property
    def jobs(self) -> int:
        return self.batch_size * len(self.batch_s)

    @property
    def jobs_per_s(self) -> float:
        return self.jobs / sum(self.batch_s)

    @property
    def cpu_ms_per_job(self) -> float:
        return self.cpu_s * 1000 / self.jobs


@contextlib.contextmanager
def stub_of_lambda() -> Iterator[str]:
    """Runs the stub in a process of its own. Yields its URL."""
    command = [sys.executable, "-m", "tests.support.lambda_stub", "0", str(INVOKE_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def measure(batch_size: int, batches: int) -> Measurement:
    """Measures the handler with batches of one size. Each message is that of a queued job."""
    from functions.dispatch.app import handler

    measured = Measurement(batch_size)
    for number in range(_WARM_UP_BATCHES + batches):
        event = _new_batch(batch_size)
        started, cpu = time.perf_counter(), time.process_time()
        outcomes = handler(json.loads(event), LambdaContext())
        took, cpu_took = time.perf_counter() - started, time.process_time() - cpu
        assert outcomes == {"started": batch_size}, outcomes
        if number >= _WARM_UP_BATCHES:
            measured.batch_s.append(took)
            measured.cpu_s += cpu_took
    return measured


def _new_batch(size: int) -> bytes:
    """Empties Redis and creates the views of new jobs. Returns the mapping's event with their messages, as text."""
    import pika

    from darkroom import ids
    from darkroom.contracts.jobs import FileSource, Job
    from darkroom.contracts.operations import Operation
    from darkroom.jobs import lifecycle
    from darkroom.services import rabbitmq
    from darkroom.services.redis import views
    from darkroom.services.redis.client import redis_client
    from darkroom.timestamps import utc_now
    from darkroom.tracing import new_traceparent
    from localstack.aws import rmq_event
    from tests.support.tenants import TENANT

    redis_client().flushdb()
    records = []
    for _ in range(size):
        job = Job(
            job_id=ids.new_id(),
            tenant=TENANT,
            operation=Operation.RESIZE,
            params={"width": 100},
            source=FileSource(file_id=ids.new_id()),
            created_at=utc_now(),
            traceparent=new_traceparent(),
        )
        views.create(job)
        properties = pika.BasicProperties(message_id=job.job_id, headers={"traceparent": job.traceparent})
        body = lifecycle.message_for(job, 1).model_dump_json().encode()
        records.append(rmq_event.record(properties, body, redelivered=False))
    source = rmq_event.Source("arn:aws:mq:us-east-1:000000000000:broker:b", rabbitmq.queue_of(Operation.RESIZE), "/")
    return rmq_event.event(source, records)


def cpu_ms_per_call(calls: int = 3000) -> dict[str, float]:
    """CPU milliseconds of one call, with botocore's client and with dispatch's invoker."""
    from darkroom.services import aws
    from functions.dispatch.invoker import CONCURRENCY, Batch, invoker

    payload = json.dumps({"message": {"job_id": "0" * 36, "operation": "resize"}, "traceparent": "0" * 55}).encode()
    client, threads = aws.client("lambda"), ThreadPoolExecutor(CONCURRENCY)

    def call_client() -> None:
        client.invoke(FunctionName=_PREFIX, InvocationType="Event", Payload=payload)["Payload"].read()

    return {
        "client.invoke": _cpu_ms(lambda: threads.submit(call_client), calls),
        "invoker": _cpu_ms(lambda: invoker().start(_PREFIX, payload, Batch(time.monotonic() + 60)), calls),
    }


def _cpu_ms(start: Callable[[], Future[Any]], calls: int) -> float:
    for _ in range(2):  # the first time opens the connections
        started = time.process_time()
        for pending in [start() for _ in range(calls)]:
            pending.result()
    return (time.process_time() - started) * 1000 / calls


def report(batch_sizes: list[int], jobs: int) -> None:
    """Prints the tables."""
    print(f"\nDispatch behind one mapping, Invoke takes {INVOKE_MS} ms, about {jobs} jobs per line (goal: {GOAL}/s).\n")
    print("| batch size | jobs/s | batch, ms: p50 / p95 | CPU ms per job | memory for 1,000 jobs/s, MB |")
    print("|---:|---:|---:|---:|---:|")
    for size in batch_sizes:
        found = measure(size, max(5, jobs // size))
        times_ms = sorted(second * 1000 for second in found.batch_s)
        p95 = times_ms[int(0.95 * (len(times_ms) - 1))]
        memory = found.cpu_ms_per_job * MEGABYTES_PER_CPU
        print(
            f"| {size} | {found.jobs_per_s:,.0f} | {statistics.median(times_ms):.0f} / {p95:.0f} "
            f"| {found.cpu_ms_per_job:.2f} | {memory:,.0f} |",
            flush=True,
        )
    cpu_ms = cpu_ms_per_call()
    print(f"\nCPU ms per call: {', '.join(f'{name} {value:.2f}' for name, value in cpu_ms.items())}.")
    print(f"Most memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB.")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dispatch", description=__doc__)
    parser.add_argument("--batch-size", type=int, action="append", help="can be repeated; default: 10, 50, 100, 200")
    parser.add_argument("--jobs", type=int, default=10_000, help="per batch size; default: %(default)s")
    arguments = parser.parse_args()
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "database 0 belongs to a running stack: use another one"
    with stub_of_lambda() as url:
        os.environ |= {
            "AWS_ENDPOINT_URL_LAMBDA": url,
            "DARKROOM_BUCKET": _PREFIX,
            "DARKROOM_FUNCTION_PREFIX": _PREFIX,
            "DARKROOM_IN_FLIGHT_IMAGE": "1000000",
            "POWERTOOLS_LOG_LEVEL": "WARNING",
        }
        report(arguments.batch_size or [10, 50, 100, 200], arguments.jobs)


if __name__ == "__main__":
    main()
