"""Every key in Redis: its type and its lifetime.

A key expires, or it is bounded by what it lists. Redis may lose all of them: they are rebuilt from S3. A key that
belongs to a tenant carries its name. Sets that list jobs of all tenants have members of the form `<tenant>/<job id>`.
"""

from darkroom.config import settings
from darkroom.contracts.jobs import JobRef
from darkroom.contracts.operations import Operation

_DAY_S = 86_400

#: The beginning of every view's key, to which scripts add the rest; see `view_of` in `scripts/shared/view_of.lua`.
VIEW_PREFIX = "darkroom:job:"

#: Sorted set of the jobs that have not ended, by the time at which sweep checks each (milliseconds since 1970).
#: Bounded: a job leaves it when it ends.
OPEN_JOBS = "darkroom:open"

#: Sorted set of the ended jobs whose leftover outputs are to be removed, by the time from which that is safe.
#: Bounded: a job leaves it when it is cleaned up.
CLEANUPS = "darkroom:cleanups"

#: String: when sweep last recovered due jobs, in milliseconds since 1970. Expires after a day.
LAST_SWEEP = "darkroom:sweep"

#: String: when the latest gap between two such passes ended. Expires when no run can be in flight that began before.
GAP_END = "darkroom:gap"

#: Longest time, in seconds, for which sweep remembers that it looked up an entry of the open index.
LOOKUP_TTL_S = _DAY_S

#: String: a random id of the data in Redis. A new one is made after Redis lost its data.
DATASET_ID = "darkroom:dataset"

#: Sorted set of the tenants with uses of API keys that are not saved in S3, by the time of the first of them.
#: Bounded: a tenant leaves it when they are saved.
UNSAVED_KEY_USES = "darkroom:unsaved-key-uses"

#: The uses of a tenant's keys expire after this time without one, in seconds. They are saved much earlier.
KEY_USES_TTL_S = _DAY_S

#: Hash: how many queued jobs each tenant has, of all operations. Bounded: a tenant without queued jobs is not in it.
QUEUED_COUNTS = "darkroom:queued-counts"

#: Set of the tenants whose usage is not saved in S3. Bounded: a tenant leaves it when it is saved.
CHANGED_USAGE = "darkroom:changed-usage"

#: String: marks that the tenants whose usage is saved in S3 were added to CHANGED_USAGE since Redis lost its data.
LISTED_USAGE = "darkroom:listed-usage"
#: The beginning of the keys of `most_in_flight_of`, to which a script adds the tenant.
MOST_IN_FLIGHT_PREFIX = "darkroom:limit:"

#: A set of slots expires after this time without a job; its members expire earlier, by their scores.
SLOTS_TTL_S = _DAY_S

#: Seconds in which the failed authentications of one address are counted together.
FAILURES_TTL_S = 60

#: Seconds that the mark of an ingested upload is kept beyond the life of the upload form.
_INGESTION_EXTRA_S = 3600


def view_of(job: JobRef) -> str:
    """Hash: the view of a job. Expires `ended_s` after the job's end.

    Until then it expires after the retention, or with the upload form that the job waits for.
    """
    return f"{VIEW_PREFIX}{job.tenant}:{job.job_id}"


def end_channel_of(job: JobRef) -> str:
    """Channel that announces the end of a job. Channels store nothing."""
    return f"darkroom:ended:{job.tenant}:{job.job_id}"


def jobs_of(tenant: str) -> str:
    """Sorted set: the ids of a tenant's latest jobs, which sort by time. It may lack some; the ledger has all.

    Members are removed `listed_s` after the job was created, and the whole set expires then. They also show which jobs
    are counted in the tenant's usage.
    """
    return f"darkroom:jobs:{tenant}"


def queued_jobs_of(operation: Operation) -> str:
    """Sorted set: an operation's queued jobs, by the time at which their ids were made, in milliseconds since 1970.

    Bounded: a job leaves it when it is claimed or ends.
    """
    return f"darkroom:queued:{operation}"


def ready_tenants_of(operation: Operation) -> str:
    """Sorted set: the tenants of `ready_jobs_of`, by the time at which each was served last (milliseconds since 1970).

    Bounded: a tenant leaves it with its last ready job.
    """
    return f"darkroom:ready:{operation}"


def ready_jobs_of(operation: Operation, tenant: str) -> str:
    """Sorted set: a tenant's queued jobs of an operation that may start now, by their turn.

    Bounded: a job leaves it when it gets a slot or ends. `scripts/shared/ready_jobs.lua` makes the same key.
    """
    return f"{ready_tenants_of(operation)}:{tenant}"


