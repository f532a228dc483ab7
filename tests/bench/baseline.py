"""Runs the Celery service of celery_worker.py on the same machine, broker, cache and S3 as Darkroom."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session

from localstack.settings import BROKER_PASSWORD, BROKER_USER, VIRTUAL_HOSTS, Settings
from tests.bench import cpu_time
from tests.bench.workloads import Workload
from tools import environments

_MODULE = "tests.bench.celery_worker"


class Baseline:
    """The Celery service, used through a client process that has Celery's packages."""

    name = "Celery"

    def __init__(self, settings: Settings, worker: "subprocess.Popen[str]", client: "subprocess.Popen[str]") -> None:
        self._processes = cpu_time.StackProcesses(settings)
        self._worker = worker
        self._client = client

    def sequential(self, workload: Workload, count: int) -> list[float]:
        """Seconds per task, from before `apply_async` until `get` has returned."""
        return self._measure(workload, count, concurrent=False)

    def concurrent(self, workload: Workload, count: int) -> float:
        """Seconds from before the first `apply_async` until the last `get` has returned."""
        return self._measure(workload, count, concurrent=True)[0]

    def cpu_seconds(self) -> cpu_time.Seconds:
        """CPU time so far, by service and process."""
        return self._processes.services(cpu_time.SHARED) | {
            "worker": cpu_time.with_children(self._worker.pid),
            "client": cpu_time.with_children(self._client.pid),
        }

    def _measure(self, workload: Workload, count: int, *, concurrent: bool) -> list[float]:
        assert self._client.stdin
        assert self._client.stdout
        request = {
            "operation": workload.operation,
            "key": workload.source,
            "count": count,
            "concurrent": concurrent,
        }
        self._client.stdin.write(json.dumps(request) + "\n")
        self._client.stdin.flush()
        return list(json.loads(self._client.stdout.readline()))


@contextmanager
def running(settings: Settings, inputs: dict[str, Path]) -> Iterator[Baseline]:
    """Runs the worker, with a process per core, and the client until the context ends."""
    bucket = f"baseline-{uuid.uuid4().hex[:12]}"
    s3 = botocore.session.Session().create_client("s3")
    s3.create_bucket(Bucket=bucket)
    for name, path in inputs.items():
        s3.put_object(Bucket=bucket, Key=name, Body=path.read_bytes())
    environment = os.environ | {
        "BASELINE_BROKER_URL": settings.broker_url(VIRTUAL_HOSTS[1]).replace(
            "://", f"://{BROKER_USER}:{BROKER_PASSWORD}@"
        ),
        "BASELINE_CACHE_URL": settings.cache_url(1),
        "BASELINE_BUCKET": bucket,
    }
    options: dict[str, Any] = {"cwd": settings.root, "env": environment, "text": True}
    python = str(environments.baseline(settings))
    pool = ["--pool", "prefork", "--concurrency", str(os.cpu_count())]
    with (settings.directory / "logs" / "baseline.log").open("w") as log:
        worker = subprocess.Popen(
            [python, "-m", "celery", "-A", _MODULE, "worker", *pool, "--loglevel", "WARNING"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **options,
        )
        client = subprocess.Popen(
            [python, "-m", "tests.bench.celery_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            **options,
        )
        try:
            yield Baseline(settings, worker, client)
        finally:
            for process in (client, worker):
                process.terminate()
                process.wait(timeout=30)
