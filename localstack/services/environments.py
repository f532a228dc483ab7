"""Two Python environments, made with nothing but Python itself: `python3 -m localstack.services.environments`.

`.darkroom/tools` holds the emulator, the SAM command line and what the stack's own services import; `.darkroom/venv`
holds the project's dependencies and checkers. They stay apart because they disagree on versions, and because emulated
functions run on the first: what they miss in a layer must not be found there by accident.
"""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

from localstack.failure import StackError
from localstack.services import packages
from localstack.settings import Settings, load

_STAMP = ".darkroom-requirements"
_OLDEST = (3, 11)

#: Lines of pip's output that a failure shows.
_SHOWN = 15


def tools(settings: Settings) -> None:
    """The environment of the local stack."""
    _ensure(settings.tools.parent.parent, settings.root / "localstack" / "requirements.txt", "the emulator and SAM")


def development(settings: Settings) -> None:
    """The environment of tests and checkers."""
    _ensure(settings.development.parent.parent, settings.root / "requirements-dev.txt", "the development environment")


def main() -> int:
    """Makes both environments."""
    try:
        require_python()
        tools(load())
        development(load())
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def rival(settings: Settings) -> None:
    """The environment of what benchmarks compare Darkroom with."""
    requirements = settings.root / "tests" / "bench" / "requirements.txt"
    _ensure(settings.rival.parent.parent, requirements, "what Darkroom is compared with")


def missing_packages(settings: Settings) -> list[str]:
    """What this Python lacks to make the tools' environment: on Debian, ensurepip is a package of its own."""
    complete = importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")
    return [] if complete or (settings.tools.parent.parent / _STAMP).exists() else [packages.VENV]


def require_python() -> None:
    """Raises StackError when this Python is too old."""
    if sys.version_info[:2] < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        raise StackError(
            f"Python {wanted} or newer is needed, this is {sys.version.split()[0]} ({sys.executable}). "
            f"With a newer one beside it: make PYTHON=python{wanted} …"
        )


def _ensure(directory: Path, requirements: Path, meaning: str) -> None:
    """Makes the environment unless it holds exactly what the lock file says, for this very Python."""
    stamp = directory / _STAMP
    wanted = _stamp_text(requirements)
    if stamp.exists() and stamp.read_text() == wanted and (directory / "bin" / "python").exists():
        return
    print(f"Installing {meaning} into {directory.relative_to(directory.parent.parent)} …", flush=True)
    require_python()
    _require_venv()
    stamp.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(directory)], "make a Python environment")
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    # The lock is complete, so there is nothing to resolve, and every file is checked against it.
    locked = ["--no-deps", "--require-hashes", "--prefer-binary"]
    _run([*pip, *locked, "--requirement", str(requirements)], f"install {meaning}")
    stamp.write_text(wanted)  # last, so that an interrupted run starts over


def _stamp_text(requirements: Path) -> str:
    if not requirements.exists():
        raise StackError(f"{requirements} is missing: this checkout is not complete.")
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    return f"{digest} {sys.version.split()[0]} {Path(sys.base_prefix)}\n"


def _require_venv() -> None:
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return
    packages.install([packages.VENV])
    importlib.invalidate_caches()
    if not importlib.util.find_spec("ensurepip"):
        raise StackError(
            f"The Python at {sys.executable} lacks its venv and ensurepip modules. Install them, or use a "
            "complete Python: make PYTHON=/path/to/python3 …"
        )


def _run(argv: list[str], purpose: str) -> None:
    answer = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if answer.returncode:
        shown = "\n".join(f"    {line}" for line in answer.stdout.splitlines()[-_SHOWN:])
        raise StackError(f"Could not {purpose} (is this machine offline?):\n{shown}")


if __name__ == "__main__":
    sys.exit(main())
