"""Measures a running stack: `make bench`, or `python -m tests.bench` with the environment that it sets."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from localstack.settings import Settings, load
from tests.bench import baseline, comparison, import_times, overhead, workloads
from tests.bench.darkroom_service import Darkroom

WHAT = ("service", "overhead", "cold")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", nargs="*", default=[], help=f"what to measure: {', '.join(WHAT)}; all when left out")
    parser.add_argument("--operation", action="append", help="only this operation; may be repeated")
    parser.add_argument("--turns", type=int, default=comparison.TURNS, help="turns of each contestant (%(default)s)")
    parser.add_argument("--alone", action="store_true", help="without the baseline")
    arguments = parser.parse_args()
    wanted = arguments.what or WHAT
    settings = load()
    files = workloads.inputs(settings.home / "bench-media")
    if "service" in wanted:
        chosen = [each for each in workloads.CASES if not arguments.operation or each.operation in arguments.operation]
        compare(settings, files, chosen, arguments.turns, alone=arguments.alone)
    if "overhead" in wanted:
        overhead.report(files[workloads.PHOTO].read_bytes())
    if "cold" in wanted:
        import_times.report(settings)


def compare(
    settings: Settings, files: dict[str, Path], chosen: Sequence[workloads.Case], turns: int, *, alone: bool
) -> None:
    """Compares the service with the baseline, from outside."""
    with ExitStack() as stack:
        contestants: list[comparison.Contestant] = [Darkroom(settings, files)]
        if not alone:
            contestants.append(stack.enter_context(baseline.running(settings, files)))
        comparison.compare(chosen, contestants, turns)


main()
