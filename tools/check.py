"""Runs the checks of this repository: `python3 -m tools.check lint` does the same as `make lint`.

Without a name it runs all checks except the benchmarks, as `make test` does: lint, unit tests, hostile files,
integration and end-to-end tests on a stack with its own ports, a short chaos run, the IAM policies against the calls
recorded meanwhile, and the coverage of the shipped code.
A failed step does not stop the others. A summary at the end lists each step with its duration.

Further options go to pytest, or to tests.chaos:

    python3 -m tools.check integration -k lease
    python3 -m tools.check chaos --jobs 2000 --seed 7
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from localstack import stack
from localstack.errors import StackError
from localstack.services import memory, native
from localstack.services.environments import install_tools, require_python
from localstack.settings import CALLS, REGION, TEST_STACK, VIRTUAL_HOSTS, Settings, load
from tools import coverage, environments

#: Mutated video and audio files in `make hostile`; `make test` uses the default of tests/hostile, which is smaller.
_HOSTILE_FILES = 5000

_PARALLEL = ("--numprocesses", "auto", "--dist", "worksteal")


@dataclass
class Summary:
    """The steps that ran: their names, whether they passed, and their durations."""

    steps: list[tuple[str, bool, float]] = field(default_factory=list)

    def add(self, name: str, seconds: float, *, passed: bool) -> None:
        """Adds a step that ended."""
        self.steps.append((name, passed, seconds))

    @property
    def failed(self) -> int:
        """The number of steps that failed."""
        return sum(not passed for _, passed, _ in self.steps)

    def print(self) -> None:
        """Prints one line per step and one in total."""
        print("\nSummary")
        for name, passed, seconds in self.steps:
            print(f"  {'passed' if passed else 'FAILED':7} {seconds:6.1f} s  {name}")
        total = sum(seconds for _, _, seconds in self.steps)
        print(f"  {len(self.steps) - self.failed} of {len(self.steps)} steps passed in {total:.0f} s", flush=True)


class Checks:
    """One run of the test command. `options` go to pytest or to tests.chaos."""

    def __init__(self, settings: Settings, options: Sequence[str] = ()) -> None:
        self._settings = settings
        self._python = str(environments.development(settings))
        self._bin = environments.development(settings).parent
        self._path = os.pathsep.join([str(settings.root / "layers" / "core"), str(settings.root)])
        self._options = options
        self.summary = Summary()

    def everything(self) -> None:
        """Runs all checks except the benchmarks. Integration and end-to-end tests share one stack."""
        coverage.delete_measurements(self._settings)
        self._delete_recordings()
        self.lint()
        self._build()
        self._unit()
        self._pytest("hostile files", "tests/hostile", "--numprocesses", "auto", "--dist", "loadfile")
        self._with_stack(self._integration, self._e2e)
        self._chaos()
        self.permissions()
        self.coverage()

    def lint(self) -> None:
        """Checks style, types and the template. Exceptions are in template.yaml and .checkov.yaml, with reasons."""
        self._step("ruff check", [str(self._bin / "ruff"), "check", "."])
        self._step("ruff format", [str(self._bin / "ruff"), "format", "--check", "."])
        self._step("mypy", [str(self._bin / "mypy")])
        sam = str(self._settings.tools.parent / "sam")
        self._step("sam validate", [sam, "validate", "--lint", "--template-file", "template.yaml", "--region", REGION])
        linters = environments.linters(self._settings).parent
        rules = ["--append-rules", "cfn_lint_serverless.rules", "--include-checks", "I", "--include-experimental"]
        self._step("cfn-lint", [str(linters / "cfn-lint"), *rules, "--template", "template.yaml"])
        resolved = str(self._settings.home / "template.json")
        self._step(
            "resolve template", [self._python, "-m", "tests.support.resolved_template", resolved], PYTHONPATH=self._path
        )
        self._step("checkov", [str(linters / "checkov"), "--config-file", ".checkov.yaml", "--file", resolved])

    def format(self) -> None:
        """Formats the code and applies the fixes of ruff."""
        self._step("ruff check --fix", [str(self._bin / "ruff"), "check", "--fix", "."])
        self._step("ruff format", [str(self._bin / "ruff"), "format", "."])

    def unit(self) -> None:
        """Builds the layers, which hold FFmpeg, and runs the tests that need no service."""
        self._build()
        self._unit()

    def integration(self) -> None:
        """Runs the integration tests on a stack of their own."""
        self._build()
        self._with_stack(self._integration)

    def e2e(self) -> None:
        """Runs the end-to-end tests on a stack of their own."""
        self._delete_recordings()
        self._build()
        self._with_stack(self._e2e)

    def hostile(self) -> None:
        """Runs the operations on thousands of damaged and malicious files and prints the counts by outcome."""
        self._build()
        self._step("hostile images", [self._python, "-m", "tests.hostile.images"], PYTHONPATH=self._path)
        media = [self._python, "-m", "pytest", "-qs", "tests/hostile/test_media.py"]
        self._step("hostile video and audio", media, DARKROOM_FUZZ=str(_HOSTILE_FILES))

    def chaos(self) -> None:
        """Runs jobs while parts of the stack fail, on a stack of its own. Its videos need the FFmpeg of the layers."""
        self._build()
        self._chaos()

    def permissions(self) -> None:
        """Compares the IAM policies with the calls recorded in the last end-to-end tests and chaos run."""
        if self._settings.record_calls:  # LocalStack records none
            self._step("permissions", [self._python, "-m", "tests.rehearsal"], PYTHONPATH=self._path)

    def mutations(self) -> None:
        """Removes one guard after the other from the sources, and lets chaos find that it is missing."""
        self._build()
        self._step("mutations", [self._python, "-m", "tests.chaos.mutations", *self._options])

    def coverage(self) -> None:
        """Compares the coverage of the last unit and integration tests with the floor."""
        started = time.monotonic()
        problem = ""
        try:
            measured = coverage.combined(self._settings)
            measured.print()
            problem = measured.problem
        except StackError as error:
            problem = str(error)
        if problem:
            print(problem, file=sys.stderr, flush=True)
        self.summary.add("coverage", time.monotonic() - started, passed=not problem)

    def bench(self) -> None:
        """Measures the running stack against a baseline, and the operations against other libraries."""
        environments.install_baseline(self._settings)
        for name, module in (
            ("service", "tests.bench"),
            ("memory of Redis", "tests.bench.redis_memory"),
            ("sweep", "tests.bench.sweep"),
            ("images", "tests.bench.images"),
            ("video", "tests.bench.video"),
            ("dispatch", "tests.bench.dispatch"),
            ("fair share", "tests.bench.fairness"),
        ):
            self._step(f"bench: {name}", [self._python, "-m", module], PYTHONPATH=self._path)

    def _delete_recordings(self) -> None:
        for path in (self._settings.home / CALLS).glob("*.jsonl"):
            path.unlink()

    def _build(self) -> None:
        self._step("build", [str(self._settings.tools), "-m", "localstack.aws.sam", "build"])

    def _unit(self) -> None:
        self._measured("unit", "unit tests", *_PARALLEL)

    def _chaos(self) -> None:
        # Open unless the caller says otherwise, so that all tests together cover both modes.
        chosen = os.environ.get("DARKROOM_AUTH", "")
        self._step("chaos", [self._python, "-m", "tests.chaos", *self._options], DARKROOM_AUTH=chosen)

    def _integration(self) -> None:
        # Each process has a virtual host and a Redis database of its own; the functions use the first.
        processes = str(len(VIRTUAL_HOSTS) - 1)
        self._measured("integration", "integration tests", "--numprocesses", processes, "--dist", "worksteal")

    def _e2e(self) -> None:
        self._pytest("end-to-end tests", "tests/e2e")

    def _with_stack(self, *suites: Callable[[], None]) -> None:
        try:
            with self._stack():
                for suite in suites:
                    suite()
        except StackError as error:
            print(f"\n{error}", file=sys.stderr, flush=True)

    @contextmanager
    def _stack(self) -> Iterator[None]:
        stack.down(self._settings)  # a killed run may have left its stack running
        started = time.monotonic()
        try:
            try:
                stack.up(self._settings)
            except StackError:
                self.summary.add("stack up", time.monotonic() - started, passed=False)
                raise
            self.summary.add("stack up", time.monotonic() - started, passed=True)
            yield
        finally:
            stopping = time.monotonic()
            stack.down(self._settings)
            self.summary.add("stack down", time.monotonic() - stopping, passed=True)

    def _measured(self, run: str, name: str, *options: str) -> None:
        """Runs the tests of `tests/<run>` and measures coverage, unless options select some of them."""
        measuring, environment = ([], {}) if self._options else coverage.options(self._settings, run)
        self._pytest(name, f"tests/{run}", *options, *measuring, **environment)

    def _pytest(self, name: str, folder: str, *options: str, **environment: str) -> None:
        self._step(name, [self._python, "-m", "pytest", folder, *options, *self._options], **environment)

    def _step(self, name: str, argv: list[str], **more: str) -> None:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        environment = suite_environment(self._settings) | more
        passed = subprocess.run(argv, cwd=self._settings.root, env=environment, check=False).returncode == 0
        self.summary.add(name, time.monotonic() - started, passed=passed)


#: The checks by name, those that take further options, those that need RabbitMQ and Redis, and those that
#: need the checkers of the template.
ACTIONS: dict[str, Callable[[Checks], None]] = {
    "all": Checks.everything,
    "lint": Checks.lint,
    "format": Checks.format,
    "unit": Checks.unit,
    "integration": Checks.integration,
    "e2e": Checks.e2e,
    "hostile": Checks.hostile,
    "chaos": Checks.chaos,
    "permissions": Checks.permissions,
    "mutations": Checks.mutations,
    "coverage": Checks.coverage,
    "bench": Checks.bench,
}
WITH_OPTIONS = frozenset(("unit", "integration", "e2e", "chaos", "mutations"))
WITH_SERVICES = frozenset(("all", "integration", "e2e", "chaos", "mutations", "bench"))
WITH_LINTERS = frozenset(("all", "lint"))


def suite_environment(settings: Settings) -> dict[str, str]:
    """The environment of tests: addresses of services, and a virtual host and a database that no function uses."""
    own = {
        "DARKROOM_API_URL": settings.api_url,
        "DARKROOM_BIN_DIR": str(settings.build / "FfmpegLayer" / "bin"),
        "DARKROOM_BROKER_URL": settings.broker_url(VIRTUAL_HOSTS[1]),
        "DARKROOM_BROKER_SECRET_ARN": settings.secret_name,
        "DARKROOM_CACHE_URL": settings.cache_url(1),
        "SAM_CLI_TELEMETRY": "0",
    }
    color = {name: os.environ[name] for name in ("TERM", "CI", "FORCE_COLOR", "NO_COLOR") if name in os.environ}
    return native.own_environment(settings) | own | color


def recorded(settings: Settings) -> Settings:
    """The settings of a stack that records the AWS calls of its functions, where the emulator can do that."""
    if settings.emulator != "ministack":
        return settings
    return replace(settings, record_calls=str(settings.home / CALLS / f"{settings.stack}.jsonl"))


def prepare(settings: Settings, action: str) -> None:
    """Installs the missing dependencies of a check."""
    require_python()
    if action in WITH_LINTERS:
        environments.install_linters(settings)
    if action in WITH_SERVICES:
        stack.install(settings, environments.install_development)
    else:
        install_tools(settings)
        environments.install_development(settings)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tools.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "action", choices=ACTIONS, nargs="?", default="all", metavar="name", help=f"{', '.join(ACTIONS)} (default: all)"
    )
    arguments, options = parser.parse_known_args()
    if options and arguments.action not in WITH_OPTIONS:
        parser.error(f"{arguments.action} takes no options")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = load() if arguments.action == "bench" else recorded(load(stack=TEST_STACK))
        if arguments.action == "all":
            memory.require(settings, memory.TESTS_BYTES, "make test")
        prepare(settings, arguments.action)
        checks = Checks(settings, options)
        try:
            ACTIONS[arguments.action](checks)
        finally:
            checks.summary.print()
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return min(checks.summary.failed, 1)


if __name__ == "__main__":
    sys.exit(main())
