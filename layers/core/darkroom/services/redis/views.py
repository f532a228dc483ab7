"""The view of each job: what clients see of it, and the list of jobs. The ledger decides, views follow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from darkroom import ids
from darkroom.contracts.jobs import Failure, Job, JobRef, JobResult, Status
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Quotas
from darkroom.errors import InternalError
from darkroom.log import logger
from darkroom.services.redis import deadlines, keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.script_runner import Argument, run_script
from darkroom.timeouts import current_timeouts
from darkroom.timestamps import epoch_ms


@dataclass(frozen=True)
class TimelineEvent:
    """One event: accepted, dispatched, claimed, attempt_failed, uploaded, or the status that the job ended with."""

    event: str
    at_ms: int
    attempt: int


@dataclass(frozen=True)
class View:
    """A job as clients see it. `progress` is from 0 to 1, `speed` in seconds of media per second.

    `failed_attempts` are those that count, so without those that an outage ended.
    """

    status: Status
    attempt: int
    job: Job
    failed_attempts: int = 0
    awaits_upload: bool = False
    progress: float = 0.0
    published_ms: int = 0
    started_ms: int | None = None
    progressed_ms: int | None = None
    speed: float | None = None
    errors: list[Failure] = field(default_factory=list)
    timeline: list[TimelineEvent] = field(default_factory=list)
    result: JobResult | None = None


def create(
    job: Job,
    *,
    due_in_s: float = deadlines.START_WITHIN_S,
    restored: bool = False,
    ready: bool = True,
    quotas: Quotas | None = None,
) -> bool:
    """Creates the view of an accepted job, queued, and counts the job. Returns whether it had none.

    `restored` means that Redis may have lost an earlier view, so that unknown runs of the job may be in flight. Such a
    job, and one that is not `ready`, starts after `due_in_s`, or when its message arrives. `quotas` are those of the
    tenant, if they are known.
    """
    delay_s = due_in_s if restored or not ready else 0
    return bool(
        run_script(
            "create_view",
            [
                keys.view_of(job.ref),
                keys.jobs_of(job.tenant),
                keys.OPEN_JOBS,
                keys.queued_jobs_of(job.operation),
                keys.ready_tenants_of(job.operation),
                keys.served_tenants_of(job.operation),
                keys.delayed_jobs_of(job.operation),
                keys.freed_slots_of(job.operation),
                keys.most_in_flight_of(job.tenant),
                keys.QUEUED_COUNTS,
                keys.usage_of(job.tenant),
                keys.CHANGED_USAGE,
            ],
            [
                str(job.ref),
                job.model_dump_json(exclude_none=True),
                keys.retention_s(),
                int(due_in_s * 1000),
                _oldest_listed_id(),
                keys.listed_s(),
                epoch_ms(job.created_at),
                int(restored),
                job.job_id,
                ids.created_ms(job.job_id),
                job.priority,
                int(delay_s * 1000),
                _in_flight_limit(quotas),
                job.tenant,
            ],
        )
    )


def _in_flight_limit(quotas: Quotas | None) -> Argument:
    """The limit as scripts expect it."""
    return "" if quotas is None else quotas.in_flight_jobs or 0


def _oldest_listed_id() -> str:
    """Jobs with smaller ids are not in the list of a tenant's latest jobs."""
    return ids.first_id(int((time.time() - keys.listed_s()) * 1000))


def await_upload(job: Job, *, expires_s: int, quotas: Quotas | None = None) -> None:
    """Creates the view of a job that starts when its upload arrives, so that clients can look it up before.

    A view that exists stays as it is. `quotas` are those of the tenant, if they are known.
    """
    run_script(
        "await_upload",
        [keys.view_of(job.ref), keys.most_in_flight_of(job.tenant)],
        [job.model_dump_json(exclude_none=True), expires_s, _in_flight_limit(quotas), keys.retention_s()],
    )


def finish(job: Job, result: JobResult) -> bool | None:
    """Shows the result of a job, counts its outputs, frees its slot and notifies the clients that wait for it.

    Returns whether the view changed, or None when the job has no view.
    """
    arguments: list[Argument] = [
        str(job.ref),
        result.status,
        result.model_dump_json(exclude_none=True),
        keys.ended_s(),
        epoch_ms(result.finished_at),
        result.attempt,
        result.run,
        epoch_ms(result.uploaded_at) if result.uploaded_at else "",
        deadlines.LONGEST_RUN_S * 1000,
        deadlines.UNKNOWN_RUNS_S * 1000,
        deadlines.LEASE_GRACE_S * 1000,
        job.tenant,
        result.video_ms,
        result.output_bytes,
        ids.created_ms(job.job_id),
    ]
    answer = run_script(
        "finish_job",
        [
            keys.view_of(job.ref),
            keys.slots_of(job.operation),
            keys.OPEN_JOBS,
            keys.freed_slots_of(job.operation),
            keys.queued_jobs_of(job.operation),
            keys.permits_of(job.operation),
            keys.ready_tenants_of(job.operation),
            keys.delayed_jobs_of(job.operation),
            keys.end_channel_of(job.ref),
            keys.CLEANUPS,
            keys.QUEUED_COUNTS,
            keys.usage_of(job.tenant),
            keys.CHANGED_USAGE,
        ],
        arguments,
    )
    return None if answer == -1 else bool(answer)


