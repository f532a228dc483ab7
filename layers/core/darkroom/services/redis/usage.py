"""What each tenant uses. It is counted with what changes it: views of jobs, their ends, and ingested uploads.

Redis may lose it. Sweep saves it in S3 every minute, and adds what was before when Redis counts anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import cast

from darkroom.contracts.operations import Operation
from darkroom.contracts.usage import MonthlyUsage, UsageTotals
from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.timestamps import day_of, month_of

#: Milliseconds of the parts in which the latest amounts are kept; `SLOT_MS` in `scripts/shared/usage.lua` is the same.
SLOT_MS = 15 * 60 * 1000


class Measure(StrEnum):
    """What is counted: jobs and milliseconds of video by month, stored bytes by day, and bytes of open upload forms.

    `open` and `oldest` show which jobs are open, and which have ended lately; see `scripts/shared/usage.lua`.
    """

    JOBS = "jobs"
    VIDEO = "video_ms"
    BYTES = "bytes"
    FORMS = "forms"
    OPEN = "open"
    OLDEST = "oldest"


@dataclass(frozen=True)
class Usage:
    """The usage of a tenant at a time on Redis' clock, in milliseconds since 1970.

    `queued_by_operation` has the queued jobs of all tenants, of the operations that were asked for.
    """

    now_ms: int
    fields: dict[str, str]
    queued_jobs: int
    queued_by_operation: dict[Operation, int]

    @property
    def month(self) -> str:
        """The current month in UTC, as `2026-11`."""
        return month_of(self.now_ms)

    @property
    def jobs(self) -> int:
        """The jobs of this month."""
        return self.amount(Measure.JOBS, self.month)

    @property
    def video_ms(self) -> int:
        """Milliseconds of video of this month."""
        return self.amount(Measure.VIDEO, self.month)

    @cached_property
    def stored_by_day(self) -> dict[str, int]:
        """The bytes stored on each day (`2026-11-30`, UTC) whose files are kept, oldest first."""
        oldest = day_of(self.now_ms - 1000 * keys.retention_s())
        stored = {day: self.amount(Measure.BYTES, day) for day in sorted(self.periods(Measure.BYTES)) if day >= oldest}
        return {day: size_bytes for day, size_bytes in stored.items() if size_bytes > 0}

    @property
    def reserved_bytes(self) -> int:
        """Bytes that may still arrive with upload forms that are valid."""
        current = self.now_ms // SLOT_MS
        return sum(max(0, amount) for slot, amount in self.slots(Measure.FORMS).items() if slot >= current)

    @property
    def stored_bytes(self) -> int:
        """Bytes that are stored, or may still arrive with upload forms that are valid."""
        return sum(self.stored_by_day.values()) + self.reserved_bytes

    @property
    def is_complete(self) -> bool:
        """Whether what was before Redis began to count is included."""
        return "recounted_from_ms" in self.fields

    def amount(self, measure: Measure, period: str, before_ms: int | None = None) -> int:
        """What was counted in a month or a day, of all times or before a multiple of SLOT_MS."""
        total = int(self.fields.get(f"{measure}:{period}", 0))
        if before_ms is None:
            return total
        later = {slot: amount for slot, amount in self.slots(measure).items() if slot * SLOT_MS >= before_ms}
        return total - sum(amount for slot, amount in later.items() if day_of(slot * SLOT_MS).startswith(period))

    def totals(self, jobs_before_ms: int | None = None, ended_before_ms: int | None = None) -> UsageTotals:
        """All amounts: of all times, or of jobs and of the rest before certain times."""
        months = self.periods(Measure.JOBS) | self.periods(Measure.VIDEO)
        return UsageTotals(
            months={
                month: MonthlyUsage(
                    jobs=self.amount(Measure.JOBS, month, jobs_before_ms),
                    video_ms=self.amount(Measure.VIDEO, month, ended_before_ms),
                )
                for month in sorted(months)
            },
            stored_bytes={
                day: self.amount(Measure.BYTES, day, ended_before_ms) for day in sorted(self.periods(Measure.BYTES))
            },
        )

    def periods(self, measure: Measure) -> set[str]:
        """The months or days of which there is an amount."""
        prefix = f"{measure}:"
        return {name.removeprefix(prefix) for name in self.fields if name.startswith(prefix)}

    def slots(self, measure: Measure) -> dict[int, int]:
        """The latest amounts, by their time in multiples of SLOT_MS."""
        prefix = f"{measure}@"
        found = {name.removeprefix(prefix): text for name, text in self.fields.items() if name.startswith(prefix)}
        return {int(slot): int(text) for slot, text in found.items()}


def measure(tenant: str, operations: Sequence[Operation] = ()) -> Usage:
    """The usage of a tenant, and the length of the queues of `operations`, in one round trip."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hgetall(keys.usage_of(tenant))
        pipe.hget(keys.QUEUED_COUNTS, tenant)
        for operation in operations:
            pipe.zcard(keys.queued_jobs_of(operation))
        (seconds, micros), fields, queued, *lengths = pipe.execute()
    return Usage(
        now_ms=int(seconds) * 1000 + int(micros) // 1000,
        fields=cast(dict[str, str], fields),
        queued_jobs=int(queued or 0),
        queued_by_operation=dict(zip(operations, lengths, strict=True)),
    )
