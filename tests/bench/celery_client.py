"""The baseline's client: reads requests from standard input and writes durations to standard output.

A request is a line `{"operation", "key", "count", "concurrent"}`. Its response is a line with a list of seconds: one
per task when the tasks run one after another, one in total when they run concurrently.
"""

import json
import sys
import time

from tests.bench.celery_worker import run

_TIMEOUT_S = 300


def sequential(operation: str, key: str, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        run.apply_async((operation, key)).get(timeout=_TIMEOUT_S)
        seconds.append(time.perf_counter() - started)
    return seconds


def concurrent(operation: str, key: str, count: int) -> list[float]:
    started = time.perf_counter()
    for result in [run.apply_async((operation, key)) for _ in range(count)]:
        result.get(timeout=_TIMEOUT_S)
    return [time.perf_counter() - started]


for line in sys.stdin:
    request = json.loads(line)
    measure = concurrent if request.pop("concurrent") else sequential
    print(json.dumps(measure(**request)), flush=True)
