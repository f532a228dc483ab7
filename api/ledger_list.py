"""The jobs of a tenant in the ledger, newest first, from listings of S3, which go forward only.

A listing says of each job whether it has ended, and it is always complete: Redis may have lost jobs, or not have been
told of them. It is read in windows of time, which the ids begin with. A window that holds too many jobs is narrowed,
and after one that holds few the next is wider, so that few requests suffice whether jobs are rare or frequent.
"""

import time
from dataclasses import dataclass
from itertools import islice

from darkroom import ids
from darkroom.contracts.jobs import JobRef
from darkroom.jobs.ledger import JOB_FILE, RESULT_FILE, prefix_of
from darkroom.services import s3
from darkroom.services.redis import keys

#: Objects that are listed in one window: one page of S3. The last shows only that there are more. A job has up to two.
WINDOW_OBJECTS = 1000

#: Windows that one request reads.
MAX_WINDOWS = 16

#: Milliseconds of the first window when nothing is known about the ledger.
_FIRST_SPAN_MS = 5 * 60 * 1000

#: Jobs that the next window should hold.
_WANTED_JOBS = WINDOW_OBJECTS // 4


@dataclass(frozen=True)
class LedgerEntry:
    """A job in the ledger, and whether it has ended."""

    job: JobRef
    ended: bool


class LedgerScan:
    """Reads a tenant's jobs backwards from the job `before`, which is not included, to the end of the retention."""

    def __init__(self, tenant: str, before: str | None) -> None:
        self._tenant = tenant
        now_ms = int(time.time() * 1000)
        self._oldest_ms = now_ms - keys.retention_s() * 1000
        self._end_ms = now_ms if before is None else ids.created_ms(before)
        #: Every job from this id on was returned. None before the first window, which has no upper end.
        self.end = before
        self._span_ms = _FIRST_SPAN_MS
        self._is_narrowed = False
        #: A window that was too large had more jobs after this time.
        self._known_ms = self._oldest_ms
        self._windows = 0

    @property
    def is_complete(self) -> bool:
        """Whether all jobs that are kept were returned."""
        return self._end_ms <= self._oldest_ms

    @property
    def is_exhausted(self) -> bool:
        """Whether this request may read no further window."""
        return self._windows >= MAX_WINDOWS

    def read_window(self, first: str | None) -> list[LedgerEntry]:
        """The next jobs, newest first; none when the window was too large or empty. Raises StorageUnavailableError.

        `first` is a guess of the oldest job that is needed.
        """
        self._windows += 1
        start = ids.first_id(max(self._oldest_ms, self._end_ms - self._span_ms))
        if first is not None and (first > start or not self._is_narrowed):
            start = first
        entries, reached_ms = self._list(start, bounded=self._end_ms - ids.created_ms(start) > 1)
        if reached_ms is not None:
            self._narrow(ids.created_ms(start), reached_ms, len(entries))
            return []
        self._move(start, len(entries))
        return entries[::-1]

    def _list(self, start: str, *, bounded: bool) -> tuple[list[LedgerEntry], int | None]:
        """The jobs from `start` on, oldest first, and the time that was reached if the window has more."""
        names: dict[str, set[str]] = {}
        prefix = prefix_of(self._tenant)
        listed = s3.keys_after(prefix, f"{prefix}{start}")
        for number, key in enumerate(islice(listed, WINDOW_OBJECTS) if bounded else listed):
            job_id, _, name = key.removeprefix(prefix).partition("/")
            if self.end is not None and job_id >= self.end:
                break
            if bounded and number == WINDOW_OBJECTS - 1:
                return self._entries(names), ids.created_ms(job_id)
            names.setdefault(job_id, set()).add(name)
        return self._entries(names), None

    def _entries(self, names: dict[str, set[str]]) -> list[LedgerEntry]:
        return [
            LedgerEntry(JobRef(self._tenant, job_id), RESULT_FILE in found)
            for job_id, found in names.items()
            if JOB_FILE in found
        ]

    def _narrow(self, start_ms: int, reached_ms: int, jobs: int) -> None:
        """Chooses a shorter window by how frequent the jobs are at the beginning of this one."""
        self._is_narrowed, self._known_ms = True, max(self._known_ms, reached_ms)
        rest_ms = self._end_ms - self._known_ms
        estimate_ms = (reached_ms - start_ms) * _WANTED_JOBS // max(1, jobs)
        # At most an eighth of the rest, so that MAX_WINDOWS always include one that is small enough.
        self._span_ms = max(1, min(max(estimate_ms, rest_ms // 64), rest_ms // 8))

    def _move(self, start: str, jobs: int) -> None:
        """Chooses the window that follows one that was read completely."""
        span_ms = self._end_ms - ids.created_ms(start)
        self.end, self._end_ms, self._is_narrowed = start, ids.created_ms(start), False
        rest_ms = self._end_ms - self._known_ms
        if jobs:
            self._span_ms = span_ms * min(8, max(1, _WANTED_JOBS // jobs))
        elif 0 < rest_ms < self._end_ms - self._oldest_ms:  # a gap after a time at which there are jobs
            self._span_ms = rest_ms - rest_ms // 8
        else:  # nothing is known: all the rest, so that a ledger with few jobs needs no further window
            self._span_ms = max(1, self._end_ms - self._oldest_ms)
