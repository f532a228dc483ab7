"""Compares the image operations with sharp and with simple Pillow code.

    PYTHONPATH=layers/core:. python -m tests.bench.images

The engines take turns on every case, several times, so that other load on the machine affects all of them equally; the
result is the median. Each engine is one long-lived process that reads its input from memory and may use one thread of
libvips. Peak memory and import time are measured in new processes. npm installs sharp below .darkroom/.
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

#: The limits. CPU time divided by that of sharp: geometric mean, and every case. CPU time of Pillow divided by ours.
#: Peak memory of resizing a JPEG of 48 megapixels. Import time divided by that of the libraries alone.
MAX_MEAN_TO_SHARP, MAX_TO_SHARP, MIN_PILLOW_TO_OURS = 1.0, 1.25, 2.0
MAX_PEAK_MB, MAX_IMPORT_RATIO = 150, 1.25


class Case(NamedTuple):
    """`operation` on an image of this size, with source and result in the same format."""

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
    """The time of one run, in milliseconds."""

    cpu_ms: float
    wall_ms: float


def make_media() -> None:
    """Creates the missing inputs: photographs with sensor noise."""
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
    """Installs sharp from npm into a folder of its own."""
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
    """The environment of every process. Bytecode is written and used, because the layers contain it."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "core")])
    return {**os.environ, "PYTHONPATH": paths, "VIPS_CONCURRENCY": "1", "PYTHONDONTWRITEBYTECODE": ""}


