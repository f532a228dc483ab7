"""The baseline's client: reads what to ask for from standard input, writes seconds to standard output.

A line in is `{"operation", "key", "count", "at_once"}`, a line out a list of seconds: one per task when they are asked
for one after another, one for all of them when they are asked for at once.
"""

import json
import sys
import time

from tests.bench.celery_worker import work

_PATIENCE_S = 300


def one_by_one(operation: str, key: str, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        work.apply_async((operation, key)).get(timeout=_PATIENCE_S)
        seconds.append(time.perf_counter() - begun)
    return seconds


def at_once(operation: str, key: str, count: int) -> list[float]:
    begun = time.perf_counter()
    for result in [work.apply_async((operation, key)) for _ in range(count)]:
        result.get(timeout=_PATIENCE_S)
    return [time.perf_counter() - begun]


for line in sys.stdin:
    wanted = json.loads(line)
    measure = at_once if wanted.pop("at_once") else one_by_one
    print(json.dumps(measure(**wanted)), flush=True)
