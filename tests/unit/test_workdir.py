import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from darkroom.jobs.workdir import workplace

RUN = "from darkroom.jobs.workdir import workplace\nwith workplace() as folder:\n print(folder, flush=True)\n input()"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The temporary directory, which several runs share."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other_run():
    """A run under way in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2] / "layers" / "core",
    ) as child:
        folder = Path(child.stdout.readline().strip())
        (folder / "source").write_bytes(b"film")
        yield child, folder
        child.kill()


def test_a_directory_is_gone_when_its_run_is_over(root):
    with workplace() as folder:
        (folder / "source").write_bytes(b"film")
        assert folder.parent == root

    assert list(root.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next(other_run):
    child, left = other_run
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert left.exists()

    with workplace():
        assert not left.exists()


def test_a_run_under_way_keeps_its_directory(other_run):
    with workplace():
        assert (other_run[1] / "source").read_bytes() == b"film"


def test_what_belongs_to_others_stays(root):
    (root / "darkroom-notes").mkdir()

    with workplace():
        assert (root / "darkroom-notes").is_dir()
