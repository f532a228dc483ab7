"""A confined child process: started with limits, read until it exits, and gone when its block ends.

The child has its own session, no standard input, an empty environment, no way to gain privileges, and limits on
memory, CPU time, file size and open files. The kernel kills it when its parent exits.
"""

import ctypes
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from darkroom.av.output import StderrTail, StdoutReader
from darkroom.config import memory_bytes
from darkroom.errors import ProcessingTimedOutError, StorageUnavailableError
from darkroom.media.task import Task

#: Seconds between two progress reports. Each report also checks whether the job was canceled.
REPORT_PERIOD_S = 1.0

#: Largest file a run may write: the size of the largest `/tmp` that Lambda offers.
MAX_OUTPUT_BYTES = 10 * 1024 * 1024 * 1024

#: Address space of a run outside Lambda, where no function size limits it.
DEFAULT_MEMORY_BYTES = 4 * 1024 * 1024 * 1024

#: Open files of a run. A run needs its input, its outputs and one connection.
_MAX_OPEN_FILES = 64

#: Most CPU time in seconds that a child uses while it waits for its input, for polls of its socket and new connections.
_WAITING_CPU_S = 0.02

#: Seconds without CPU time after which a child counts as waiting at the deadline.
_WAITS_AFTER_S = 2.5

#: Bytes read from a pipe at once: the capacity of a pipe on Linux.
_PIPE_READ_BYTES = 64 * 1024

#: Options of prctl(2), from <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


@contextmanager
def start_confined(argv: Sequence[str], task: Task) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a confined child in the task's directory; kills it when the block ends before the child does."""
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


class InputWatch:
    """Notices when a child that reads over the network waits for its input: it then uses no CPU time."""

    def __init__(self, child: subprocess.Popen[bytes], limit_s: float) -> None:
        self._stat = Path(f"/proc/{child.pid}/stat")
        self._limit_s = limit_s
        self._used_s, self._since = 0.0, time.monotonic()

    def check(self) -> None:
        """Raises StorageUnavailableError when the child has waited for longer than the limit. Call it every second."""
        used_s = self._cpu_time_s()
        if used_s - self._used_s > _WAITING_CPU_S:
            self._used_s, self._since = used_s, time.monotonic()
        if self.waited_s > self._limit_s:
            raise StorageUnavailableError(f"No data of the file has arrived for {self._limit_s:g} seconds.")

    @property
    def waited_s(self) -> float:
        """For how long the child has waited."""
        return time.monotonic() - self._since

    def _cpu_time_s(self) -> float:
        # After the name of the program, which ends with ")", utime and stime are the 12th and 13th field (proc(5)).
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_exit(
    child: subprocess.Popen[bytes],
    stdout: StdoutReader,
    stderr: StderrTail,
    task: Task,
    *,
    input_watch: InputWatch | None = None,
) -> int:
    """Passes the child's output to its readers until the child exits; returns the exit code.

    Reports progress and speed to the task once per `REPORT_PERIOD_S`. Raises ProcessingTimedOutError at the deadline,
    or StorageUnavailableError if the child is waiting for its input then, and Superseded when the job was canceled.
    """
    next_report = time.monotonic() + REPORT_PERIOD_S

    def remaining_s() -> float:
        try:
            return task.remaining_s()
        except ProcessingTimedOutError as error:
            if input_watch is not None and input_watch.waited_s > _WAITS_AFTER_S:
                raise StorageUnavailableError("The deadline passed while data of the file was awaited.") from error
            raise

    def report_and_get_timeout_s() -> float:
        """Reports progress when it is due. Returns the seconds until the next report or the deadline."""
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT_PERIOD_S
            if input_watch is not None:
                input_watch.check()
            if stdout.speed is not None:
                task.report_speed(stdout.speed)
            task.report_progress(stdout.fraction)
        return max(min(next_report - time.monotonic(), remaining_s()), 0.0)

    with selectors.DefaultSelector() as selector:
        for pipe, feed in ((child.stdout, stdout.feed), (child.stderr, stderr.feed)):
            selector.register(pipe, selectors.EVENT_READ, feed)  # type: ignore[arg-type]  # both are pipes
        while selector.get_map():
            for key, _ in selector.select(report_and_get_timeout_s()):
                data = os.read(key.fd, _PIPE_READ_BYTES)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
    while True:
        try:
            return child.wait(report_and_get_timeout_s())
        except subprocess.TimeoutExpired:
            continue


@lru_cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _confinement(remaining_s: float) -> Callable[[], None]:
    """Returns the function that the child runs between fork and exec.

    Everything is looked up beforehand: only system calls are safe there, because another thread may have held any lock
    at the moment of the fork.
    """
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
        if os.getppid() != parent:  # the parent exited before PDEATHSIG was set
            os._exit(1)

    return confine
