"""Proves that everything works: `python3 -m tools.check`, which is `make test`. Needs nothing but Python.

Lint, types and unit tests first; then a stack of its own comes up on ports of its own, integration and end-to-end tests
run against it, and it goes down again, whatever happens. A short run of chaos follows on a stack that may be broken. A
closing summary tells what passed and how long it took.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from localstack import stack
from localstack.failure import StackError
from localstack.services import native
from localstack.services.environments import require_python
from localstack.settings import REGION, TEST_STACK, VIRTUAL_HOSTS, Settings, load
from tools import environments

#: What is typed. Tests are not: they read better without.
_TYPED = ("layers", "api", "functions", "localstack", "tools")


@dataclass
class Summary:
    """What passed, what failed, and how long each took."""

    lines: list[tuple[str, bool, float]] = field(default_factory=list)

    def add(self, name: str, seconds: float, *, passed: bool) -> None:
        """Remembers one step."""
        self.lines.append((name, passed, seconds))

    @property
    def failed(self) -> int:
        """How many steps failed."""
        return sum(not passed for _, passed, _ in self.lines)

    def print(self) -> None:
        """The closing lines."""
        print("\nSummary")
        for name, passed, seconds in self.lines:
            print(f"  {'passed' if passed else 'FAILED':7} {seconds:6.1f} s  {name}")
        total = sum(seconds for _, _, seconds in self.lines)
        print(f"  {len(self.lines) - self.failed} of {len(self.lines)} steps passed in {total:.0f} s", flush=True)


class Checks:
    """The steps, each run whether or not an earlier one failed, unless it needs what failed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bin = environments.development(settings).parent
        self.summary = Summary()

    def lint(self) -> None:
        """Style, types and the template."""
        self._step("ruff check", [str(self._bin / "ruff"), "check", "."])
        self._step("ruff format", [str(self._bin / "ruff"), "format", "--check", "."])
        self._step("mypy", [str(self._bin / "mypy"), *_TYPED])
        sam = str(self._settings.tools.parent / "sam")
        self._step("sam validate", [sam, "validate", "--lint", "--template-file", "template.yaml", "--region", REGION])

    def format(self) -> None:
        """Rewrites what ruff would complain about."""
        self._step("ruff check --fix", [str(self._bin / "ruff"), "check", "--fix", "."])
        self._step("ruff format", [str(self._bin / "ruff"), "format", "."])

    def build(self) -> None:
        """The artifacts, which tests of packaging and of FFmpeg use."""
        self._step("build", [str(self._settings.tools), "-m", "localstack.aws.sam", "build"])

    def unit(self) -> None:
        """Tests that need no service, one process a core."""
        self._pytest("unit tests", "tests/unit", "--numprocesses", "auto", "--dist", "worksteal")
        self._pytest("hostile files", "tests/hostile", "--numprocesses", "auto", "--dist", "loadfile")

    def hostile(self) -> None:
        """More damaged files than the tests' run has."""
        self._step("hostile pictures", [str(environments.development(self._settings)), "-m", "tests.hostile.images"])
        argv = [str(environments.development(self._settings)), "-m", "pytest", "-qs", "tests/hostile/test_media.py"]
        self._step("hostile films and sounds", argv, DARKROOM_FUZZ="5000")

    def with_stack(self) -> None:
        """Integration and end-to-end tests, against a stack that is there for them alone."""
        try:
            with self._stack():
                processes = str(len(VIRTUAL_HOSTS) - 1)
                sharing = ("--numprocesses", processes, "--dist", "worksteal")
                self._pytest("integration tests", "tests/integration", *sharing)
                self._pytest("end-to-end tests", "tests/e2e")
        except StackError as error:
            print(f"\n{error}", file=sys.stderr, flush=True)

    def chaos(self, *options: str) -> None:
        """Jobs while everything fails, on a stack of its own."""
        self._step("chaos", [str(environments.development(self._settings)), "-m", "tests.chaos", *options])

    def bench(self) -> None:
        """Measures the running stack against a baseline, and the operations against other libraries."""
        environments.install_baseline(self._settings)
        path = os.pathsep.join([str(self._settings.root / "layers" / "core"), str(self._settings.root)])
        for name, module in (
            ("service", "tests.bench"),
            ("pictures", "tests.bench.images"),
            ("film", "tests.bench.video"),
        ):
            self._step(f"bench: {name}", [str(environments.development(self._settings)), "-m", module], PYTHONPATH=path)

    @contextmanager
    def _stack(self) -> Iterator[None]:
        stack.down(self._settings)  # a run that was killed may have left one
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

    def _pytest(self, name: str, folder: str, *options: str) -> None:
        self._step(name, [str(environments.development(self._settings)), "-m", "pytest", folder, *options])

    def _step(self, name: str, argv: list[str], **more: str) -> None:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        environment = test_environment(self._settings) | more
        passed = subprocess.run(argv, cwd=self._settings.root, env=environment, check=False).returncode == 0
        self.summary.add(name, time.monotonic() - started, passed=passed)


def test_environment(settings: Settings) -> dict[str, str]:
    """What tests see: where the services are, and the first virtual host and Redis database that no function uses."""
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


def everything(checks: Checks) -> None:
    """`make test`."""
    checks.lint()
    checks.build()
    checks.unit()
    checks.with_stack()
    checks.chaos()


def prepare(settings: Settings) -> None:
    """Whatever this machine lacks, both environments included."""
    require_python()
    stack.install(settings, environments.install_development)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """The command line."""
    options: list[str] = []
    actions: dict[str, Callable[[Checks], None]] = {
        "all": everything,
        "lint": Checks.lint,
        "format": Checks.format,
        "unit": Checks.unit,
        "hostile": Checks.hostile,
        "bench": Checks.bench,
        "chaos": lambda checks: checks.chaos(*options),
    }
    parser = argparse.ArgumentParser(prog="python3 -m tools.check", description=__doc__)
    parser.add_argument("action", choices=actions, nargs="?", default="all")
    arguments, more = parser.parse_known_args()
    action = arguments.action
    if more and action != "chaos":
        parser.error(f"{action} takes no options")
    options += more
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = load() if action == "bench" else load(stack=TEST_STACK)
        prepare(settings)
        checks = Checks(settings)
        try:
            actions[action](checks)
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
