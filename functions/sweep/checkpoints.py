"""What of a tenant's usage is saved, and what need not be kept in Redis. Nothing here reads or writes."""

from darkroom.config import settings
from darkroom.contracts.usage import UsageCheckpoint
from darkroom.services.redis import keys
from darkroom.services.redis.usage import SLOT_MS, Measure, Usage
from darkroom.timestamps import iso_utc, month_of

#: Seconds before a checkpoint from which what ended is counted again: Redis hears of it a moment later.
ENDED_OVERLAP_S = 15 * 60

#: Seconds beyond the life of an upload form for which its upload may take, until its jobs are accepted.
LATE_UPLOAD_S = 3_600

#: Seconds for which the totals of a month may still change after its end.
LATE_S = 2 * 86_400


def make_checkpoint(tenant: str, current: Usage) -> UsageCheckpoint:
    """What is saved of a usage."""
    jobs_from_ms, ended_from_ms = counted_again_from(current.now_ms)
    oldest = current.slots(Measure.OLDEST)
    ended = [oldest[slot] for slot in oldest if slot * SLOT_MS >= ended_from_ms]
    still_open = [slot * SLOT_MS for slot in current.slots(Measure.OPEN)]
    return UsageCheckpoint(
        tenant=tenant,
        as_of=iso_utc(current.now_ms / 1000),
        totals=current.totals(),
        settled=current.totals(jobs_from_ms, ended_from_ms),
        jobs_from_ms=jobs_from_ms,
        ended_from_ms=ended_from_ms,
        listed_from_ms=min([jobs_from_ms, *ended, *still_open]),
    )


def counted_again_from(now_ms: int) -> tuple[int, int]:
    """From when on jobs, and what was stored or ended, would be counted again if Redis lost its data now.

    All times are in milliseconds since 1970.
    """
    return (
        _begin_of_slot(now_ms - 1000 * (settings().link_expiry_s + LATE_UPLOAD_S)),
        _begin_of_slot(now_ms - 1000 * ENDED_OVERLAP_S),
    )


def changing_months(current: Usage) -> set[str]:
    """The months whose totals may still change: the current one, and at its beginning the previous one."""
    known = current.periods(Measure.JOBS) | current.periods(Measure.VIDEO)
    return {current.month, *(month for month in known if month >= _oldest_month(current))}


def unneeded_fields(current: Usage) -> list[str]:
    """The fields of a usage that neither a quota nor a later checkpoint needs."""
    jobs_from_ms, ended_from_ms = counted_again_from(current.now_ms)
    begins = {
        Measure.JOBS: jobs_from_ms,
        Measure.VIDEO: ended_from_ms,
        Measure.BYTES: ended_from_ms,
        Measure.OLDEST: ended_from_ms,
        Measure.OPEN: _begin_of_slot(current.now_ms - 1000 * keys.retention_s()),
        Measure.FORMS: _begin_of_slot(current.now_ms),
    }
    slots = [
        f"{kind}@{slot}"
        for kind, begin_ms in begins.items()
        for slot in current.slots(kind)
        if slot * SLOT_MS < begin_ms
    ]
    months = [
        f"{kind}:{month}"
        for kind in (Measure.JOBS, Measure.VIDEO)
        for month in current.periods(kind)
        if month < _oldest_month(current)
    ]
    days = current.periods(Measure.BYTES) - set(current.stored_by_day)
    return sorted([*slots, *months, *(f"{Measure.BYTES}:{day}" for day in days)])


def _oldest_month(current: Usage) -> str:
    return month_of(current.now_ms - 1000 * LATE_S)


def _begin_of_slot(at_ms: int) -> int:
    return at_ms // SLOT_MS * SLOT_MS
