"""Python environments for development. Each has its own lock file, because the versions that they need conflict.

`python3 -m tools.environments` installs what `make deploy` and `make undeploy` need.
"""

import sys
from pathlib import Path

from localstack.errors import StackError
from localstack.services.environments import ensure, install_tools
from localstack.settings import Settings, load


def development(settings: Settings) -> Path:
    """The Python that runs tests and checkers."""
    return settings.home / "venv" / "bin" / "python"


def baseline(settings: Settings) -> Path:
    """The Python that runs the Celery service with which benchmarks compare Darkroom."""
    return settings.home / "baseline" / "bin" / "python"


def linters(settings: Settings) -> Path:
    """The Python with the checkers of template.yaml."""
    return settings.home / "linters" / "bin" / "python"


def install_development(settings: Settings) -> None:
    """Installs the project's dependencies, pytest and the checkers."""
    ensure(development(settings).parent.parent, settings.root / "requirements-dev.txt", "the development environment")


def install_linters(settings: Settings) -> None:
    """Installs the checkers of template.yaml."""
    ensure(linters(settings).parent.parent, settings.root / "requirements-lint.txt", "the checkers of the template")


def install_baseline(settings: Settings) -> None:
    """Installs Celery and its dependencies."""
    requirements = settings.root / "tests" / "bench" / "requirements.txt"
    ensure(baseline(settings).parent.parent, requirements, "the baseline of the benchmarks")


def main() -> int:
    """Installs SAM and the development environment; returns the exit code."""
    try:
        install_tools(load())
        install_development(load())
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
