"""Restores the views of open jobs that have none, and removes the entries of ended jobs from the index of open jobs."""

from darkroom.contracts.jobs import JobRef
from darkroom.jobs import ledger, lifecycle, open_index
from darkroom.jobs.open_index import Entry, Kind
from darkroom.services.redis import reconciliation
from darkroom.services.redis.reconciliation import Presence
from functions.sweep.lookups import look_up, read_index

#: Seconds that accepting a job may take; a younger job without a view is still being accepted.
ACCEPTING_S = 30

#: Seconds after which the entry of a job that was never accepted is removed. By then, nobody can accept it any more:
#: idempotency keys expire within two days, and upload forms within hours.
ABANDONED_S = 3 * 86_400


def restore_open_jobs(deadline: float) -> int:
    """Compares the index of open jobs with Redis. Returns how many views were created."""
    return read_index(Kind.JOBS, _compare, deadline)


def _compare(page: list[Entry], deadline: float) -> int:
    presences = reconciliation.presences([_ref(entry) for entry in page])
    present = list(zip(page, presences, strict=True))
    open_index.remove(Kind.JOBS, [entry for entry, presence in present if presence is Presence.ENDED])
    unknown = [entry for entry, presence in present if presence is Presence.UNKNOWN]
    restored = look_up(_restore, reconciliation.due_for_lookup(unknown, first_s=ACCEPTING_S), deadline)
    not_accepted = [entry for entry, accepted in restored if not accepted]
    reconciliation.mark_looked_up(not_accepted)
    open_index.remove(Kind.JOBS, [entry for entry in not_accepted if entry.age_s > ABANDONED_S])
    return len(restored) - len(not_accepted)


def _restore(entry: Entry) -> bool:
    """Restores the view of a job. Returns whether the job exists."""
    job = ledger.read_job(_ref(entry))
    if job is None:
        return False
    lifecycle.restore(job, ledger.read_result(job.ref))
    return True


def _ref(entry: Entry) -> JobRef:
    return JobRef(entry.tenant, entry.identifier)
