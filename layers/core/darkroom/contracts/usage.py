"""What a tenant uses, as it is saved in S3 so that it survives the loss of Redis."""

from pydantic import Field

from darkroom.contracts.base import Contract
from darkroom.contracts.tenants import TenantName, Timestamp


class MonthlyUsage(Contract):
    """What counts in a calendar month (UTC): jobs by the time of their ids, video by the time at which jobs ended."""

    jobs: int = 0
    video_ms: int = 0


class UsageTotals(Contract):
    """Totals by month (`2026-11`), and stored bytes by the day (`2026-11-30`) on which they were stored, in UTC."""

    months: dict[str, MonthlyUsage] = Field(default_factory=dict)
    stored_bytes: dict[str, int] = Field(default_factory=dict)


class UsageCheckpoint(Contract):
    """What a tenant used until a time: `usage/<tenant>/<month>.json`.

    `settled` are the totals without what is counted again after a loss of Redis: jobs with ids from `jobs_from_ms` on,
    and what was stored or ended from `ended_from_ms` on. `listed_from_ms` is when the oldest job was made that ended
    since, or was open at the time. All are milliseconds since 1970.
    """

    tenant: TenantName
    as_of: Timestamp
    totals: UsageTotals
    settled: UsageTotals
    jobs_from_ms: int
    ended_from_ms: int
    listed_from_ms: int
