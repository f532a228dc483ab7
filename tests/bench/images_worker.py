"""The protocol of the Python engines in the image benchmark: one line of JSON per request and per response."""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: (operation, format, content) -> the result's bytes.
Work = Callable[[str, str, bytes], bytes]


def serve(work: Work) -> None:
    """Responds to requests until the input ends. Reading the content is not measured."""
    for line in sys.stdin:
        request = json.loads(line)
        response: dict[str, float] = {}
        if "ready" not in request:
            content = Path(request["file"]).read_bytes()
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            result = work(request["operation"], request["format"], content)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            response = {"cpu_ms": cpu * 1000, "wall_ms": wall * 1000, "bytes": len(result)}
            del content, result
        print(json.dumps(response), flush=True)
