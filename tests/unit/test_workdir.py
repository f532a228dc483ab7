"""Each run has a temporary directory of its own, and removes those of crashed runs."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.jobs.workdir import run_directory

RUN = """
from darkroom.jobs.workdir import run_directory
with run_directory() as directory:
    print(directory, flush=True)
    input()
"""

OtherRun = tuple[subprocess.Popen[str], Path]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory that all runs share."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other_run() -> Iterator[OtherRun]:
    """A run in flight in another process, and its directory."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2] / "layers" / "core",
    ) as child:
        assert child.stdout is not None
        directory = Path(child.stdout.readline().strip())
        (directory / "source").write_bytes(b"video")
        yield child, directory
        child.kill()


def test_directory_is_removed_when_its_run_is_over(root: Path) -> None:
    with run_directory() as directory:
        (directory / "source").write_bytes(b"video")
        assert directory.parent == root

    assert list(root.iterdir()) == []


def test_directory_of_a_killed_run_is_removed_by_the_next_run(other_run: OtherRun) -> None:
    child, directory = other_run
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert directory.exists()

    with run_directory():
        assert not directory.exists()


def test_directory_of_a_run_in_flight_is_kept(other_run: OtherRun) -> None:
    with run_directory():
        assert (other_run[1] / "source").read_bytes() == b"video"


def test_directories_of_other_programs_are_kept(root: Path) -> None:
    (root / "darkroom-notes").mkdir()

    with run_directory():
        assert (root / "darkroom-notes").is_dir()
