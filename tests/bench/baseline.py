"""Runs the Celery service of celery_worker.py on the same machine, broker, cache and S3 as Darkroom."""

import json
import os
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session

from localstack.settings import BROKER_PASSWORD, BROKER_USER, VIRTUAL_HOSTS, Settings
from tests.bench import cpu_time
from tests.bench.workloads import Case
from tools import environments

_MODULE = "tests.bench.celery_worker"


class Baseline:
    """The Celery service as a contestant, driven through a client process that has Celery's packages."""

    name = "Celery"

    def __init__(self, settings: Settings, worker: "subprocess.Popen[str]", client: "subprocess.Popen[str]") -> None:
        self._stack = cpu_time.Stack(settings)
        self._worker = worker
        self._client = client

    def one_by_one(self, case: Case, count: int) -> list[float]:
        """Seconds from before `apply_async` until `get` has returned, for each task."""
        return self._measure(case, count, at_once=False)

    def at_once(self, case: Case, count: int) -> float:
        """Seconds from before the first `apply_async` until the last `get` has returned."""
        return self._measure(case, count, at_once=True)[0]

    def processor_seconds(self) -> Counter[str]:
        """What every part has used so far."""
        used = self._stack.services(cpu_time.SHARED)
        used["worker"], used["client"] = cpu_time.family(self._worker.pid), processor.family(self._client.pid)
        return used

    def _measure(self, case: Case, count: int, *, at_once: bool) -> list[float]:
        assert self._client.stdin
        assert self._client.stdout
        wanted = {"operation": case.operation, "key": case.source, "count": count, "at_once": at_once}
        self._client.stdin.write(json.dumps(wanted) + "\n")
        self._client.stdin.flush()
        return list(json.loads(self._client.stdout.readline()))


@contextmanager
def running(settings: Settings, inputs: dict[str, Path]) -> Iterator[Baseline]:
    """Worker and client for as long as the context lasts. The worker has as many processes as there are cores."""
    bucket = f"baseline-{uuid.uuid4().hex[:12]}"
    store = botocore.session.Session().create_client("s3")
    store.create_bucket(Bucket=bucket)
    for name, path in inputs.items():
        store.put_object(Bucket=bucket, Key=name, Body=path.read_bytes())
    environment = os.environ | {
        "BASELINE_BROKER_URL": settings.broker_url(VIRTUAL_HOSTS[1]).replace(
            "://", f"://{BROKER_USER}:{BROKER_PASSWORD}@"
        ),
        "BASELINE_CACHE_URL": settings.cache_url(1),
        "BASELINE_BUCKET": bucket,
    }
    options: dict[str, Any] = {"cwd": settings.root, "env": environment, "text": True}
    workers = ["--pool", "prefork", "--concurrency", str(os.cpu_count())]
    with (settings.directory / "logs" / "baseline.log").open("w") as log:
        worker = subprocess.Popen(
            [
                str(environments.baseline(settings)),
                "-m",
                "celery",
                "-A",
                _MODULE,
                "worker",
                *workers,
                "--loglevel",
                "WARNING",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **options,
        )
        client = subprocess.Popen(
            [str(environments.baseline(settings)), "-m", "tests.bench.celery_client"],
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
