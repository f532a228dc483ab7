"""Removes the outputs of runs that did not end their job, once none can be in flight."""

import time

from darkroom.contracts.jobs import Job, JobRef, JobResult
from darkroom.jobs import ledger, lifecycle
from darkroom.services.redis import open_jobs
from functions.sweep.lookups import look_up

#: Jobs that one pass cleans up at most.
CLEANED_AT_ONCE = 500


def remove_leftover_outputs(deadline: float) -> int:
    """Cleans up the jobs that are due for it. Returns how many objects were removed."""
    removed = 0
    for ref, (job, result) in look_up(_read, open_jobs.due_for_cleanup(CLEANED_AT_ONCE), deadline):
        if time.monotonic() > deadline:
            break
        if job is not None and result is not None:
            removed += lifecycle.clean_up(job, result)
        open_jobs.mark_cleaned(ref)
    return removed


def _read(job: JobRef) -> tuple[Job | None, JobResult | None]:
    return ledger.read_job(job), ledger.read_result(job)