class Worker:
    """An engine's process: one line of JSON in, one out."""

    def __init__(self, engine: str) -> None:
        self.process = subprocess.Popen(
            argv_of(engine), cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _request(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        response: dict[str, Any] = json.loads(self.process.stdout.readline())
        return response

    def run(self, case: Case) -> Cost:
        response = self._request(operation=case.operation, format=case.fmt, file=str(case.file))
        return Cost(response["cpu_ms"], response["wall_ms"])

    def ready(self) -> None:
        """Returns when the process has imported everything."""
        self._request(ready=True)

    def peak_mb(self) -> float:
        """Its peak memory, from /proc: `getrusage` would include the memory of the process that started it."""
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
    """A running process of every engine, by engine."""
    running = {engine: Worker(engine) for engine in ENGINES}
    try:
        yield running
    finally:
        for worker in running.values():
            worker.close()


def measure(cases: Sequence[Case], repetitions: int) -> dict[Case, dict[str, Cost]]:
    """The median costs. The first round is a warm-up; each round begins with another engine."""
    found: dict[tuple[Case, str], list[Cost]] = {(case, engine): [] for case in cases for engine in ENGINES}
    with workers() as running:
        for number in range(repetitions + 1):
            order = ENGINES[number % 3 :] + ENGINES[: number % 3]
            for case in cases:
                for engine in order:
                    cost = running[engine].run(case)
                    if number:
                        found[case, engine].append(cost)
            print(f"round {number} of {repetitions}", file=sys.stderr)
    return {case: {engine: _median(found[case, engine]) for engine in ENGINES} for case in cases}


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def peak_mb(engine: str, case: Case | None) -> float:
    """Peak memory of a new process that runs one case, or none."""
    worker = Worker(engine)
    worker.ready()
    if case is not None:
        worker.run(case)
    peak = worker.peak_mb()
    worker.close()
    return peak


# Import time -------------------------------------------------------------------------------------------------------

OURS = ("darkroom", "functions", "__main__")


def cpu_ms(code: str) -> float:
    """CPU time of a new interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def imports(operation: str, repetitions: int) -> tuple[float, float]:
    """CPU time to import a function, and to import only the third-party modules that it needs, in milliseconds."""
    code = f"import functions.{operation}.app"
    listing = f"import sys; known = set(sys.modules); {code}; print(*[n for n in sys.modules if n not in known])"
    names = subprocess.run(
        [sys.executable, "-c", listing], cwd=ROOT, env=environment(), check=True, capture_output=True, text=True
    ).stdout.split()
    third_party = [name for name in names if name.split(".")[0] not in OURS]
    # Some modules exist only in sys.modules and cannot be imported by name.
    libraries = f"import contextlib, importlib\nfor name in {third_party!r}:\n with contextlib.suppress(ImportError): "
    libraries += "importlib.import_module(name)"
    rounds = [(cpu_ms("pass"), cpu_ms(code), cpu_ms(libraries)) for _ in range(repetitions)]
    nothing, whole, least = (statistics.median(column) for column in zip(*rounds, strict=True))
    return whole - nothing, least - nothing


# The tables --------------------------------------------------------------------------------------------------------


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def report(found: dict[Case, dict[str, Cost]]) -> bool:
    """Prints the table of times. Returns whether its limits are met."""
    print("| case | darkroom CPU (wall) ms | sharp | Pillow | darkroom / sharp | Pillow / darkroom |")
    print("|---|---:|---:|---:|---:|---:|")
    to_sharp, pillow_to_ours = [], []
    for case, costs in found.items():
        ours = costs["darkroom"].cpu_ms
        to_sharp.append(ours / costs["sharp"].cpu_ms)
        pillow_to_ours.append(costs["pillow"].cpu_ms / ours)
        cells = " | ".join(f"{costs[engine].cpu_ms:.0f} ({costs[engine].wall_ms:.0f})" for engine in ENGINES)
        print(f"| {case} | {cells} | {to_sharp[-1]:.2f} | {pillow_to_ours[-1]:.1f} |")
    mean, worst, faster = geometric_mean(to_sharp), max(to_sharp), geometric_mean(pillow_to_ours)
    lowest = min(pillow_to_ours)
    print(f"| geometric mean | | | | {mean:.2f} (at most {worst:.2f}) | {faster:.1f} (at least {lowest:.1f}) |")
    return mean <= MAX_MEAN_TO_SHARP and worst <= MAX_TO_SHARP and faster >= MIN_PILLOW_TO_OURS


def report_memory(cases: Sequence[Case]) -> bool:
    """Prints the table of peak memory. Returns whether the limit is met."""
    print("\n| peak memory, MB | darkroom | sharp | Pillow |")
    print("|---|---:|---:|---:|")
    idle = [peak_mb(engine, None) for engine in ENGINES]
    print(f"| after import | {' | '.join(f'{peak:.0f}' for peak in idle)} |")
    peaks = {case: [peak_mb(engine, case) for engine in ENGINES] for case in cases}
    for case, row in peaks.items():
        print(f"| {case} | {' | '.join(f'{peak:.0f}' for peak in row)} |")
    limited = peaks.get(Case("resize", "jpeg", 48))
    return limited is None or limited[0] < MAX_PEAK_MB


def report_imports(repetitions: int) -> bool:
    """Prints the table of import times. Returns whether the limit is met."""
    print("\n| import, CPU ms | function | its libraries alone | ratio |")
    print("|---|---:|---:|---:|")
    ratios = []
    for operation in ("resize", "thumbnail", "watermark"):
        # An import is short and sensitive to other load, so its median takes more rounds.
        whole, least = imports(operation, 3 * repetitions)
        ratios.append(whole / least)
        print(f"| {operation} | {whole:.0f} | {least:.0f} | {ratios[-1]:.2f} |")
    return max(ratios) <= MAX_IMPORT_RATIO


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.images", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=7, help="rounds of measurement (default: %(default)s)")
    parser.add_argument("--only", default="", help="only cases whose name contains this, such as 'resize jpeg'")
    parser.add_argument(
        "--skip", nargs="*", default=[], choices=["times", "memory", "imports"], help="tables to leave out"
    )
    arguments = parser.parse_args()
    make_media()
    install_sharp()
    cases = [case for case in CASES if arguments.only in str(case)]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {os.cpu_count()} processors, sharp {SHARP}\n")
    met = []
    if "times" not in arguments.skip:
        met.append(report(measure(cases, arguments.repetitions)))
    if "memory" not in arguments.skip:
        met.append(report_memory(cases))
    if "imports" not in arguments.skip:
        met.append(report_imports(arguments.repetitions))
    print(f"\n{'All limits are met.' if all(met) else 'A limit is exceeded.'}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
