"""Runs of FFmpeg: progress, cancellation, deadlines, and the limits of the child process."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.av import ffmpeg, output, process
from darkroom.errors import (
    ConfigurationError,
    CorruptMediaError,
    FileTooLargeError,
    ProcessingTimedOutError,
    Superseded,
)
from darkroom.media.task import Task
from localstack.services.processes import table
from tests.support.leftovers import children
from tests.support.sources import make_task
from tests.support.videos import Clips
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_leftover_processes")

#: Frames without end, at the rate at which they would be shown.
ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10", "-f", "null", "-"]


@pytest.fixture
def task(binaries: Path, clips: Clips, tmp_path: Path) -> Task:
    return make_task(clips("video.mp4"), tmp_path)


def test_ffmpeg_is_the_version_of_the_layer(task: Task) -> None:
    version = ffmpeg.run("ffmpeg", ["-version"], task).stdout.decode().split()[2]

    assert version.startswith("n8.")


def test_program_on_the_path_is_never_used(binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(binaries))
    monkeypatch.setenv("DARKROOM_BIN_DIR", str(tmp_path))
    ffmpeg.binary.cache_clear()

    with pytest.raises(ConfigurationError, match=f"ffmpeg was not found in .*{tmp_path}"):
        ffmpeg.binary("ffmpeg")

    ffmpeg.binary.cache_clear()


def test_progress_grows_within_its_span_and_the_written_duration_is_known(clips: Clips, tmp_path: Path) -> None:
    reported, speeds = list[float](), list[float]()
    slow = ["-re", "-readrate_initial_burst", "0", "-i", str(clips("variable.mp4")), "-f", "null", "-"]

    task = replace(make_task(clips("video.mp4"), tmp_path, progress=reported.append), report_speed=speeds.append)
    result = ffmpeg.run("ffmpeg", slow, task, duration_s=4.0, span=(0.2, 0.6))

    assert reported == sorted(reported)
    assert 3 <= len(reported) <= 4, "one report per second"
    assert reported[0] < 0.4 < reported[-1] <= 0.6
    assert speeds[-1] == pytest.approx(1.0, abs=0.3), "it reads at the video's own frame rate"
    assert result.media_s == pytest.approx(4.0, abs=0.05)


def test_canceled_job_ends_its_run_at_once(clips: Clips, tmp_path: Path) -> None:
    def cancel(_fraction: float) -> None:
        raise Superseded("The job was canceled.")

    started = time.monotonic()
    with pytest.raises(Superseded):
        ffmpeg.run("ffmpeg", ENDLESS, make_task(clips("video.mp4"), tmp_path, progress=cancel))

    assert time.monotonic() - started < 2


def test_run_ends_at_its_deadline(clips: Clips, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ProcessingTimedOutError):
        ffmpeg.run("ffmpeg", ENDLESS, make_task(clips("video.mp4"), tmp_path, deadline_s=0.4))

    assert 0.4 <= time.monotonic() - started < 1.5


def test_run_is_confined(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    child_facts: dict[str, str] = {}

    def inspect(_fraction: float) -> None:
        (child,) = children()
        folder = Path("/proc", str(child))
        child_facts["status"] = (folder / "status").read_text()
        child_facts["limits"] = (folder / "limits").read_text()
        child_facts["environ"] = (folder / "environ").read_text()
        child_facts["stdin"] = str((folder / "fd" / "0").readlink())
        child_facts["folder"] = str((folder / "cwd").readlink())
        child_facts["group"] = "own" if os.getpgid(child) == os.getsid(child) == child else "shared"
        raise Superseded("The inspection is done.")

    with pytest.raises(Superseded):
        ffmpeg.run("ffmpeg", ENDLESS, make_task(clips("video.mp4"), tmp_path, progress=inspect))

    limits = {line[:26].strip(): line[26:].split()[0] for line in child_facts["limits"].splitlines()}
    assert "NoNewPrivs:\t1" in child_facts["status"]
    assert limits["Max address space"] == str(process.DEFAULT_MEMORY_BYTES)
    assert limits["Max file size"] == str(process.MAX_OUTPUT_BYTES)
    assert limits["Max core file size"] == "0"
    assert limits["Max open files"] == "64"
    assert 100 < int(limits["Max cpu time"]) < 121 * (os.cpu_count() or 1)
    assert child_facts["environ"] == ""
    assert child_facts["stdin"] == "/dev/null"
    assert child_facts["folder"] == str(tmp_path)
    assert child_facts["group"] == "own"


def test_run_ends_when_its_parent_exits(binaries: Path, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from tests.support.sources import make_task; from darkroom.av import ffmpeg\n"
        f"task = make_task(Path(), Path({str(tmp_path)!r}), progress=lambda _: print('running', flush=True))\n"
        f"ffmpeg.run('ffmpeg', {ENDLESS!r}, task)"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"running\n"
    (child,) = children(parent.pid)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: child not in table())


def test_run_cannot_use_more_memory_than_its_function_has(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
    encoder = ["-f", "lavfi", "-i", "testsrc2", "-vf", "scale=3840:2160", "-c:v", "libx264", "-f", "null", "-"]
    demuxer = ["-f", "lavfi", "-i", "color=size=12000x12000", "-f", "null", "-"]  # ends with exit code 0

    for arguments in (encoder, demuxer):
        with pytest.raises(CorruptMediaError, match="more memory"):
            ffmpeg.run("ffmpeg", arguments, task)


def test_run_cannot_write_more_than_the_disk_holds(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_OUTPUT_BYTES", 100_000)
    writing = ["-f", "lavfi", "-i", "testsrc2", "-t", "5", "-f", "rawvideo", str(task.directory / "out")]

    with pytest.raises(FileTooLargeError):
        ffmpeg.run("ffmpeg", writing, task)

    assert (task.directory / "out").stat().st_size <= 100_000


def test_standard_output_is_bounded(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_STDOUT_MAX_BYTES", 100_000)

    with pytest.raises(CorruptMediaError, match="too long"):
        ffmpeg.run("ffmpeg", ["-f", "lavfi", "-i", "testsrc2", "-f", "rawvideo", "pipe:1"], task)
