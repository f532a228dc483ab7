"""Measures the image operations against sharp and against the obvious Pillow code: `python -m tests.bench.images`.

One interleaved run: every case is done by each engine in turn, and again, so that whatever else the machine does falls
on all of them alike; medians count. Each engine is one process that lives on, reads its input from memory, and may use
one thread of libvips. Peak memory and import time come from fresh processes. npm installs sharp below .darkroom/.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.media.make_images import encode, large_photo

ROOT = Path(__file__).parents[2]
MEDIA = ROOT / ".darkroom" / "bench-media"
NODE = ROOT / ".darkroom" / "bench-node"
SHARP = "0.35.5"
ENGINES = ("darkroom", "sharp", "pillow")

#: Width and height of the inputs by their nominal megapixels.
SIZES = {12: (4000, 3000), 48: (8000, 6000)}
FORMATS = ("jpeg", "png", "webp")
OPERATIONS = ("resize", "thumbnail")

#: What the project promises.
MOST_OF_SHARP, MOST_OF_SHARP_ANYWHERE, LEAST_OF_PILLOW = 1.0, 1.25, 2.0
MOST_PEAK_MB, MOST_IMPORT = 150, 1.25


class Case(NamedTuple):
    """One piece of work: `operation` on a picture of so many megapixels, in and out in one format."""

    operation: str
    fmt: str
    megapixels: int

    @property
    def file(self) -> Path:
        return MEDIA / f"p{self.megapixels}.{self.fmt}"

    def __str__(self) -> str:
        return f"{self.operation} {self.fmt} {self.megapixels} MP"


CASES = [Case(operation, fmt, size) for operation in OPERATIONS for size in SIZES for fmt in FORMATS]


class Cost(NamedTuple):
    """What one piece of work took, in milliseconds."""

    cpu_ms: float
    wall_ms: float


def make_media() -> None:
    """The inputs, once: photographs with a sensor's noise."""
    MEDIA.mkdir(parents=True, exist_ok=True)
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": 90, "subsampling": "4:2:0"},
        "png": {"compress_level": 3},
        "webp": {"quality": 85, "method": 2},
    }
    for megapixels, size in SIZES.items():
        missing = [fmt for fmt in FORMATS if not (MEDIA / f"p{megapixels}.{fmt}").is_file()]
        image = large_photo(*size) if missing else None
        for fmt in missing:
            assert image is not None
            (MEDIA / f"p{megapixels}.{fmt}").write_bytes(encode(image, fmt.upper(), **options[fmt]))


def install_sharp() -> None:
    """sharp from npm, in a folder of its own."""
    if (NODE / "node_modules" / "sharp").is_dir():
        return
    NODE.mkdir(parents=True, exist_ok=True)
    (NODE / "package.json").write_text(json.dumps({"private": True, "dependencies": {"sharp": SHARP}}))
    npm = shutil.which("npm") or sys.exit("npm is needed to install sharp.")
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=NODE, check=True)


def argv_of(engine: str) -> list[str]:
    """The command of an engine's process."""
    workers = Path(__file__).parent
    if engine == "sharp":
        shutil.copy(workers / "images_sharp.cjs", NODE / "worker.cjs")
        return [shutil.which("node") or "node", str(NODE / "worker.cjs")]
    return [sys.executable, "-m", f"tests.bench.images_{engine}"]


