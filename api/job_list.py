"""Pages of the list of jobs. The ledger says which jobs there are and which have ended; Redis has most views."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from api.ledger_list import LedgerEntry, LedgerScan
from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheUnavailableError, InternalError
from darkroom.jobs import ledger
from darkroom.log import logger
from darkroom.services.redis import views
from darkroom.services.redis.views import View

#: Most jobs that one request reads to find those that match its filter, and most of them that Redis does not have.
SCAN_LIMIT = 1000
LEDGER_LIMIT = 200

#: Jobs whose views are read in one round trip if there is a filter.
_BATCH = 100

#: Requests to S3 at the same time.
_THREADS = 8

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list. None matches any."""

    status: Status | None = None
    operation: Operation | None = None

    def matches(self, view: View) -> bool:
        """Whether the job belongs in the list."""
        return self.status in (None, view.status) and self.operation in (None, view.job.operation)

    def may_match(self, entry: LedgerEntry) -> bool:
        """Whether the job may belong in the list, by what the listing of the ledger shows."""
        return self.status is None or self.status.terminal == entry.ended

    @property
    def matches_all(self) -> bool:
        """Whether every job belongs in the list."""
        return self.status is None and self.operation is None


@dataclass(frozen=True)
class FoundJobs:
    """A page of jobs, newest first, and the id after which the next page begins; None on the last page."""

    views: list[View]
    cursor: str | None


def find_jobs(tenant: str, *, before: str | None, limit: int, wanted: JobFilter) -> FoundJobs:
    """Up to `limit` jobs older than `before`. The work of one request is bounded, so a page can have fewer.

    Raises StorageUnavailableError: without the ledger, a job that has ended might be shown as running.
    """
    found: list[View] = []
    scanned = missing = 0
    scan = LedgerScan(tenant, before)
    while not scan.is_complete:
        if scan.is_exhausted:
            return FoundJobs(found, scan.end)
        entries = scan.read_window(_oldest_of_page(tenant, scan.end, limit if wanted.matches_all else SCAN_LIMIT // 4))
        while entries:
            size = limit - len(found) if wanted.matches_all else _BATCH
            batch, entries = entries[:size], entries[size:]
            page = _Page([entry for entry in batch if wanted.may_match(entry)])
            for view in page.views():
                if wanted.matches(view):
                    found.append(view)
                    if len(found) == limit:
                        return FoundJobs(found, view.job.job_id)
            scanned, missing = scanned + len(batch), missing + page.missing
            if scanned >= SCAN_LIMIT or missing >= LEDGER_LIMIT:
                return FoundJobs(found, batch[-1].job.job_id)
    return FoundJobs(found, None)


def _oldest_of_page(tenant: str, before: str | None, limit: int) -> str | None:
    """The oldest of the next jobs that Redis knows. It saves requests to S3, but the ledger decides."""
    try:
        return next(reversed(views.list_ids(tenant, before=before, limit=limit)), None)
    except CacheUnavailableError:
        return None


class _Page:
    """Jobs in the ledger, with their views."""

    def __init__(self, entries: Sequence[LedgerEntry]) -> None:
        self._entries = entries
        #: How many of the jobs Redis does not have.
        self.missing = 0

    def views(self) -> list[View]:
        """The view of each job, in order, without those that cannot be read."""
        known = self._in_redis()
        self.missing = known.count(None)
        pairs = list(zip(self._entries, known, strict=True))
        unsure = [pair for pair in pairs if _needs_ledger(*pair)]
        checked = iter(_in_parallel(_read_ledger, unsure))
        shown = (next(checked) if _needs_ledger(*pair) else pair[1] for pair in pairs)
        return [view for view in shown if view is not None]

    def _in_redis(self) -> list[View | None]:
        try:
            return views.fetch_all([entry.job for entry in self._entries])
        except CacheUnavailableError as error:
            logger().warning("listing from the ledger alone", extra={"reason": error.message})
            return [None] * len(self._entries)


def _needs_ledger(entry: LedgerEntry, view: View | None) -> bool:
    return view is None or (entry.ended and not view.status.terminal)


def _read_ledger(pair: tuple[LedgerEntry, View | None]) -> View | None:
    """The view of a job as the ledger has it, or None when it cannot be read."""
    entry, view = pair
    try:
        result = ledger.read_result(entry.job) if entry.ended else None
        if view is None:
            job = ledger.read_job(entry.job)
            return None if job is None else views.from_ledger(job, result)
        return view if result is None else views.with_result(view, result)
    except InternalError as error:
        logger().error("skipped unreadable record", extra={"job_id": entry.job.job_id, "reason": error.message})
        return None


def _in_parallel(read: Callable[[_Item], _Read], items: Sequence[_Item]) -> list[_Read]:
    """`read` for each item, in order. The first failure is raised at once, and what has not started then never does."""
    if not items:
        return []
    threads = ThreadPoolExecutor(_THREADS)
    try:
        return list(threads.map(read, items))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
