"""The steps of a job's life that need no message: end, restore, clean up. Every function may take them.

The ledger is written first, then the view. Every step can be repeated, and can be interrupted between any two lines:
sweep completes it.
"""

from darkroom import metrics
from darkroom.contracts.jobs import Failure, Job, JobResult, Message, Status
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Quotas
from darkroom.errors import ConfigurationError, DarkroomError
from darkroom.jobs import ledger
from darkroom.services import s3
from darkroom.services.redis import deadlines, views
from darkroom.timestamps import utc_now

#: The run in a result that no run made: the job was refused or canceled, or its run died.
NO_RUN = "none"

#: Why a message is parked that names a job which is not in the ledger.
UNKNOWN_JOB = "the message names a job that was never accepted"


def first_message(job: Job) -> Message:
    """The message that starts a job's first attempt."""
    return message_for(job, 1)


def message_for(job: Job, attempt: int) -> Message:
    """The message that starts an attempt, counted from 1."""
    return Message(job_id=job.job_id, tenant=job.tenant, operation=job.operation, attempt=attempt)


def end(job: Job, result: JobResult) -> JobResult:
    """Ends the job, first in the ledger, then in the view. Returns the winning result, which may be another one."""
    winning_result = ledger.write_result(job.ref, result)
    show_result(job, winning_result, is_new=winning_result == result)
    return winning_result


def show_result(job: Job, result: JobResult, *, is_new: bool) -> None:
    """Shows the result that the ledger has. One that `is_new` is counted, unless the view shows it already."""
    view_changed = views.finish(job, result)
    if view_changed is None:  # Redis lost the view while the job ran
        restore(job, result)
    if view_changed is not False and is_new:
        _count_end(job.operation, result)


def _count_end(operation: Operation, result: JobResult) -> None:
    if result.error is None:
        metrics.count(result.status, operation)
    else:
        metrics.count(result.status, operation, code=result.error.code)


def failed_result(job: Job, failure: Failure, *, attempt: int, run: str, started_at: str | None = None) -> JobResult:
    """The result of a job that failed and is not retried."""
    return JobResult(
        job_id=job.job_id,
        status=Status.FAILED,
        attempt=attempt,
        run=run,
        started_at=started_at,
        finished_at=utc_now(),
        error=failure,
    )


def canceled_result(job: Job, *, attempt: int) -> JobResult:
    """The result of a job that a client canceled."""
    return JobResult(job_id=job.job_id, status=Status.CANCELED, attempt=attempt, run=NO_RUN, finished_at=utc_now())


def failure_of(error: DarkroomError) -> Failure:
    """An error as clients see it.

    The messages of outages name hosts, buckets and roles. They go to the log only, and clients get the general text.
    """
    internal = error.outage or isinstance(error, ConfigurationError)
    return Failure(code=error.code, message=type(error)().message if internal else error.message)


def restore(job: Job, result: JobResult | None) -> bool:
    """Creates the view of a job from the ledger, after Redis lost it, or shows the result. Returns whether it did."""
    return update_view(job, result, due_in_s=deadlines.REPORT_WITHIN_S, restored=True)


def clean_up(job: Job, result: JobResult) -> int:
    """Removes the outputs of runs that did not end the job. Returns how many objects that were.

    No run of the job may be in flight: one that is about to commit would lose its outputs.
    """
    kept = {output.key for output in result.outputs}
    leftovers = [key for key in s3.keys_after(outputs_prefix(job)) if key not in kept]
    s3.delete(leftovers)
    return len(leftovers)


def outputs_prefix(job: Job) -> str:
    """Prefix of the keys of all outputs of a job, those of every run."""
    return f"processed/{job.tenant}/{job.job_id}/"


def update_view(
    job: Job, result: JobResult | None, *, due_in_s: float, restored: bool, quotas: Quotas | None = None
) -> bool:
    """Creates the view of a job that has none, and shows its result if it has ended. Returns whether it changed.

    `restored` means that Redis may have lost an earlier view, so that unknown runs of the job may be in flight.
    `quotas` are those of the tenant, if they are known.
    """
    changed = views.create(job, due_in_s=due_in_s, restored=restored, quotas=quotas)
    if result is not None:
        changed = bool(views.finish(job, result)) or changed
    return changed