def fetch(job: JobRef) -> View | None:
    """The view of a job, or None. Raises InternalError when it cannot be read."""
    with map_redis_errors():
        fields = cast(dict[str, str], redis_client().hgetall(keys.view_of(job)))
    return _parse(fields)


def fetch_all(jobs: Sequence[JobRef]) -> list[View | None]:
    """`fetch` for many jobs in one round trip. A view that this version cannot read counts as missing."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hgetall(keys.view_of(job))
        records = pipe.execute()
    views: list[View | None] = []
    for job, fields in zip(jobs, records, strict=True):
        try:
            views.append(_parse(fields))
        except InternalError as error:
            logger().error("skipped unreadable record", extra={"job_id": job.job_id, "reason": error.message})
            views.append(None)
    return views


def _parse(fields: dict[str, str]) -> View | None:
    if "status" not in fields:
        return None
    try:
        return View(
            status=Status(fields["status"]),
            attempt=int(fields.get("attempt", 0)),
            job=Job.model_validate_json(fields["job"]),
            failed_attempts=int(fields.get("failed_attempts", 0)),
            awaits_upload="awaits_upload" in fields,
            progress=float(fields.get("progress", 0)),
            published_ms=int(fields.get("published_ms", 0)),
            started_ms=int(fields["started_ms"]) if "started_ms" in fields else None,
            progressed_ms=int(fields["progressed_ms"]) if "progressed_ms" in fields else None,
            speed=float(fields["speed"]) if fields.get("speed") else None,
            errors=[Failure.model_validate_json(line) for line in fields.get("errors", "").splitlines()],
            timeline=[_parse_event(line) for line in fields.get("timeline", "").splitlines()],
            result=JobResult.model_validate_json(fields["result"]) if "result" in fields else None,
        )
    except ValueError as error:
        raise InternalError("The job's record in the status cache cannot be read.") from error


def _parse_event(line: str) -> TimelineEvent:
    at_ms, event, attempt = line.split(" ")
    return TimelineEvent(event, int(at_ms), int(attempt))


def from_ledger(job: Job, result: JobResult | None) -> View:
    """The view of a job by its ledger records alone. Without a result it counts as queued."""
    timeline = [TimelineEvent("accepted", epoch_ms(job.created_at), 0)]
    if result is not None and result.started_at:
        timeline.append(TimelineEvent("claimed", epoch_ms(result.started_at), result.attempt))
    view = View(status=Status.QUEUED, attempt=0, job=job, timeline=timeline)
    return view if result is None else with_result(view, result)


def with_result(view: View, result: JobResult) -> View:
    """The view of a job that is open in Redis and has a result: the same, as `finish` will change it."""
    ends = [(result.uploaded_at, "uploaded"), (result.finished_at, result.status)]
    events = [TimelineEvent(event, epoch_ms(at), result.attempt) for at, event in ends if at]
    timeline = [*view.timeline, *events]
    return replace(
        view, status=result.status, attempt=result.attempt, awaits_upload=False, timeline=timeline, result=result
    )


def list_ids(tenant: str, *, before: str | None, limit: int) -> list[str]:
    """Ids of a tenant's latest jobs that Redis knows, newest first. `before` is the id after which the list begins."""
    start = f"({before}" if before else "+"
    with map_redis_errors():
        found = redis_client().zrevrangebylex(keys.jobs_of(tenant), start, "-", start=0, num=limit)
    return cast(list[str], found)


def count_queued(operation: Operation) -> int:
    """How many jobs of an operation are queued."""
    with map_redis_errors():
        return int(redis_client().zcard(keys.queued_jobs_of(operation)))


def position_in_queue(job: JobRef, operation: Operation) -> int | None:
    """The place of a job among its tenant's ready jobs of the operation, counted from 1; None if it is not ready."""
    with map_redis_errors():
        rank = cast(int | None, redis_client().zrank(keys.ready_jobs_of(operation, job.tenant), str(job)))
    return None if rank is None else rank + 1


def wait_for_end(job: JobRef, timeout_s: float) -> View | None:
    """The view of a job as soon as it has ended, or after `timeout_s` as it is then."""
    deadline = time.monotonic() + timeout_s
    with map_redis_errors(), redis_client().pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(keys.end_channel_of(job))
        channel.get_message(timeout=current_timeouts().cache_s)
        while True:
            view = fetch(job)
            remaining_s = deadline - time.monotonic()
            if view is None or view.status.terminal or remaining_s <= 0:
                return view
            channel.get_message(timeout=min(remaining_s, 1.0))
