"""Removes what tenants that are being deleted still have, in S3 and in Redis.

A tenant is deleted once a whole pass has found nothing, when no run of it can be in flight any more and no upload form
of it is valid. Every pass lists all its folders, so whatever interrupts one, a later one completes its work.
"""

import random
import time
from collections.abc import Callable, Sequence

from darkroom.config import settings
from darkroom.contracts.tenants import Tenant, TenantStatus
from darkroom.errors import InternalError, ServiceError
from darkroom.log import logger
from darkroom.services import s3
from darkroom.services.redis import deadlines, tenants
from darkroom.services.redis.reconciliation import Written
from darkroom.tenants import deletions, records
from darkroom.tenants.deletions import PendingDeletion
from darkroom.timestamps import epoch_ms

#: Seconds after the beginning of a deletion within which requests of the tenant may still be carried out: the
#: authorizer's answer is cached for 45 s, and a request takes at most 30 s.
LAST_REQUEST_S = 120

#: Seconds without a find after which no run of the tenant is in flight: each began before its job was removed.
QUIET_S = deadlines.LONGEST_RUN_S + deadlines.LEASE_GRACE_S + 60

#: Jobs in the lists of Redis that are handled together.
_LISTED_JOBS = 1_000


def delete_tenants(deadline: float) -> int:
    """Removes objects of tenants until the deadline on the monotonic clock. Returns how many."""
    entries = deletions.pending()
    random.shuffle(entries)  # so that each has its turn, even if the time never suffices for all
    removed = 0
    for number, entry in enumerate(entries):
        now = time.monotonic()
        if number and now > deadline:
            break
        removed += _advance(entry, now + max(0.0, deadline - now) / (len(entries) - number))
    return removed


def _advance(entry: PendingDeletion, deadline: float) -> int:
    try:
        tenant = deletions.fetch_tenant(entry.tenant)
    except InternalError as error:
        logger().error("skipped unreadable record", extra={"tenant": entry.tenant, "reason": error.message})
        return 0
    if tenant is None or not tenant.is_deleted:
        return 0  # the request that wrote the entry was interrupted, or has not gone on yet; the entry expires
    if tenant.status is TenantStatus.DELETED:
        deletions.drop(entry)
        return 0
    deletions.keep(entry)
    removal = _Removal(tenant.name, deadline)
    try:
        is_complete = removal.run()
    except ServiceError:
        if time.monotonic() < deadline:
            removal.report()
        raise
    removal.report()
    if is_complete and not removal.has_found and _may_end(tenant):
        deletions.complete(entry)
    return removal.removed_objects


def _may_end(tenant: Tenant) -> bool:
    """Whether nothing can be written any more for the tenant."""
    if tenant.deleting_at is None or tenant.deletion is None:
        return False
    forms_expire_s = epoch_ms(tenant.deleting_at) / 1000 + LAST_REQUEST_S + settings().link_expiry_s
    runs_end_s = epoch_ms(tenant.deletion.found_at) / 1000 + QUIET_S
    return time.time() > max(forms_expire_s, runs_end_s)


class _Removal:
    """One pass over everything that a tenant has."""

    def __init__(self, tenant: str, deadline: float) -> None:
        self.has_found = False
        self.removed_objects = 0
        self.removed_bytes = 0
        self._tenant = tenant
        self._deadline = deadline

    def run(self) -> bool:
        """Removes what is found, until the deadline but at least one page. Returns whether that was everything.

        What restores jobs comes first, and what Redis knows of an object before the object, without which nobody
        could find it.
        """
        tenant = self._tenant
        return (
            self._remove(f"open/jobs/{tenant}/", self._forget_open_jobs)
            and self._remove(f"open/uploads/{tenant}/", tenants.forget_lookups)
            and self._remove(f"ledger/{tenant}/", self._forget_jobs)
            and self._forget_listed_jobs()
            and self._remove(f"uploads/{tenant}/", self._forget_files)
            and self._remove(f"processed/{tenant}/")
            and self._remove(f"work/{tenant}/")
            and self._remove(f"work/idempotency/{tenant}/")
            and self._remove(f"usage/{tenant}/")
            and self._remove(records.links_prefix(tenant))
            and self._remove(records.tenant_prefix(tenant), kept=records.tenant_key(tenant))
        )

    def report(self) -> None:
        """Records how much was removed, and logs it."""
        if self.removed_objects:
            deletions.record_removed(self._tenant, self.removed_objects, self.removed_bytes)
            details = {"tenant": self._tenant, "objects": self.removed_objects, "bytes": self.removed_bytes}
            logger().info("removed objects of a tenant", extra=details)

    def _remove(self, folder: str, forget: Callable[[Sequence[Written]], object] | None = None, kept: str = "") -> bool:
        for page in s3.pages_after(folder):
            found = [listed for listed in page if listed.key != kept]
            if found:
                self._note_find()
                if forget is not None:
                    forget([self._written(folder, listed) for listed in found])
                s3.delete([listed.key for listed in found])
                self.removed_objects += len(found)
                self.removed_bytes += sum(listed.size_bytes for listed in found)
                if time.monotonic() > self._deadline:
                    return False
        return True

    def _written(self, folder: str, listed: s3.ListedObject) -> Written:
        identifier = listed.key.removeprefix(folder).partition("/")[0]
        return Written(self._tenant, identifier, listed.written_s, listed.age_s)

    def _note_find(self) -> None:
        """Records the find before anything is removed, since the end of the deletion depends on it."""
        if not self.has_found:
            deletions.record_find(self._tenant)
            self.has_found = True

    def _forget_open_jobs(self, entries: Sequence[Written]) -> None:
        self._forget_jobs(entries)
        tenants.forget_lookups(entries)

    def _forget_jobs(self, records_of_jobs: Sequence[Written]) -> None:
        tenants.forget_jobs(self._tenant, sorted({record.identifier for record in records_of_jobs}))

    def _forget_files(self, files: Sequence[Written]) -> None:
        tenants.forget_files(self._tenant, [file.identifier for file in files])

    def _forget_listed_jobs(self) -> bool:
        """Removes the jobs that Redis alone knows: a run that ended after its job was removed has shown it again."""
        while job_ids := tenants.listed_jobs(self._tenant, _LISTED_JOBS):
            self._note_find()
            tenants.forget_jobs(self._tenant, job_ids)
            if time.monotonic() > self._deadline:
                return False
        tenants.forget_tenant(self._tenant)
        return True
