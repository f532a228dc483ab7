"""Runs chaos without one guard after the other, and prints which category of problems noticed that.

python -m tests.chaos.mutations                  every mutation in guards.py
python -m tests.chaos.mutations fencing cursor   these
make chaos BREAK=fencing                         a whole chaos run without this guard
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from localstack.settings import ROOT
from tests.chaos.deployment import NAME, PORT
from tests.chaos.guards import MUTATIONS

#: Seconds after the last fault within which every job must end. Without a guard, some never do.
_END_WITHIN_S = 75


@dataclass(frozen=True)
class Outcome:
    """What one run without a guard reported."""

    name: str
    problems: dict[str, int]
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether one of the expected categories has a problem."""
        return any(self.problems.get(category) for category in MUTATIONS[self.name].caught_by)

    @property
    def row(self) -> str:
        """One line of the table."""
        found = "; ".join(f"{category}: {count}" for category, count in self.problems.items() if count)
        state = "caught" if self.caught else "MISSED"
        return (
            f"{state}  {self.name:20} {self.seconds:5.0f} s  {MUTATIONS[self.name].guard}\n        {found or 'nothing'}"
        )


def main() -> int:
    """The command; returns its exit code: 1 unless every mutation is caught."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.mutations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="mutation", help=f"{', '.join(MUTATIONS)} (default: all)")
    parser.add_argument("--name", default=NAME, help="name of the stack (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port of the API (default: %(default)s)")
    parser.add_argument(
        "--control",
        action="store_true",
        help="also make each run with the guard in place: it must report nothing",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of each run (default: %(default)s)")
    options = parser.parse_args()
    unknown = set(options.names) - set(MUTATIONS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    outcomes: list[Outcome] = []
    controls: list[Outcome] = []
    for name in options.names or MUTATIONS:
        print(f"\n=== {name}: without “{MUTATIONS[name].guard}”", flush=True)
        outcomes.append(_run(name, options))
        if options.control:
            print(f"\n=== {name}: with “{MUTATIONS[name].guard}”", flush=True)
            controls.append(_run(name, options, broken=False))
    print("\nMutations")
    for outcome in outcomes:
        print(f"  {outcome.row}")
    failed = [outcome.name for outcome in controls if any(outcome.problems.values())]
    if controls:
        print(f"  with the guard in place: {', '.join(failed) or 'nothing'} reported problems")
    missed = [outcome.name for outcome in outcomes if not outcome.caught]
    print(f"  {len(outcomes) - len(missed)} of {len(outcomes)} caught", flush=True)
    return int(bool(missed or failed))


def _run(name: str, options: argparse.Namespace, *, broken: bool = True) -> Outcome:
    mutation = MUTATIONS[name]
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        summary = Path(folder, "summary.json")
        argv = [
            *(sys.executable, "-m", "tests.chaos", "--summary", str(summary), *(("--break", name) if broken else ())),
            *("--name", options.name, "--port", str(options.port), "--seed", str(options.seed)),
            *("--jobs", str(mutation.jobs), "--count", str(mutation.count), "--hang", mutation.hang_s),
            *(
                "--faults",
                ",".join(mutation.faults),
                "--kinds",
                ",".join(mutation.kinds),
                "--end-within",
                str(_END_WITHIN_S),
            ),
        ]
        subprocess.run(argv, cwd=ROOT, check=False)
        problems = json.loads(summary.read_text()) if summary.exists() else {}
    return Outcome(name, problems, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
