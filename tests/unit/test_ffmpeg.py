import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.av import ffmpeg
from darkroom.errors import (
    ConfigurationError,
    CorruptMediaError,
    DarkroomError,
    FileTooLargeError,
    InternalError,
    ProcessingTimedOutError,
    StorageUnavailableError,
    Superseded,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WorkerDiedError,
    WrongMediaKindError,
)
from darkroom.media.task import Task
from tests.ranges import served
from tests.sources import LocalSource, make_task

Clips = Callable[[str], Path]

#: Pictures without end, at the pace at which they would be shown.
ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10", "-f", "null", "-"]


def children() -> list[int]:
    """Processes whose parent is this one, the dead ones included that nobody has waited for."""
    own = str(os.getpid())
    return [pid for pid, stat in processes() if stat[1] == own]


def processes() -> Iterator[tuple[int, list[str]]]:
    """Every process's id and its state, parent, group, session ..."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue  # it has just ended
            yield int(folder.name), stat.rpartition(")")[2].split()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def task(binaries: Path, clips: Clips, tmp_path: Path) -> Task:
    return make_task(clips("film.mp4"), tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """However a run ends, no process and no open pipe of it remains."""
    before = children(), open_files()
    yield
    assert (children(), open_files()) == before


# Arguments ---------------------------------------------------------------------------------------------------------


def test_a_local_film_is_opened_as_nothing_else() -> None:
    assert ffmpeg.input_arguments("/a/source", "mov", max_pixels=1000) == [
        *("-f", "mov", "-format_whitelist", "mov", "-protocol_whitelist", "file"),
        *("-max_streams", "100", "-max_pixels", "1000", "-enable_drefs", "0", "-use_absolute_path", "0"),
        *("-i", "file:/a/source"),
    ]


def test_a_link_is_read_in_bounded_requests_by_the_protocols_it_needs() -> None:
    assert ffmpeg.input_arguments("http://127.0.0.1:4566/b/k?sig=1", "matroska", max_pixels=1000) == [
        *("-f", "matroska", "-format_whitelist", "matroska", "-protocol_whitelist", "http,tcp"),
        *("-max_streams", "100", "-max_pixels", "1000", "-rw_timeout", "15000000"),
        *("-multiple_requests", "1", "-request_size", "1048576", "-initial_request_size", "262144"),
        *("-reconnect", "1", "-reconnect_on_network_error", "1"),
        *("-reconnect_max_retries", "2", "-reconnect_delay_max", "1"),
        *("-i", "http://127.0.0.1:4566/b/k?sig=1"),
    ]


def test_a_secure_link_is_checked_against_known_authorities() -> None:
    arguments = ffmpeg.input_arguments("https://bucket.example/k", "mp3", max_pixels=1000)
    bundle = arguments[arguments.index("-ca_file") + 1]

    assert "BEGIN CERTIFICATE" in Path(bundle).read_text()
    assert arguments[:13] == [
        *("-f", "mp3", "-format_whitelist", "mp3", "-protocol_whitelist", "https,tls,tcp"),
        *("-max_streams", "100", "-max_pixels", "1000", "-tls_verify", "1", "-ca_file"),
    ]


@pytest.mark.parametrize(
    ("media_type", "error"), [("image/jpeg", WrongMediaKindError), ("text/plain", UnsupportedMediaTypeError)]
)
def test_only_films_and_sounds_have_a_demuxer(tmp_path: Path, media_type: str, error: type[DarkroomError]) -> None:
    with pytest.raises(error):
        ffmpeg.demuxer_of(LocalSource(tmp_path / "file", declared=media_type))


# Programs ----------------------------------------------------------------------------------------------------------


def test_the_version_is_that_of_the_layer(task: Task) -> None:
    assert ffmpeg.version(task).startswith("n8.")


def test_a_program_on_the_path_is_never_taken(binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(binaries))
    monkeypatch.setenv("DARKROOM_BIN_DIR", str(tmp_path))
    ffmpeg.binary.cache_clear()

    with pytest.raises(ConfigurationError, match=f"ffmpeg is in none of .*{tmp_path}"):
        ffmpeg.binary("ffmpeg")

    ffmpeg.binary.cache_clear()


# Runs --------------------------------------------------------------------------------------------------------------


def test_progress_grows_within_its_span_and_the_length_written_is_known(clips: Clips, tmp_path: Path) -> None:
    seen, speeds = list[float](), list[float]()
    slow = ["-re", "-readrate_initial_burst", "0", "-i", str(clips("variable.mp4")), "-f", "null", "-"]

    task = replace(make_task(clips("film.mp4"), tmp_path, progress=seen.append), report_speed=speeds.append)
    finished = ffmpeg.run("ffmpeg", slow, task, duration_s=4.0, span=(0.2, 0.6))

    assert seen == sorted(seen)
    assert 3 <= len(seen) <= 4, "once a second"
    assert seen[0] < 0.4 < seen[-1] <= 0.6
    assert speeds[-1] == pytest.approx(1.0, abs=0.3), "it was made to read at the film's own pace"
    assert finished.media_s == pytest.approx(4.0, abs=0.05)


def test_a_canceled_job_ends_its_run_at_once(clips: Clips, tmp_path: Path) -> None:
    def cancel(_fraction: float) -> None:
        raise Superseded("The job was canceled.")

    begun = time.monotonic()
    with pytest.raises(Superseded):
        ffmpeg.run("ffmpeg", ENDLESS, make_task(clips("film.mp4"), tmp_path, progress=cancel))

    assert time.monotonic() - begun < 2


def test_a_run_does_not_outlast_its_deadline(clips: Clips, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ProcessingTimedOutError):
        ffmpeg.run("ffmpeg", ENDLESS, make_task(clips("film.mp4"), tmp_path, deadline_s=0.4))

    assert 0.4 <= time.monotonic() - begun < 1.5


def test_a_run_is_confined(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    found: dict[str, str] = {}

    def look(_fraction: float) -> None:
        (child,) = children()
        folder = Path("/proc", str(child))
        found["status"] = (folder / "status").read_text()
        found["limits"] = (folder / "limits").read_text()
        found["environ"] = (folder / "environ").read_text()
        found["stdin"] = str((folder / "fd" / "0").readlink())
        found["folder"] = str((folder / "cwd").readlink())
        found["group"] = "own" if os.getpgid(child) == os.getsid(child) == child else "shared"
        raise Superseded("That is enough.")

    with pytest.raises(Superseded):
        ffmpeg.run("ffmpeg", ENDLESS, make_task(clips("film.mp4"), tmp_path, progress=look))

    limits = {line[:26].strip(): line[26:].split()[0] for line in found["limits"].splitlines()}
    assert "NoNewPrivs:\t1" in found["status"]
    assert limits["Max address space"] == str(ffmpeg.DEFAULT_MEMORY_BYTES)
    assert limits["Max file size"] == str(ffmpeg.MAX_OUTPUT_BYTES)
    assert limits["Max core file size"] == "0"
    assert limits["Max open files"] == "64"
    assert 100 < int(limits["Max cpu time"]) < 121 * (os.cpu_count() or 1)
    assert found["environ"] == ""
    assert found["stdin"] == "/dev/null"
    assert found["folder"] == str(tmp_path)
    assert found["group"] == "own"


def test_a_run_dies_with_its_parent(binaries: Path, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from tests.sources import make_task; from darkroom.av import ffmpeg\n"
        f"task = make_task(Path(), Path({str(tmp_path)!r}), progress=lambda _: print('running', flush=True))\n"
        f"ffmpeg.run('ffmpeg', {ENDLESS!r}, task)"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"running\n"
    (child,) = (pid for pid, stat in processes() if stat[1] == str(parent.pid))

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: child not in dict(processes()))


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 2
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_may_not_use_more_memory_than_its_function_has(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
    encoder = ["-f", "lavfi", "-i", "testsrc2", "-vf", "scale=3840:2160", "-c:v", "libx264", "-f", "null", "-"]
    demuxer = ["-f", "lavfi", "-i", "color=size=12000x12000", "-f", "null", "-"]  # ends with exit code 0

    for arguments in (encoder, demuxer):
        with pytest.raises(CorruptMediaError, match="more memory"):
            ffmpeg.run("ffmpeg", arguments, task)


def test_a_run_may_not_write_more_than_the_disk_has(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "MAX_OUTPUT_BYTES", 100_000)
    output = ["-f", "lavfi", "-i", "testsrc2", "-t", "5", "-f", "rawvideo", str(task.directory / "out")]

    with pytest.raises(FileTooLargeError):
        ffmpeg.run("ffmpeg", output, task)

    assert (task.directory / "out").stat().st_size <= 100_000


def test_endless_talk_is_cut_off(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_STDOUT_MAX_BYTES", 100_000)

    with pytest.raises(CorruptMediaError, match="length"):
        ffmpeg.run("ffmpeg", ["-f", "lavfi", "-i", "testsrc2", "-f", "rawvideo", "pipe:1"], task)


# Inputs that are not what they seem --------------------------------------------------------------------------------


@pytest.mark.parametrize("demuxer", ["mov", "matroska", "avi", "mpegts", "mp3", "wav"])
def test_a_playlist_is_not_followed_whatever_it_calls_itself(task: Task, clips: Clips, demuxer: str) -> None:
    playlist = task.directory / "film"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{clips('film.ts')}\n#EXT-X-ENDLIST\n")

    with pytest.raises(CorruptMediaError):
        ffmpeg.read("ffmpeg", str(playlist), demuxer, task, after=["-f", "null", "-"])


def test_a_playlist_would_be_followed_if_nothing_stopped_it(task: Task, clips: Clips) -> None:
    playlist = task.directory / "film.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{clips('film.ts')}\n#EXT-X-ENDLIST\n")

    ffmpeg.run("ffmpeg", ["-i", str(playlist), "-f", "null", "-"], task)  # so the test above tests something


def test_a_film_with_more_pixels_than_allowed_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    task = make_task(clips("film.mp4"), tmp_path, pixels=320 * 180 - 1)

    with pytest.raises(TooManyPixelsError):
        ffmpeg.read("ffmpeg", str(clips("film.mp4")), "mov", task, after=["-f", "null", "-"])


def test_a_file_named_like_a_protocol_is_a_file(task: Task, clips: Clips) -> None:
    name = task.directory / "concat:http:-i"
    name.write_bytes(clips("film.mp4").read_bytes())

    finished = ffmpeg.read("ffprobe", str(name), "mov", task, after=["-show_entries", "format=duration"])

    assert b"duration=2.0" in finished.stdout


# Links -------------------------------------------------------------------------------------------------------------


def test_a_connection_that_the_server_has_closed_is_made_anew(task: Task, clips: Clips) -> None:
    arguments = ["-show_entries", "stream=pix_fmt"]
    with served(clips("moov_at_end.mp4"), answers=1) as server:
        finished = ffmpeg.read("ffprobe", server.url, "mov", task, after=arguments)

    assert len(server.requests) > 2, "or else there was nothing to make anew"
    assert b"pix_fmt=yuv420p" in finished.stdout


@pytest.mark.parametrize(("name", "demuxer"), [("film.mp4", "mov"), ("film.mkv", "matroska")])
def test_a_transfer_that_breaks_off_is_the_stores_fault(task: Task, clips: Clips, name: str, demuxer: str) -> None:
    with served(clips(name), ends_at=150_000) as server, pytest.raises(StorageUnavailableError):
        ffmpeg.read("ffmpeg", server.url, demuxer, task, after=["-f", "null", "-"])


def test_a_film_that_is_cut_short_is_the_films_fault_wherever_it_lies(task: Task, clips: Clips) -> None:
    cut = clips("cut_behind_its_index.mp4")
    with served(cut) as server:
        for location in (server.url, str(cut)):
            with pytest.raises(CorruptMediaError, match="cut short"):
                ffmpeg.read("ffmpeg", location, "mov", task, after=["-f", "null", "-"])


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refused_link_is_the_stores_fault_and_its_signature_stays_secret(
    task: Task, clips: Clips, status: int
) -> None:
    with (
        served(clips("film.mp4"), status=status) as server,
        pytest.raises(StorageUnavailableError) as caught,
    ):
        ffmpeg.read("ffprobe", server.url, "mov", task)

    assert caught.value.retryable
    assert "Signature" not in caught.value.message + "".join(caught.value.__notes__)


def test_a_server_that_is_not_there_is_the_stores_fault(task: Task) -> None:
    with pytest.raises(StorageUnavailableError):
        ffmpeg.read("ffprobe", "http://127.0.0.1:1/film", "mov", task)


# Bad ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "complaint", "error"),
    [
        (183, "[mov,mp4 @ 0x1] moov atom not found", CorruptMediaError),
        (183, "Invalid data found when processing input", CorruptMediaError),
        (69, "", CorruptMediaError),
        (183, "[aac @ 0x1] Error parsing ADTS frame header!", CorruptMediaError),
        (-signal.SIGSEGV, "", CorruptMediaError),
        (-signal.SIGABRT, "", CorruptMediaError),
        (244, "[h264 @ 0x1] Out of memory", CorruptMediaError),
        (0, "[mov @ 0x1] stream 1, offset 0x9: partial file", CorruptMediaError),
        (1, "Picture size 9x9 exceeds specified max pixel count 1", TooManyPixelsError),
        (1, "[dec @ 0x1] Decoding requested, but no decoder found for: evc", UnsupportedMediaTypeError),
        (228, "Error writing trailer: No space left on device", FileTooLargeError),
        (-signal.SIGXFSZ, "", FileTooLargeError),
        (-signal.SIGKILL, "", WorkerDiedError),
        (1, "[https @ 0x1] HTTP error 403 Forbidden", StorageUnavailableError),
        (1, "[tls @ 0x1] The certificate is not correctly signed", StorageUnavailableError),
        (251, "[tcp @ 0x1] Connection to tcp://127.0.0.1 failed: Connection refused", StorageUnavailableError),
        (8, "Unrecognized option 'frobnicate'.", InternalError),
        (8, "[vost#0:0 @ 0x1] Unknown encoder 'libx266'", InternalError),
    ],
)
def test_a_bad_end_has_a_code_and_a_sentence(exit_code: int, complaint: str, error: type[DarkroomError]) -> None:
    failure = ffmpeg.failure(exit_code, complaint)

    assert type(failure) is error
    assert failure.message.endswith(".")
    assert complaint in failure.__notes__[0]


def test_arguments_of_ours_that_ffmpeg_refuses_are_our_fault(task: Task, clips: Clips) -> None:
    for arguments in (["-frobnicate"], ["-c:v", "libx266", "-f", "null", "-"], ["-vf", "nonsense", "-f", "null", "-"]):
        with pytest.raises(InternalError):
            ffmpeg.run("ffmpeg", ["-i", str(clips("film.mp4")), *arguments], task)
