"""What sweep does with the usage of tenants: it saves what has changed, and counts again what Redis has lost."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import cast

from darkroom.contracts.usage import UsageCheckpoint, UsageTotals
from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.script_runner import run_script
from darkroom.services.redis.usage import Measure, Usage


@dataclass(frozen=True)
class EndedJob:
    """What a job produced. Its times are in milliseconds since 1970."""

    created_ms: int
    finished_ms: int
    video_ms: int
    output_bytes: int


@dataclass(frozen=True)
class StoredUpload:
    """An upload that was stored at a time in milliseconds since 1970."""

    written_ms: int
    size_bytes: int


def list_saved_tenants(tenants: Iterable[str]) -> None:
    """Makes these tenants' usage be saved, once after Redis lost its data, so that what it lost is counted again.

    `tenants` is not read at any other time.
    """
    with map_redis_errors():
        if redis_client().exists(keys.LISTED_USAGE):
            return
        names = list(tenants)
        if names:
            redis_client().sadd(keys.CHANGED_USAGE, *names)
        redis_client().set(keys.LISTED_USAGE, 1)


def changed_tenants(limit: int) -> list[str]:
    """Up to `limit` tenants whose usage is not saved, in random order, so that each has its turn."""
    with map_redis_errors():
        return cast(list[str], redis_client().srandmember(keys.CHANGED_USAGE, limit))


def mark_usage_saved(tenant: str, usage: Usage, unneeded: Sequence[str]) -> None:
    """Records that a usage of a tenant is saved, and removes the fields that are `unneeded`."""
    run_script(
        "mark_usage_saved",
        [keys.usage_of(tenant), keys.CHANGED_USAGE],
        [tenant, usage.fields.get("changes", ""), json.dumps(unneeded)],
    )


def begin_recount(
    tenant: str, checkpoint: UsageCheckpoint | None, *, position: str, from_ms: tuple[int, int], wait_s: float
) -> None:
    """Begins the recount of what a tenant used before Redis began to count, unless that was less than `wait_s` ago.

    The settled totals of the checkpoint count; jobs and the rest count again `from_ms` on. The listing begins after the
    key `position`. One that has begun goes on.
    """
    settled = [] if checkpoint is None else _fields_of(checkpoint.settled)
    run_script(
        "begin_recount",
        [keys.usage_of(tenant), keys.CHANGED_USAGE],
        [tenant, int(wait_s * 1000), json.dumps(settled), *from_ms, position],
    )


def _fields_of(totals: UsageTotals) -> list[tuple[str, int]]:
    by_month = [
        (f"{name}:{month}", amount)
        for month, usage in totals.months.items()
        for name, amount in ((Measure.JOBS, usage.jobs), (Measure.VIDEO, usage.video_ms))
    ]
    return by_month + [(f"{Measure.BYTES}:{day}", size_bytes) for day, size_bytes in totals.stored_bytes.items()]


def count_page(
    tenant: str,
    *,
    position: str,
    following: str | None,
    job_ids: Sequence[str],
    uploads: Sequence[StoredUpload],
    ended: Sequence[EndedJob],
) -> bool:
    """Counts the page of a listing that begins after the key `position`. Jobs that are counted already do not count.

    `following` is the key after which the next page begins, None after the last one, which ends the recount. Returns
    False if another pass has counted the page, or Redis has lost its data.
    """
    return bool(
        run_script(
            "recount_page",
            [keys.usage_of(tenant), keys.jobs_of(tenant), keys.CHANGED_USAGE],
            [
                tenant,
                position,
                following or "",
                json.dumps(job_ids),
                json.dumps([astuple(upload) for upload in uploads]),
                json.dumps([astuple(job) for job in ended]),
                keys.listed_s(),
            ],
        )
    )