def served_tenants_of(operation: Operation) -> str:
    """Sorted set: tenants by the time at which they were served last. Members, and the set, expire after 1 h."""
    return f"darkroom:served:{operation}"


def delayed_jobs_of(operation: Operation) -> str:
    """Sorted set: queued jobs that may not start yet, by the time from which they may (milliseconds since 1970).

    Bounded: a job leaves it at that time, or when it starts or ends.
    """
    return f"darkroom:delayed:{operation}"


def permits_of(operation: Operation) -> str:
    """Hash: for each slot that no run has claimed, the message that got it. Expires like `slots_of`."""
    return f"darkroom:permits:{operation}"


def most_in_flight_of(tenant: str) -> str:
    """String: how many jobs of one operation a tenant may have in flight. Expires after the retention."""
    return f"{MOST_IN_FLIGHT_PREFIX}{tenant}"


def slots_of(operation: Operation) -> str:
    """Sorted set: the attempts that hold a slot of an operation, by the time at which it expires; see SLOTS_TTL_S."""
    return f"darkroom:inflight:{operation}"


def slot_of(job: JobRef, attempt: int) -> str:
    """The member of `slots_of` for one attempt of a job; `slot_of` in `scripts/shared/free_slot.lua` makes the same."""
    return f"{job}:{attempt}"


def freed_slots_of(operation: Operation) -> str:
    """List on which dispatchers block: one entry per freed slot, and per tenant whose jobs become ready.

    At most 100 entries; expires after 60 s.
    """
    return f"darkroom:freed:{operation}"


def file_of(tenant: str, file_id: str) -> str:
    """String: the record of a file as JSON. Expires after `ended_s`, or with its upload form."""
    return f"darkroom:file:{tenant}:{file_id}"


def ingestion_of(tenant: str, file_id: str) -> str:
    """String: marks an upload as ingested. Expires after `ingestion_ttl_s`."""
    return f"darkroom:ingested:{tenant}:{file_id}"


def key_uses_of(tenant: str) -> str:
    """Hash: when each API key of a tenant was last used, in seconds since 1970. See KEY_USES_TTL_S."""
    return f"darkroom:key-uses:{tenant}"


def form_of(tenant: str, file_id: str) -> str:
    """String: the bytes that are reserved for an upload. Expires with its form."""
    return f"darkroom:form:{tenant}:{file_id}"


def usage_of(tenant: str) -> str:
    """Hash: what a tenant uses; see `scripts/shared/usage.lua`. Expires after 40 days without a change.

    Bounded: sweep removes the totals of earlier months and days.
    """
    return f"darkroom:usage:{tenant}"


def requests_of(tenant: str) -> str:
    """String: the token bucket of a tenant's requests. Expires when it is full, after 10 s without a request."""
    return f"darkroom:requests:{tenant}"


def cursor_of(kind: str) -> str:
    """String: how far sweep has read the open index of one kind, as `<cycle> <position>`. One per kind."""
    return f"darkroom:cursor:{kind}"


def lookup_of(tenant: str, identifier: str, written_s: int) -> str:
    """String: marks an entry of the open index, written at a certain time, as looked up. See LOOKUP_TTL_S."""
    return f"darkroom:lookup:{tenant}:{identifier}:{written_s}"


def failures_of(address: str) -> str:
    """String: how many authentications from an address failed. It belongs to no tenant. See FAILURES_TTL_S."""
    return f"darkroom:failures:{address}"


def retention_s() -> int:
    """Seconds for which files, results and the ledger are kept, and the views of open jobs."""
    return settings().retention_days * _DAY_S


def ended_s() -> int:
    """Seconds for which Redis keeps what S3 has too and nobody waits for: ended jobs and files."""
    return min(settings().cache_ended_s, retention_s())


def listed_s() -> int:
    """Seconds for which a job is in the list of its tenant's latest jobs.

    At least as long as an upload form is valid, whose jobs are counted when the upload arrives.
    """
    return max(ended_s(), settings().link_expiry_s + _INGESTION_EXTRA_S)


def ingestion_ttl_s() -> int:
    """Seconds for which the mark of an ingested upload is kept.

    Sweep removes the upload from the index within minutes. Without the mark it ingests it again, which changes nothing.
    """
    return settings().link_expiry_s + _INGESTION_EXTRA_S
