"""FFmpeg and ffprobe as child processes that can do nothing but read one file and write below one directory.

The only place that starts them. Every run has its own session, no standard input, no environment, no way to
gain privileges, bounds on memory, CPU and file size and a wall clock, and it dies with its parent; however it ends,
nothing of it is left. The demuxer is pinned to the sniffed type, and only the protocols that the one input needs are
allowed.
"""

import ctypes
import os
import re
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from darkroom.config import layer_folders, memory_bytes
from darkroom.errors import (
    ConfigurationError,
    CorruptMediaError,
    DarkroomError,
    FileTooLargeError,
    InternalError,
    ResultTooLargeError,
    StorageUnavailableError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WorkerDiedError,
    WrongMediaKindError,
)
from darkroom.media.task import Source, Task
from darkroom.media.types import MEDIA_TYPES

Program = Literal["ffmpeg", "ffprobe"]

#: Seconds between two reports of progress, which also are the checks whether the job was canceled.
REPORT_PERIOD_S = 1.0

#: Largest block FFmpeg may allocate at once: a frame of 250 megapixels in 4:2:0 fits.
MAX_ALLOC_BYTES = 512 * 1024 * 1024

#: Largest file a run may write: the largest `/tmp` that Lambda has.
MAX_OUTPUT_BYTES = 10 * 1024 * 1024 * 1024

#: Address space of a run where the function's memory is not known.
DEFAULT_MEMORY_BYTES = 4 * 1024 * 1024 * 1024

#: Streams of a file that are looked at.
MAX_STREAMS = 100

#: Ranged reading: bytes of the first requests, while the header is sought, and of the later ones.
FIRST_REQUEST_BYTES = 256 * 1024
REQUEST_BYTES = 1024 * 1024

#: Microseconds that a read over the network may stand still.
NETWORK_TIMEOUT_US = 15_000_000

_MAX_OPEN_FILES = 64
_STDOUT_MAX_BYTES = 16 * 1024 * 1024
_STDERR_KEPT_BYTES = 8 * 1024
_LINE_MAX_BYTES = 256
_NOTE_CHARACTERS = 1000
_PIPE_READ_BYTES = 64 * 1024

#: `-y`: FFmpeg takes a file that is there already for a reason to end well.
_GLOBAL_ARGUMENTS: dict[Program, tuple[str, ...]] = {
    "ffmpeg": ("-nostdin", "-y", "-hide_banner", "-v", "error", "-max_alloc", str(MAX_ALLOC_BYTES)),
    "ffprobe": ("-hide_banner", "-v", "error", "-max_alloc", str(MAX_ALLOC_BYTES)),
}


# Where the programs are --------------------------------------------------------------------------------------------


@lru_cache
def binary(program: Program) -> Path:
    """The program's file in a layer; never one that happens to be on PATH. Raises ConfigurationError."""
    folders = layer_folders("bin")
    for path in (folder / program for folder in folders):
        if path.is_file():
            if not os.access(path, os.X_OK):
                path.chmod(0o755)  # the local emulator unpacks layers without their modes; Lambda keeps them
            return path
    raise ConfigurationError(f"{program} is in none of {', '.join(map(str, folders))}: the ffmpeg layer is missing.")


def version(task: Task) -> str:
    """FFmpeg's version, such as `n8.1.2`."""
    return run("ffmpeg", ["-version"], task).stdout.decode().split()[2]


# What a run reads and writes ---------------------------------------------------------------------------------------


def demuxer_of(source: Source) -> str:
    """The demuxer for a source by its sniffed type. Raises UnsupportedMediaTypeError, or WrongMediaKindError."""
    media_type = MEDIA_TYPES.get(source.media_type)
    if media_type is None:
        raise UnsupportedMediaTypeError("The file is of no video or audio type that Darkroom reads.")
    if media_type.demuxer is None:
        raise WrongMediaKindError(f"The file is {media_type.name}; this operation works on video and sound.")
    return media_type.demuxer


def is_link(location: str) -> bool:
    """Whether a location is a presigned link; else it is a local path."""
    return location.startswith(("https://", "http://"))


def input_arguments(location: str, demuxer: str, *, max_pixels: int) -> list[str]:
    """Arguments that open `location`, a presigned link or a local path, as exactly one kind of file.

    A link is read in requests of bounded size on one connection, which costs the fewest bytes.
    """
    scheme = location.partition("://")[0] if is_link(location) else "file"
    arguments = ["-f", demuxer, "-format_whitelist", demuxer, "-protocol_whitelist", _PROTOCOLS[scheme]]
    arguments += ["-max_streams", str(MAX_STREAMS), "-max_pixels", str(max_pixels)]
    if demuxer == "mov":
        arguments += ["-enable_drefs", "0", "-use_absolute_path", "0"]
    if scheme == "file":
        return [*arguments, "-i", file_url(location)]
    if scheme == "https":
        arguments += ["-tls_verify", "1", "-ca_file", _certificates()]
    return [*arguments, *_LINK_ARGUMENTS, "-i", location]


