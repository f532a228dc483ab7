"""A page of the list of jobs, filtered."""

from dataclasses import dataclass

from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.services.redis import views
from darkroom.services.redis.views import View

#: Jobs that one request looks at, at most, in search of those that pass the filter.
SCAN_LIMIT = 1000

#: Jobs fetched in one round trip while a filter is on.
_BATCH = 100


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; None takes all."""

    status: Status | None = None
    operation: Operation | None = None

    def takes(self, view: View) -> bool:
        """Whether the job passes."""
        return self.status in (None, view.status) and self.operation in (None, view.job.operation)

    @property
    def open(self) -> bool:
        """Whether every job passes."""
        return self.status is None and self.operation is None


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first, and the id that the next page begins after; None at the end of the list."""

    views: list[View]
    cursor: str | None


def find(tenant: str, *, before: str | None, limit: int, wanted: Filter) -> Page:
    """Up to `limit` jobs older than `before`. Stops after SCAN_LIMIT jobs, found or not."""
    found: list[View] = []
    cursor, scanned = before, 0
    batch = limit if wanted.open else _BATCH
    while scanned < SCAN_LIMIT:
        job_ids = views.list_ids(tenant, before=cursor, limit=batch)
        for job_id, view in zip(job_ids, views.fetch_all(job_ids), strict=True):
            cursor = job_id
            if view is not None and wanted.takes(view):
                found.append(view)
                if len(found) == limit:
                    return Page(found, cursor)
        if len(job_ids) < batch:
            return Page(found, None)
        scanned += batch
    return Page(found, cursor)
