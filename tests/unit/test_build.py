"""The build of artifacts for a Python that is not the one that builds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """A Makefile that compiles one module and reports as that of the core layer does."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("VALUE = 1\n")
    path = tmp_path / "Makefile"
    path.write_text(
        f"include {ROOT}/layers/artifact.mk\nbuild:\n\t$(call finish,{tmp_path}/package)\n\t$(REPORT_COMPILER)\n"
    )
    return path


def make(makefile: Path, runtime: str, home: Path) -> str:
    """Builds for a runtime. Returns the output, which SAM shows."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DARKROOM_BUILD_PYTHON": sys.executable}
    done = subprocess.run(
        ["make", "--makefile", str(makefile), "build"],  # noqa: S607 - as SAM starts it
        env=environment | {"DARKROOM_BUILD_RUNTIME": runtime},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_build_without_the_runtime_says_that_there_is_no_bytecode(makefile: Path, tmp_path: Path) -> None:
    output = make(makefile, "python3.99", tmp_path)

    assert output.startswith("WARNING: python3.99 is not installed")
    assert "docs/deploying.md" in output
    assert not list(tmp_path.rglob("*.pyc"))


def test_build_for_the_running_python_has_bytecode_and_says_nothing(makefile: Path, tmp_path: Path) -> None:
    output = make(makefile, f"python{sys.version_info[0]}.{sys.version_info[1]}", tmp_path)

    assert output == ""
    assert list(tmp_path.rglob("*.pyc"))


def test_python_of_pyenv_is_found(makefile: Path, tmp_path: Path) -> None:
    program = tmp_path / ".pyenv" / "versions" / "3.99.1" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exec {sys.executable} "$@"\n')
    program.chmod(0o755)

    output = make(makefile, "python3.99", tmp_path)

    assert output == ""
    assert list(tmp_path.rglob("*.pyc"))
