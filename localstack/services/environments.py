"""Python environments, made with Python alone.

`python3 -m localstack.services.environments` makes `.darkroom/tools`, which contains the emulator, the SAM command
line and the libraries of the stack's own services. The emulator runs functions on this environment. It therefore
contains no dependency of the project: a package that is missing from a layer would be found in it.
"""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

from localstack.errors import StackError, last_lines
from localstack.services import packages
from localstack.settings import Settings, load

_STAMP = ".darkroom-requirements"
_OLDEST = (3, 11)

#: Lines of pip's output shown when it fails.
_SHOWN_LINES = 15


def install_tools(settings: Settings) -> None:
    """Installs the environment of the local stack."""
    ensure(settings.tools.parent.parent, settings.root / "localstack" / "requirements.txt", "the emulator and SAM")


def main() -> int:
    """Installs the environment of the local stack; returns the exit code."""
    try:
        require_python()
        install_tools(load())
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def missing_packages(settings: Settings) -> list[str]:
    """System packages that are missing to make the stack's environment: Debian packages ensurepip separately."""
    complete = importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")
    return [] if complete or (settings.tools.parent.parent / _STAMP).exists() else [packages.VENV]


def require_python() -> None:
    """Raises StackError when this Python is too old."""
    if sys.version_info[:2] < _OLDEST:
        required = ".".join(map(str, _OLDEST))
        raise StackError(
            f"Python {required} or newer is needed, this is {sys.version.split()[0]} ({sys.executable}). "
            f"To use a newer one that is installed: make PYTHON=python{required} …"
        )


def ensure(directory: Path, requirements: Path, contents: str) -> None:
    """Makes the environment unless it already contains exactly the packages of the lock file, for this Python.

    `contents` describes it in messages. Raises StackError when it cannot be made.
    """
    stamp = directory / _STAMP
    wanted = _stamp_text(requirements)
    if stamp.exists() and stamp.read_text() == wanted and (directory / "bin" / "python").exists():
        return
    if directory.is_symlink():
        raise StackError(
            f"{directory} is a link to an environment for other versions. Remove the link to make another one."
        )
    print(f"Installing {contents} into {directory.relative_to(directory.parent.parent)} …", flush=True)
    require_python()
    _require_venv()
    stamp.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(directory)], "make a Python environment")
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    # The lock file is complete, so pip resolves nothing and checks the hash of every file.
    locked = ["--no-deps", "--require-hashes", "--prefer-binary"]
    _run([*pip, *locked, "--requirement", str(requirements)], f"install {contents}")
    stamp.write_text(wanted)  # last, so that an interrupted installation starts over


def _stamp_text(requirements: Path) -> str:
    if not requirements.exists():
        raise StackError(f"{requirements} is missing: this checkout is incomplete.")
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
    completed = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if completed.returncode:
        shown = last_lines(completed.stdout, _SHOWN_LINES)
        raise StackError(f"Could not {purpose} (is this machine offline?):\n{shown}")


if __name__ == "__main__":
    sys.exit(main())
