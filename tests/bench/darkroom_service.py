"""Measures Darkroom over HTTP, on a running stack."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localstack import keys
from localstack.settings import Settings
from tests.bench import cpu_time
from tests.bench.darkroom_client import DarkroomClient
from tests.bench.workloads import MEDIA_TYPES, Workload

#: Connections that submit concurrent jobs.
SUBMITTERS = 4


class DarkroomService:
    """The deployed service, with the workloads' files uploaded. A closed one needs an API key."""

    name = "Darkroom"

    def __init__(self, settings: Settings, inputs: dict[str, Path], key: str) -> None:
        self._client = DarkroomClient(settings.api_url, SUBMITTERS, keys.headers(key))
        self._processes = cpu_time.StackProcesses(settings)
        self._files = {name: self._client.upload(path, MEDIA_TYPES[name]) for name, path in inputs.items()}

    def sequential(self, workload: Workload, count: int) -> list[float]:
        """Seconds per job, from before POST /jobs until a long-polling GET has returned the completed job."""
        seconds = []
        for _ in range(count):
            started = time.perf_counter()
            self._client.wait(self._submit(workload))
            seconds.append(time.perf_counter() - started)
        return seconds

    def concurrent(self, workload: Workload, count: int) -> float:
        """Seconds from before the first POST /jobs until the API lists all `count` jobs as completed."""
        started = time.perf_counter()
        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            job_ids = list(submitters.map(self._submit, [workload] * count))
        self._client.wait(job_ids[-1])
        while not self._client.completed(count):
            time.sleep(0.02)
        return time.perf_counter() - started

    def cpu_seconds(self) -> cpu_time.Seconds:
        """CPU time so far, by service and function."""
        services = self._processes.services((*cpu_time.SHARED, *cpu_time.DARKROOM_ONLY))
        return services | self._processes.functions() | {"client": cpu_time.this_process()}

    def _submit(self, workload: Workload) -> str:
        return self._client.submit(self._files[workload.source], workload.operation, dict(workload.params))
