"""What sweep has to do and when: open jobs that are due for a check, ended jobs that are due for clean-up."""

import json
from collections.abc import Sequence
from typing import cast

from darkroom.contracts.jobs import JobRef
from darkroom.contracts.operations import Operation
from darkroom.services.redis import deadlines, keys
from darkroom.services.redis.client import map_redis_errors, now_ms, redis_client
from darkroom.services.redis.script_runner import run_script


def due(limit: int, *, skip: int = 0, as_of_ms: int | None = None) -> list[JobRef]:
    """Open jobs that are due for a check, longest overdue first, without the first `skip` of them."""
    return _due(keys.OPEN_JOBS, skip, limit, now_ms() if as_of_ms is None else as_of_ms)


def postpone(jobs: Sequence[JobRef], seconds: float, *, published: bool) -> None:
    """Makes those of the jobs that are still queued due in `seconds`.

    `published` records that their messages were published again.
    """
    if jobs:
        run_script(
            "postpone_jobs",
            [keys.OPEN_JOBS],
            [json.dumps([str(job) for job in jobs]), int(seconds * 1000), int(published), keys.VIEW_PREFIX],
        )


def record_pass() -> int:
    """Records that sweep recovers due jobs now. Returns when the latest gap between two passes ended, or 0.

    Sweep cannot recover jobs without Redis or S3, so runs that began before the end of a gap met an outage.
    """
    kept_ms = (deadlines.LONGEST_RUN_S + deadlines.LEASE_GRACE_S + deadlines.LONGEST_GAP_S) * 1000
    arguments = [deadlines.LONGEST_GAP_S * 1000, keys.SLOTS_TTL_S * 1000, kept_ms]
    return int(run_script("record_pass", [keys.LAST_SWEEP, keys.GAP_END], arguments))


def make_queued_due_now() -> int:
    """Makes every queued job due, because the broker lost their messages. Returns how many there are."""
    return int(run_script("make_queued_due_now", [keys.OPEN_JOBS], [keys.VIEW_PREFIX]))


def oldest_queued() -> dict[Operation, JobRef | None]:
    """The oldest queued job of each operation; None if no job is queued."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for operation in Operation:
            pipe.zrange(keys.queued_jobs_of(operation), 0, 0)
        found = pipe.execute()
    return {
        operation: JobRef.parse(members[0]) if members else None
        for operation, members in zip(Operation, found, strict=True)
    }


def forget(job: JobRef) -> None:
    """Removes a job that does not exist, or has ended, from the open and the queued jobs."""
    queues = json.dumps(
        [
            [keys.queued_jobs_of(operation), keys.ready_jobs_of(operation, job.tenant), keys.delayed_jobs_of(operation)]
            for operation in Operation
        ]
    )
    run_script("forget_job", [keys.OPEN_JOBS, keys.QUEUED_COUNTS], [str(job), queues])


def due_for_cleanup(limit: int) -> list[JobRef]:
    """Ended jobs none of whose runs can be in flight any more, so that leftover outputs can be removed."""
    return _due(keys.CLEANUPS, 0, limit, now_ms())


def mark_cleaned(job: JobRef) -> None:
    """Records that a job has no outputs left but those of its result."""
    with map_redis_errors():
        redis_client().zrem(keys.CLEANUPS, str(job))


def _due(key: str, skip: int, limit: int, at_ms: int) -> list[JobRef]:
    with map_redis_errors():
        members = cast(list[str], redis_client().zrangebyscore(key, "-inf", at_ms, start=skip, num=limit))
    return [JobRef.parse(member) for member in members]
