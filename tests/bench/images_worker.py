"""What the Python engines of the image benchmark have in common: questions in, answers out, one line of JSON each."""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: (operation, format, content) -> the result's bytes.
Work = Callable[[str, str, bytes], bytes]


def serve(work: Work) -> None:
    """Answers until the input ends. The content is read before the clock starts."""
    for line in sys.stdin:
        question = json.loads(line)
        answer: dict[str, float] = {}
        if "ready" not in question:
            content = Path(question["file"]).read_bytes()
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            result = work(question["operation"], question["format"], content)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            answer = {"cpu_ms": cpu * 1000, "wall_ms": wall * 1000, "bytes": len(result)}
            del content, result
        print(json.dumps(answer), flush=True)
