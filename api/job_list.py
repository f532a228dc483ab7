"""Pages of the list of jobs."""

from dataclasses import dataclass

from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.services.redis import views
from darkroom.services.redis.views import View

#: Most jobs that one request reads to find those that match its filter.
SCAN_LIMIT = 1000

#: Jobs read in one round trip if there is a filter.
_BATCH = 100


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list. None matches any."""

    status: Status | None = None
    operation: Operation | None = None

    def matches(self, view: View) -> bool:
        """Whether the job belongs in the list."""
        return self.status in (None, view.status) and self.operation in (None, view.job.operation)

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
    """Up to `limit` jobs older than `before`. Reads at most SCAN_LIMIT jobs, so a page can have fewer."""
    found: list[View] = []
    cursor, scanned = before, 0
    batch = limit if wanted.matches_all else _BATCH
    while scanned < SCAN_LIMIT:
        job_ids = views.list_ids(tenant, before=cursor, limit=batch)
        for job_id, view in zip(job_ids, views.fetch_all(job_ids), strict=True):
            cursor = job_id
            if view is not None and wanted.matches(view):
                found.append(view)
                if len(found) == limit:
                    return FoundJobs(found, cursor)
        if len(job_ids) < batch:
            return FoundJobs(found, None)
        scanned += batch
    return FoundJobs(found, cursor)
