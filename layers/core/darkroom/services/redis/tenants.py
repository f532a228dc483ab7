"""Removes what Redis has of a tenant that is deleted."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import cast

from darkroom.contracts.jobs import JobRef
from darkroom.contracts.operations import Operation
from darkroom.services.redis import deadlines, keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.reconciliation import Written
from darkroom.services.redis.script_runner import run_script

#: Jobs that one call of the script handles: some milliseconds, in which Redis does nothing else.
_BATCH = 200

#: Members of a sorted set that are read with one request.
_SCANNED_AT_ONCE = 1_000

#: Seconds for which the view of a job that has not ended is kept, canceled. By then none of its runs is in flight.
_STOP_S = deadlines.LONGEST_RUN_S + deadlines.LEASE_GRACE_S


def listed_jobs(tenant: str, limit: int) -> list[str]:
    """The ids of up to `limit` jobs of a tenant that are in the lists of jobs.

    That of the tenant's latest jobs lacks those that were restored; the others are read as a whole.
    """
    with map_redis_errors():
        found = set(cast(list[str], redis_client().zrange(keys.jobs_of(tenant), 0, limit - 1)))
        for name in (keys.OPEN_JOBS, keys.CLEANUPS):
            members = redis_client().zscan_iter(name, match=f"{tenant}/*", count=_SCANNED_AT_ONCE)
            found |= {JobRef.parse(member).job_id for member, _ in islice(members, limit)}
    return sorted(found)[:limit]


def forget_jobs(tenant: str, job_ids: Sequence[str]) -> int:
    """Removes jobs of a tenant, stops their runs and frees their slots. Returns how many of them Redis knew."""
    operations = [
        [
            keys.queued_jobs_of(each),
            keys.ready_tenants_of(each),
            keys.delayed_jobs_of(each),
            keys.slots_of(each),
            keys.freed_slots_of(each),
            keys.permits_of(each),
        ]
        for each in Operation
    ]
    known = 0
    for start in range(0, len(job_ids), _BATCH):
        known += run_script(
            "forget_tenant_jobs",
            [keys.jobs_of(tenant), keys.OPEN_JOBS, keys.CLEANUPS, keys.QUEUED_COUNTS],
            [
                tenant,
                json.dumps(list(job_ids[start : start + _BATCH])),
                keys.VIEW_PREFIX,
                json.dumps(operations),
                _STOP_S,
            ],
        )
    return known


def forget_files(tenant: str, file_ids: Sequence[str]) -> int:
    """Removes the records of files of a tenant. Returns how many keys that were."""
    kinds = (keys.file_of, keys.ingestion_of, keys.form_of)
    return _delete([key_of(tenant, file_id) for file_id in file_ids for key_of in kinds])


def forget_lookups(entries: Sequence[Written]) -> int:
    """Removes the marks of entries of the open index that were looked up. Returns how many that were."""
    return _delete([keys.lookup_of(entry.tenant, entry.identifier, entry.written_s) for entry in entries])


def forget_tenant(tenant: str) -> int:
    """Removes what belongs to a tenant and to none of its jobs or files. Returns how many keys that were."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        pipe.zrem(keys.UNSAVED_KEY_USES, tenant)
        pipe.srem(keys.CHANGED_USAGE, tenant)
        pipe.hdel(keys.QUEUED_COUNTS, tenant)
        for operation in Operation:
            pipe.zrem(keys.ready_tenants_of(operation), tenant)
            pipe.zrem(keys.served_tenants_of(operation), tenant)
        pipe.execute()
    kinds = (keys.jobs_of, keys.key_uses_of, keys.most_in_flight_of, keys.usage_of, keys.requests_of)
    ready = [keys.ready_jobs_of(operation, tenant) for operation in Operation]
    return _delete([*(key_of(tenant) for key_of in kinds), *ready])


def _delete(names: Sequence[str]) -> int:
    if not names:
        return 0
    with map_redis_errors():
        return redis_client().unlink(*names)
