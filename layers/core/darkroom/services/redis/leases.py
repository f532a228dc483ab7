"""The lease of each run: one run at a time owns a job, from its claim to the end of the attempt."""

from dataclasses import dataclass

from darkroom import ids
from darkroom.contracts.jobs import Failure, Job, JobRef
from darkroom.contracts.operations import Operation
from darkroom.services.redis import deadlines, keys
from darkroom.services.redis.script_runner import run_script

#: Errors that a view keeps, the latest ones: an outage of a day adds hundreds.
KEPT_ERRORS = 20


@dataclass(frozen=True)
class Claim:
    """The outcome of a claim: claimed, leased, ended, stale or missing. `job` is set when claimed."""

    outcome: str
    job: Job | None = None


def claim(job: JobRef, operation: Operation, *, attempt: int, run: str, lease_ms: int) -> Claim:
    """Moves a job from queued to running for one run. Of all runs of an attempt, one gets `claimed`."""
    answer = run_script(
        "claim_job",
        _keys(job, operation),
        [str(job), attempt, run, lease_ms, deadlines.LEASE_GRACE_S * 1000, keys.retention_s()],
    )
    return Claim(answer[0], Job.model_validate_json(answer[1]) if len(answer) > 1 else None)


def report_progress(
    job: Job, run: str, progress: float, speed: float | None = None, *, attempt: int, lease_ms: int
) -> bool:
    """Records progress from 0 to 1, which never decreases, and `speed` in seconds of media per second.

    A run whose claim Redis has lost owns the job again, for the `lease_ms` that it has left. Returns whether the run
    still owns the job, as far as Redis knows.
    """
    operation = job.operation
    speed_text = "" if speed is None else f"{speed:.4g}"
    return bool(
        run_script(
            "report_progress",
            _keys(job.ref, operation),
            [str(job.ref), attempt, run, f"{progress:.4f}", speed_text, lease_ms, deadlines.LEASE_GRACE_S * 1000],
        )
    )


def requeue(
    job: Job, *, attempt: int, run: str | None, failure: Failure, delay_s: float, outage: bool = False
) -> bool | None:
    """Ends a failed attempt: the job is queued again, the failure is recorded, the slot is free.

    The job may start after `delay_s`, or as soon as the message of its next attempt arrives.

    The attempt counts as failed unless an `outage` ended it. `run` is None when the run is known to be dead. Then the
    attempt alone is the fencing token, and an attempt that died before its claim counts as made. Returns whether the
    attempt was the current one, or None without a view.
    """
    answer = run_script(
        "requeue_job",
        _keys(job.ref, job.operation),
        [
            str(job.ref),
            attempt,
            run or "",
            failure.model_dump_json(),
            int((delay_s + deadlines.START_WITHIN_S) * 1000),
            int(not outage),
            KEPT_ERRORS,
            ids.created_ms(job.job_id),
            int(delay_s * 1000),
        ],
    )
    return None if answer == -1 else bool(answer)


def _keys(job: JobRef, operation: Operation) -> list[str]:
    return [
        keys.view_of(job),
        keys.slots_of(operation),
        keys.OPEN_JOBS,
        keys.freed_slots_of(operation),
        keys.queued_jobs_of(operation),
        keys.permits_of(operation),
        keys.ready_tenants_of(operation),
        keys.delayed_jobs_of(operation),
        keys.QUEUED_COUNTS,
    ]
