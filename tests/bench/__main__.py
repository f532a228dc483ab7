"""Measures a running stack: `make bench`, or `python -m tests.bench` with the environment that `make bench` sets."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from localstack import keys
from localstack.settings import Settings, load
from tests.bench import baseline, comparison, import_times, overhead, workloads
from tests.bench.darkroom_service import DarkroomService

#: What can be measured: the deployed service against the baseline, CPU time per job, import times.
MEASUREMENTS = ("service", "overhead", "imports")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("measurement", nargs="*", help=f"{', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--operation", action="append", help="only this operation; can be repeated")
    parser.add_argument("--rounds", type=int, default=comparison.ROUNDS, help="default: %(default)s")
    parser.add_argument("--no-baseline", action="store_true", help="measure Darkroom alone")
    arguments = parser.parse_args()
    chosen = arguments.measurement or MEASUREMENTS
    if unknown := set(chosen) - set(MEASUREMENTS):
        parser.error(f"unknown measurement: {', '.join(sorted(unknown))}")
    settings = load()
    files = workloads.inputs(settings.home / "bench-media")
    if "service" in chosen:
        wanted = arguments.operation
        selected = [each for each in workloads.WORKLOADS if not wanted or each.operation in wanted]
        measure_service(settings, files, selected, arguments.rounds, with_baseline=not arguments.no_baseline)
    if "overhead" in chosen:
        overhead.report(files[workloads.PHOTO].read_bytes())
    if "imports" in chosen:
        import_times.report(Path(sys.executable), settings.build)


def measure_service(
    settings: Settings,
    files: dict[str, Path],
    selected: Sequence[workloads.Workload],
    rounds: int,
    *,
    with_baseline: bool,
) -> None:
    """Measures the service over HTTP, beside the baseline if wanted."""
    with ExitStack() as stack:
        key = stack.enter_context(keys.temporary(settings, settings.api_url, "bench"))
        services: list[comparison.Service] = [DarkroomService(settings, files, key)]
        if with_baseline:
            services.append(stack.enter_context(baseline.running(settings, files)))
        comparison.compare(selected, services, rounds)


main()
