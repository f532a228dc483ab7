"""Darkroom, measured from outside: over HTTP, against a stack that runs."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localstack.settings import Settings
from tests.bench import cpu_time
from tests.bench.darkroom_client import Service
from tests.bench.workloads import MEDIA_TYPES, Case

#: Connections that throw in jobs at the same time.
SUBMITTERS = 4


class Darkroom:
    """One of the two contestants."""

    name = "Darkroom"

    def __init__(self, settings: Settings, inputs: dict[str, Path]) -> None:
        self._service = Service(settings.api_url, SUBMITTERS)
        self._stack = cpu_time.Stack(settings)
        self._files = {name: self._service.upload(path, MEDIA_TYPES[name]) for name, path in inputs.items()}

    def one_by_one(self, case: Case, count: int) -> list[float]:
        """Seconds from before POST /jobs until a waiting GET has said that the job is completed, for each job."""
        seconds = []
        for _ in range(count):
            begun = time.perf_counter()
            self._service.wait(self._submit(case))
            seconds.append(time.perf_counter() - begun)
        return seconds

    def at_once(self, case: Case, count: int) -> float:
        """Seconds from before the first POST /jobs until the API shows that all of `count` jobs are completed."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            job_ids = list(submitters.map(self._submit, [case] * count))
        self._service.wait(job_ids[-1])
        while not self._service.completed(count):
            time.sleep(0.02)
        return time.perf_counter() - begun

    def processor_seconds(self) -> Counter[str]:
        """What every part has used so far."""
        used = self._stack.services((*cpu_time.SHARED, *processor.OWN)) + self._stack.functions()
        used["client"] = cpu_time.own()
        return used

    def _submit(self, case: Case) -> str:
        return self._service.submit(self._files[case.source], case.operation, dict(case.params))
