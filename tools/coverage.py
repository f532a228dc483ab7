"""Branch coverage of the shipped code by the unit and integration tests, and the floor that it must reach.

Each of the two test runs writes its own data file (`options`); `combined` joins them. Code that runs inside the
emulator, or in the processes that encode and decode images, is not measured.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from localstack.errors import StackError
from localstack.settings import Settings
from tools import environments

#: Percent of lines and branches that the tests must reach. Raise it when the check asks for it, and never lower it:
#: remove dead code or write the missing test instead.
FLOOR_PERCENT = 97.6

#: Percentage points above the floor from which the check fails as well. Without this the floor would stay where it is
#: while coverage rises, and later losses would pass. A new floor lies this far below what was measured, because two
#: runs of the same code may differ by a few branches that depend on timing.
SLACK_PERCENT = 0.5
MARGIN_PERCENT = 0.2

#: The test runs that are measured.
RUNS = ("unit", "integration")

_SHOWN_FILES = 5


@dataclass(frozen=True)
class Coverage:
    """What the tests reached, in percent of lines and branches together: in total, and by file, the lowest first."""

    percent: float
    files: list[tuple[str, float]]

    @property
    def problem(self) -> str:
        """What is wrong with the total; empty if it passes."""
        shown = _floored(self.percent)
        if self.percent < FLOOR_PERCENT:
            return f"{shown} % is below the floor of {FLOOR_PERCENT} %: test what you added, or remove dead code."
        if self.percent >= FLOOR_PERCENT + SLACK_PERCENT:
            new = _floored(self.percent - MARGIN_PERCENT)
            return f"{shown} % is far above the floor of {FLOOR_PERCENT} %: in tools/coverage.py, raise it to {new}."
        return ""

    def print(self) -> None:
        """Prints the total, the floor and the files with the lowest coverage."""
        print(f"\nCoverage of lines and branches: {_floored(self.percent)} % (floor {FLOOR_PERCENT} %). Lowest:")
        for name, percent in self.files[:_SHOWN_FILES]:
            print(f"  {percent:5.1f} %  {name}")


def options(settings: Settings, run: str) -> tuple[list[str], dict[str, str]]:
    """The options of pytest and the environment variables that measure the test run `run`."""
    return ["--cov", "--cov-report="], {"COVERAGE_FILE": str(_data_file(settings, run))}


def delete_measurements(settings: Settings) -> None:
    """Deletes the data files of earlier runs."""
    for path in _directory(settings).glob("*"):
        path.unlink()


def combined(settings: Settings) -> Coverage:
    """The coverage of all test runs together. Raises StackError when one of them has not been measured."""
    missing = [run for run in RUNS if not _data_file(settings, run).exists()]
    if missing:
        raise StackError(f"Coverage needs the {' and '.join(missing)} tests: run make {' '.join(missing)} first.")
    total = _data_file(settings, "all")
    report = _directory(settings) / "report.json"
    _coverage(settings, "combine", "--keep", f"--data-file={total}", *(str(_data_file(settings, run)) for run in RUNS))
    _coverage(settings, "json", f"--data-file={total}", "-o", str(report))
    return _read(json.loads(report.read_text()))


def _read(report: dict[str, object]) -> Coverage:
    """The figures of coverage.py's JSON report."""
    files, totals = report["files"], report["totals"]
    assert isinstance(files, dict)  # noqa: S101 - coverage.py's format
    assert isinstance(totals, dict)  # noqa: S101
    by_file = [(str(name), float(entry["summary"]["percent_covered"])) for name, entry in files.items()]
    return Coverage(float(totals["percent_covered"]), sorted(by_file, key=lambda entry: entry[1]))


def _floored(percent: float) -> float:
    """Rounded down to a tenth, so that the number shown is never higher than the measured one."""
    return int(percent * 10) / 10


def _directory(settings: Settings) -> Path:
    return settings.home / "coverage"


def _data_file(settings: Settings, run: str) -> Path:
    return _directory(settings) / run


def _coverage(settings: Settings, command: str, *arguments: str) -> None:
    argv = [str(environments.development(settings)), "-m", "coverage", command, "--quiet", *arguments]
    completed = subprocess.run(argv, cwd=settings.root, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise StackError(f"coverage {command} failed: {completed.stdout}{completed.stderr}")