#: FFmpeg does not notice that a server has closed the kept connection; it has to be told to connect again.
_LINK_ARGUMENTS = (
    *("-rw_timeout", str(NETWORK_TIMEOUT_US), "-multiple_requests", "1"),
    *("-request_size", str(REQUEST_BYTES), "-initial_request_size", str(FIRST_REQUEST_BYTES)),
    *("-reconnect", "1", "-reconnect_on_network_error", "1"),
    *("-reconnect_max_retries", "2", "-reconnect_delay_max", "1"),
)
_PROTOCOLS = {"file": "file", "http": "http,tcp", "https": "https,tls,tcp"}


def file_url(path: str | Path) -> str:
    """A local path as FFmpeg takes it, so that nothing in the name is read as a protocol or an option."""
    return f"file:{path}"


def _certificates() -> str:
    """The authorities that the AWS client trusts too."""
    from botocore.httpsession import get_cert_path

    return str(get_cert_path(True))


# The run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """A run that exited with 0: its standard output, and the end of what it complained about.

    `media_s` is the length of what FFmpeg wrote, where its progress was watched.
    """

    stdout: bytes
    stderr: str
    media_s: float | None = None


def read(
    program: Program,
    location: str,
    demuxer: str,
    task: Task,
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    span: tuple[float, float] = (0.0, 0.0),
) -> Finished:
    """Runs a program on one input, with arguments before and after it. Otherwise as `run`.

    FFmpeg ends well when its input ends before it should; that is an error here, of the store or of the file.
    """
    reading = input_arguments(location, demuxer, max_pixels=task.limits.pixels)
    finished = run(program, [*before, *reading, *after], task, span=span)
    if re.search(_BROKEN_OFF, finished.stderr):
        raise failure(0, finished.stderr)
    return finished


def run(
    program: Program,
    arguments: Sequence[str],
    task: Task,
    *,
    duration_s: float | None = None,
    span: tuple[float, float] = (0.0, 0.0),
) -> Finished:
    """Runs a program to its end within the task's deadline, in the task's directory.

    Reports progress within `span`, the part of the whole work that this run is: the start of it all the time, or, when
    `span` is not empty, FFmpeg's own progress, measured against `duration_s` of media.
    Raises what `failure` makes of a bad end, ProcessingTimedOutError, or Superseded when the job was canceled.
    """
    watched = program == "ffmpeg" and span[0] < span[1]
    progress = ("-progress", "pipe:1", "-stats_period", str(REPORT_PERIOD_S / 2)) if watched else ()
    argv = [str(binary(program)), *_GLOBAL_ARGUMENTS[program], *progress, *arguments]
    sink = _ProgressReader(duration_s, span) if watched else _Collector(span[0])
    complaints = _Tail()
    with _child(argv, task) as child:
        exit_code = _follow(child, sink, complaints, task)
    if exit_code != 0 or re.search(_GIVEN_UP, complaints.text):
        raise failure(exit_code, complaints.text)
    return Finished(stdout=sink.content, stderr=complaints.text, media_s=sink.media_s)


class _Sink(Protocol):
    """Takes standard output as it comes. `fraction` is how far the whole work is, `speed` media seconds per second."""

    fraction: float
    media_s: float | None
    speed: float | None

    @property
    def content(self) -> bytes:
        """What was kept of it."""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""


class _Collector:
    """Keeps all output, up to a bound."""

    media_s: float | None = None
    speed: float | None = None

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction
        self._content = bytearray()

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def feed(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > _STDOUT_MAX_BYTES:
            raise CorruptMediaError("The file describes itself at a length that no real file needs.")


class _ProgressReader:
    """Reads FFmpeg's `-progress` lines; the fraction only ever grows."""

    content = b""
    media_s: float | None
    speed: float | None
    _TIME = re.compile(rb"out_time_us=(\d+)\n")
    _SPEED = re.compile(rb"speed= *(\d+(?:\.\d+)?(?:e[+-]?\d+)?)x\n")

    def __init__(self, duration_s: float | None, span: tuple[float, float]) -> None:
        self.fraction, self.media_s, self.speed = span[0], None, None
        self._start, self._end = span
        self._duration_s = duration_s
        self._rest = b""

    def feed(self, data: bytes) -> None:
        lines = self._rest + data
        for match in self._TIME.finditer(lines):
            self.media_s = int(match[1]) / 1_000_000
            done = min(self.media_s / self._duration_s, 1.0) if self._duration_s else 0.0
            self.fraction = max(self.fraction, self._start + done * (self._end - self._start))
        for match in self._SPEED.finditer(lines):
            self.speed = float(match[1])
        self._rest = lines[lines.rfind(b"\n") + 1 :][-_LINE_MAX_BYTES:]


