"""How long a pass of sweep takes with many jobs: a step of `make bench`, which sets the environment.

S3 is a stand-in on loopback with the latency of S3, Redis and RabbitMQ are real. The jobs that have ended are in the
ledger of the stand-in only.
"""

import contextlib
import io
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.slow_s3 import EndedJobs, SlowS3, slow_s3
from tests.support.lambda_context import LambdaContext

ENDED = 10_000_000
OPEN = 5_000
RETENTION_S = 7 * 86_400

#: Accepted jobs per second, and the share of upload forms that are never used.
RATE = 100
UNUSED_FORMS = 0.05

#: Milliseconds that a pass may take: sweep's time-out in template.yaml.
PASS_MS = 55_000

#: The goals: seconds and pages of a quiet pass, seconds between two passes, seconds until all views are back.
QUIET_S, QUIET_PAGES = 10, 20
BETWEEN_PASSES_S = 60
RESTORED_S = 60


@dataclass(frozen=True)
class Measured:
    """One pass: its duration, its requests to S3 by kind, and what it returned."""

    seconds: float
    cpu_s: float
    requests: Counter[str]
    done: dict[str, Any]

    def row(self, name: str, goal: str) -> str:
        """A row of the table."""
        kinds = ("LIST", "GET", "DELETE")
        cells = [f"{self.requests[kind]:,}" for kind in kinds]
        return f"| {name} | {self.seconds:.1f} | {self.cpu_s:.1f} | {' | '.join(cells)} | {goal} |"


class Deployment:
    """The jobs and forms in S3 and Redis."""

    def __init__(self, s3: SlowS3) -> None:
        from darkroom.contracts.jobs import FileSource, Job
        from darkroom.contracts.operations import Operation
        from darkroom.timestamps import utc_now
        from darkroom.tracing import new_traceparent
        from tests.support.tenants import TENANT

        self._s3 = s3
        self._job = Job(
            job_id="",
            tenant=TENANT,
            operation=Operation.RESIZE,
            params={"width": 640},
            source=FileSource(file_id=""),
            created_at=utc_now(),
            traceparent=new_traceparent(),
        )

    def accept(self, count: int, *, in_redis: bool = True) -> Sequence[Any]:
        """Accepts jobs. Their messages are in a queue, as far as sweep can see."""
        from darkroom import ids
        from darkroom.jobs import ledger
        from darkroom.services.redis import views

        jobs = [self._job.model_copy(update={"job_id": ids.new_id()}) for _ in range(count)]
        entries = {f"open/jobs/{job.ref}": "" for job in jobs}
        self._s3.add(entries | {ledger.job_key(job.ref): job.model_dump_json() for job in jobs})
        for job in jobs if in_redis else ():
            views.create(job)
        return jobs

    def end(self, jobs: Sequence[Any]) -> None:
        """Ends jobs, as their runs do."""
        from darkroom.jobs import ledger, lifecycle
        from darkroom.services.redis import views

        results = [lifecycle.canceled_result(job, attempt=1) for job in jobs]
        ended = list(zip(jobs, results, strict=True))
        self._s3.add({ledger.result_key(job.ref): result.model_dump_json() for job, result in ended})
        for job, result in ended:
            views.finish(job, result)

    def issue_forms(self, count: int) -> None:
        """Issues upload forms with a job each. Most uploads have arrived and were ingested."""
        from darkroom import ids
        from darkroom.services.redis import files
        from tests.support.tenants import TENANT

        file_ids = [ids.new_id() for _ in range(count)]
        self._s3.add({f"open/uploads/{TENANT}/{file_id}": "" for file_id in file_ids})
        for file_id in file_ids[int(count * UNUSED_FORMS) :]:
            files.mark_ingested(TENANT, file_id, size_bytes=0, written_s=0)

    def sweep(self) -> Measured:
        """One pass."""
        from functions.sweep.app import handler

        self._s3.take_requests()
        started, cpu_started = time.monotonic(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            done = handler({}, LambdaContext(PASS_MS))
        seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu_started
        return Measured(seconds, cpu_s, self._s3.take_requests(), done)

    def open_views(self) -> int:
        """How many open jobs have a view."""
        from darkroom.services.redis import keys
        from darkroom.services.redis.client import redis_client

        return int(redis_client().zcard(keys.OPEN_JOBS))


def report() -> bool:
    """Prints the table. Returns whether all goals are reached."""
    os.environ["DARKROOM_BUCKET"] = "bucket"
    os.environ["DARKROOM_FUNCTION_PREFIX"] = "bench"
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "database 0 belongs to a running stack: use another one"
    now_ms = int(time.time() * 1000)
    with slow_s3(EndedJobs(ENDED, now_ms - RETENTION_S * 1000, now_ms)) as s3:
        os.environ["AWS_ENDPOINT_URL_S3"] = s3.url
        from darkroom.services import rabbitmq
        from darkroom.services.redis.client import redis_client
        from tests.support.broker import close_connections, on_channel

        redis_client().flushdb()
        rabbitmq.declare_topology()
        on_channel("queue_purge", "darkroom.resize")
        deployment = Deployment(s3)
        deployment.accept(OPEN)
        print(f"\n{ENDED:,} ended and {OPEN:,} open jobs, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
        print("| a pass | s | CPU s | listings | reads | deletions | goal |\n|---|---:|---:|---:|---:|---:|---|")
        quiet = deployment.sweep()
        print(quiet.row("nothing has changed", f"{QUIET_S} s, {QUIET_PAGES} listings"), flush=True)
        busy = _busy_pass(deployment)
        print(busy.row(f"after a minute of {RATE} jobs/s", f"{BETWEEN_PASSES_S} s"), flush=True)
        after = deployment.sweep()
        print(after.row("the next one", f"{QUIET_S} s, {QUIET_PAGES} listings"), flush=True)
        redis_client().flushdb()
        passes = [deployment.sweep()]
        while deployment.open_views() < OPEN and len(passes) < 10:
            passes.append(deployment.sweep())
        restored = Measured(
            sum(each.seconds for each in passes),
            sum(each.cpu_s for each in passes),
            sum((each.requests for each in passes), Counter()),
            {},
        )
        print(restored.row(f"after Redis lost its data ({len(passes)} passes)", f"{RESTORED_S} s"), flush=True)
        complete = deployment.open_views() == OPEN
        on_channel("queue_purge", "darkroom.resize")
        close_connections()
        rabbitmq.close()
    return (
        complete
        and not any(each.done["failed"] for each in (quiet, busy, after, *passes))
        and all(each.seconds < QUIET_S and each.requests["LIST"] <= QUIET_PAGES for each in (quiet, after))
        and busy.seconds < BETWEEN_PASSES_S
        and len(passes) == 1
        and restored.seconds < RESTORED_S
    )


def _busy_pass(deployment: Deployment) -> Measured:
    """A pass after a minute in which half of the jobs came with an upload, and all of them have ended."""
    jobs = deployment.accept(RATE * BETWEEN_PASSES_S)
    deployment.end(jobs)
    deployment.issue_forms(len(jobs) // 2)
    return deployment.sweep()


def main() -> None:
    """The command."""
    if not report():
        raise SystemExit("\nA goal was not reached.")


if __name__ == "__main__":
    main()