def environment() -> dict[str, str]:
    """With bytecode written and used, as the layers bring theirs."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "core")])
    return {**os.environ, "PYTHONPATH": paths, "VIPS_CONCURRENCY": "1", "PYTHONDONTWRITEBYTECODE": ""}


class Worker:
    """An engine's process: one line of JSON in, one out."""

    def __init__(self, engine: str) -> None:
        self.process = subprocess.Popen(
            argv_of(engine), cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def do(self, case: Case) -> Cost:
        answer = self._ask(operation=case.operation, format=case.fmt, file=str(case.file))
        return Cost(answer["cpu_ms"], answer["wall_ms"])

    def ready(self) -> None:
        """Returns when everything is imported."""
        self._ask(ready=True)

    def peak_mb(self) -> float:
        """Its own peak memory: what `getrusage` tells holds that of the process which started it, too."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@contextlib.contextmanager
def workers() -> Iterator[dict[str, Worker]]:
    running = {engine: Worker(engine) for engine in ENGINES}
    try:
        yield running
    finally:
        for worker in running.values():
            worker.close()


def measure(cases: Sequence[Case], repetitions: int) -> dict[Case, dict[str, Cost]]:
    """The medians. The first round warms up and is dropped; each round begins with another engine."""
    found: dict[tuple[Case, str], list[Cost]] = {(case, engine): [] for case in cases for engine in ENGINES}
    with workers() as running:
        for number in range(repetitions + 1):
            order = ENGINES[number % 3 :] + ENGINES[: number % 3]
            for case in cases:
                for engine in order:
                    cost = running[engine].do(case)
                    if number:
                        found[case, engine].append(cost)
            print(f"round {number} of {repetitions}", file=sys.stderr)
    return {case: {engine: _median(found[case, engine]) for engine in ENGINES} for case in cases}


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def peak_mb(engine: str, case: Case | None) -> float:
    """Peak memory of a fresh process that does one piece of work, or none."""
    worker = Worker(engine)
    worker.ready()
    if case is not None:
        worker.do(case)
    peak = worker.peak_mb()
    worker.close()
    return peak


# Import time -------------------------------------------------------------------------------------------------------

OURS = ("darkroom", "functions", "__main__")


def cpu_ms(code: str) -> float:
    """CPU time of a fresh interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def imports(operation: str, repetitions: int) -> tuple[float, float]:
    """CPU time to import a function, and to import just the foreign modules that it needs, in milliseconds."""
    code = f"import functions.{operation}.app"
    listing = f"import sys; known = set(sys.modules); {code}; print(*[n for n in sys.modules if n not in known])"
    names = subprocess.run(
        [sys.executable, "-c", listing], cwd=ROOT, env=environment(), check=True, capture_output=True, text=True
    ).stdout.split()
    foreign = [name for name in names if name.split(".")[0] not in OURS]
    # Some modules are put into place by others and cannot be found by name.
    libraries = f"import contextlib, importlib\nfor name in {foreign!r}:\n with contextlib.suppress(ImportError): "
    libraries += "importlib.import_module(name)"
    rounds = [(cpu_ms("pass"), cpu_ms(code), cpu_ms(libraries)) for _ in range(repetitions)]
    nothing, whole, least = (statistics.median(column) for column in zip(*rounds, strict=True))
    return whole - nothing, least - nothing


# The tables --------------------------------------------------------------------------------------------------------


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def report(found: dict[Case, dict[str, Cost]]) -> bool:
    """Prints the table of times. Whether every bar is met."""
    print("| case | darkroom CPU (wall) ms | sharp | Pillow | CPU of sharp's | times Pillow's |")
    print("|---|---:|---:|---:|---:|---:|")
    of_sharp, of_pillow = [], []
    for case, costs in found.items():
        ours = costs["darkroom"].cpu_ms
        of_sharp.append(ours / costs["sharp"].cpu_ms)
        of_pillow.append(costs["pillow"].cpu_ms / ours)
        cells = " | ".join(f"{costs[engine].cpu_ms:.0f} ({costs[engine].wall_ms:.0f})" for engine in ENGINES)
        print(f"| {case} | {cells} | {of_sharp[-1]:.2f} | {of_pillow[-1]:.1f} |")
    mean, worst, faster = geometric_mean(of_sharp), max(of_sharp), geometric_mean(of_pillow)
    print(f"| geometric mean | | | | {mean:.2f} (at most {worst:.2f}) | {faster:.1f} (at least {min(of_pillow):.1f}) |")
    return mean <= MOST_OF_SHARP and worst <= MOST_OF_SHARP_ANYWHERE and faster >= LEAST_OF_PILLOW


def report_memory(cases: Sequence[Case]) -> bool:
    print("\n| peak memory, MB | darkroom | sharp | Pillow |")
    print("|---|---:|---:|---:|")
    idle = [peak_mb(engine, None) for engine in ENGINES]
    print(f"| imported, nothing done | {' | '.join(f'{peak:.0f}' for peak in idle)} |")
    peaks = {case: [peak_mb(engine, case) for engine in ENGINES] for case in cases}
    for case, row in peaks.items():
        print(f"| {case} | {' | '.join(f'{peak:.0f}' for peak in row)} |")
    promised = peaks.get(Case("resize", "jpeg", 48))
    return promised is None or promised[0] < MOST_PEAK_MB


def report_imports(repetitions: int) -> bool:
    print("\n| import, CPU ms | function | its libraries alone | ratio |")
    print("|---|---:|---:|---:|")
    ratios = []
    for operation in ("resize", "thumbnail", "watermark"):
        # A start is short and other work disturbs it much, so it takes more rounds to find its median.
        whole, least = imports(operation, 3 * repetitions)
        ratios.append(whole / least)
        print(f"| {operation} | {whole:.0f} | {least:.0f} | {ratios[-1]:.2f} |")
    return max(ratios) <= MOST_IMPORT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.images", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--skip", nargs="*", default=[], choices=["times", "memory", "imports"])
    asked = parser.parse_args()
    make_media()
    install_sharp()
    cases = [case for case in CASES if asked.only in str(case)]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {os.cpu_count()} processors, sharp {SHARP}\n")
    met = []
    if "times" not in asked.skip:
        met.append(report(measure(cases, asked.repetitions)))
    if "memory" not in asked.skip:
        met.append(report_memory(cases))
    if "imports" not in asked.skip:
        met.append(report_imports(asked.repetitions))
    print(f"\n{'Every bar is met.' if all(met) else 'A bar is missed.'}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