class _Tail:
    """Keeps the end of standard error."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> None:
        self._kept = (self._kept + data)[-_STDERR_KEPT_BYTES:]

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")


def _follow(child: subprocess.Popen[bytes], sink: _Sink, complaints: _Tail, task: Task) -> int:
    """Feeds both outputs until they close and the child has exited; returns its exit code."""
    next_report = time.monotonic() + REPORT_PERIOD_S

    def pause_s() -> float:
        """Reports when it is time to; returns for how long to wait at most."""
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT_PERIOD_S
            if sink.speed is not None:
                task.report_speed(sink.speed)
            task.report_progress(sink.fraction)
        return max(min(next_report - time.monotonic(), task.remaining_s()), 0.0)

    with selectors.DefaultSelector() as selector:
        for pipe, feed in ((child.stdout, sink.feed), (child.stderr, complaints.feed)):
            selector.register(pipe, selectors.EVENT_READ, feed)  # type: ignore[arg-type]  # both are pipes
        while selector.get_map():
            for key, _ in selector.select(pause_s()):
                data = os.read(key.fd, _PIPE_READ_BYTES)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
    while True:
        try:
            return child.wait(pause_s())
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _child(argv: Sequence[str], task: Task) -> Iterator[subprocess.Popen[bytes]]:
    """A confined child process, which is gone when the block ends, however it ends."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=task.directory,
        env={},
        start_new_session=True,
        preexec_fn=_confinement(task.remaining_s()),
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdout, child.stderr):
            pipe.close()  # type: ignore[union-attr]  # both are pipes


_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


@lru_cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _confinement(remaining_s: float) -> Callable[[], None]:
    """What the child does to itself between fork and exec. Everything is looked up beforehand: only system calls are
    safe there, as another thread may have held any lock at the moment of the fork."""
    prctl = _libc().prctl
    parent = os.getpid()
    cpu_s = int(remaining_s * len(os.sched_getaffinity(0))) + 1
    limits = (
        (resource.RLIMIT_AS, memory_bytes() or DEFAULT_MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, MAX_OUTPUT_BYTES),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    )

    def confine() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for limit, value in limits:
            resource.setrlimit(limit, (value, value))
        if os.getppid() != parent:  # it died before it could be watched
            os._exit(1)

    return confine


# What a bad end means ----------------------------------------------------------------------------------------------

_BY_SIGNAL: dict[int, DarkroomError] = {
    signal.SIGXFSZ: FileTooLargeError("The result would be larger than one run can write."),
    signal.SIGKILL: WorkerDiedError("FFmpeg was killed, most likely because the function ran out of memory."),
}

#: What FFmpeg says when it stops reading in the middle, and when the input stops, which both end with exit code 0.
_GIVEN_UP = r"Error during demuxing|Out of memory|malloc of size \d+ failed"
_BROKEN_OFF = r"partial file|Read error"

#: (what FFmpeg says, the error, its sentence); the first that fits counts.
_BY_COMPLAINT: tuple[tuple[str, type[DarkroomError], str], ...] = (
    (
        r"^\[(https?|tls|tcp) @|HTTP error \d|Server returned|Connection (refused|reset)|Connection timed out",
        StorageUnavailableError,
        "The object store broke off while the file was read.",
    ),
    (r"exceeds specified max pixel count", TooManyPixelsError, "The picture has more pixels than allowed."),
    (
        r"No space left on device|File too large",
        FileTooLargeError,
        "The result would be larger than one run can write.",
    ),
    (
        r"Unrecognized option|Option not found|Unknown encoder|No such filter|Error parsing (global )?options",
        InternalError,
        "FFmpeg was started with arguments that it does not take.",
    ),
    (
        r"requested bitrate is too low",
        ResultTooLargeError,
        "The pictures do not go into so few bytes. Lower the width, the height or the frame rate.",
    ),
    (r"moov atom not found", CorruptMediaError, "The file is damaged or cut short: its index is missing."),
    (
        r"Out of memory|Cannot allocate memory|malloc of size \d+ failed",
        CorruptMediaError,
        "The file needs more memory than one run has.",
    ),
    (_BROKEN_OFF, CorruptMediaError, "The file is damaged or cut short: it ends before it should."),
    (
        r"no decoder found|Decoder .{0,40}not found|[Uu]nknown codec|Unsupported codec",
        UnsupportedMediaTypeError,
        "The file uses a codec that cannot be decoded here.",
    ),
)


def failure(exit_code: int, complaints: str) -> DarkroomError:
    """The error for a run that exited with `exit_code` (negative: the signal) and wrote `complaints`.

    The sentence is ours: FFmpeg's own words may hold a signed link. They go along as a note, for the log.
    """
    error = _BY_SIGNAL.get(-exit_code) if exit_code < 0 else _by_complaint(complaints)
    if error is None:
        error = CorruptMediaError("The file is damaged or cut short: it could not be decoded.")
    error = type(error)(error.message)  # a fresh one each time: it collects a traceback
    last_words = _without_links(complaints)[-_NOTE_CHARACTERS:]
    error.add_note(f"FFmpeg's exit code {exit_code}: {last_words}")
    return error


def _by_complaint(complaints: str) -> DarkroomError | None:
    for pattern, kind, sentence in _BY_COMPLAINT:
        if re.search(pattern, complaints, re.MULTILINE):
            return kind(sentence)
    return None


def _without_links(text: str) -> str:
    return re.sub(r"https?://\S+", "<link>", text)
