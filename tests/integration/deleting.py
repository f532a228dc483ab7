"""A tenant that has one of everything, and its deletion: what the tests of this share."""

import time
from typing import Any

from darkroom import ids
from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Quotas, Scope, Tenant, TenantStatus
from darkroom.jobs import acceptance, lifecycle, open_index, uploads
from darkroom.jobs.usage import usage_key
from darkroom.services import s3
from darkroom.services.redis import files, key_uses, keys, views
from darkroom.services.redis.client import redis_client
from darkroom.tenants import api_keys, deletions, records
from darkroom.timestamps import epoch_ms, iso_utc, utc_now
from functions.sweep import deletion
from tests.integration.conftest import PNG, MakeJob
from tests.integration.redis_jobs import acquire, claim
from tests.integration.runs import run
from tests.integration.sweeping import sweep

RESIZE = Operation.RESIZE

#: The tenant that is deleted, and others whose names begin with its name, or are the beginning of it.
TENANT = "acme"
OTHERS = ("acme-2", "acmeb", "acm", "default")

#: The sorted sets of an operation that list jobs of all tenants, or tenants.
SHARED = (
    keys.queued_jobs_of,
    keys.ready_tenants_of,
    keys.served_tenants_of,
    keys.delayed_jobs_of,
    keys.slots_of,
)


def furnish(tenant: str, make_job: MakeJob) -> list[Job]:
    """Gives a tenant one of everything. Returns its jobs: completed, running, queued, awaiting its upload."""
    records.create_tenant(Tenant(name=tenant, status=TenantStatus.ACTIVE, created_at=utc_now(), title="Title"))
    records.write_quotas(records.quotas_key(tenant), Quotas(requests_per_s=7))
    key = api_keys.create_key(tenant, "local", name="shop", scopes=[Scope.READ], now_s=time.time()).key
    records.create_api_key(key)
    key_uses.note(tenant, key.key_id)
    s3.put(f"{records.links_prefix(tenant)}link.json", b"{}", media_type="application/json")
    file_id = ids.new_id()
    s3.put(uploads.key_of(tenant, file_id), PNG, media_type="image/png", metadata=uploads.metadata_of("a.png", []))
    files.save_record(tenant, file_id, {"file_id": file_id})
    files.mark_ingested(tenant, file_id, size_bytes=len(PNG), written_s=int(time.time()))
    completed, running, queued, awaited = (make_job(RESIZE, file_id, tenant=tenant) for _ in range(4))
    for job in (completed, running, queued):
        acceptance.accept(job)
    run(completed)
    acquire(running, limit=10)
    claim(running)
    s3.put(f"{lifecycle.outputs_prefix(running)}run-1/half.png", PNG, media_type="image/png")
    open_index.add_upload(tenant, awaited.source.file_id)
    views.await_upload(awaited, expires_s=3600)
    s3.put(usage_key(tenant, "2026-10"), b"{}", media_type="application/json")
    s3.put(f"work/idempotency/{tenant}/0123", b"{}", media_type="application/json")
    s3.put(f"work/{tenant}/{queued.job_id}/piece", b"piece", media_type="video/mp4")
    return [completed, running, queued, awaited]


def objects_of(tenant: str) -> set[str]:
    """The keys of all objects that belong to a tenant."""
    return {key for key in s3.keys_after("") if tenant in key.split("/")}


def redis_of(tenant: str) -> set[str]:
    """The keys, and the members of shared sets, that belong to a tenant."""
    redis: Any = redis_client()
    own = {key for key in redis.scan_iter("*", count=1000) if tenant in key.split(":")}
    shared = [keys.OPEN_JOBS, keys.CLEANUPS, keys.UNSAVED_KEY_USES]
    shared += [name(operation) for operation in Operation for name in SHARED]
    hashes = {
        f"{name} {member}"
        for name in (keys.QUEUED_COUNTS, *map(keys.permits_of, Operation))
        for member in redis.hkeys(name)
        if member.split("/")[0] == tenant
    }
    hashes |= {f"{name} {tenant}" for name in (keys.CHANGED_USAGE,) if redis.sismember(name, tenant)}
    members = {
        f"{name} {member}" for name in shared for member in redis.zrange(name, 0, -1) if member.split("/")[0] == tenant
    }
    return own | hashes | members


def tombstones(jobs: list[Job]) -> set[str]:
    """What Redis keeps for some minutes of jobs that had not ended."""
    return {keys.view_of(job.ref) for job in jobs}


def begin() -> None:
    """The request of the operator."""
    assert deletions.begin(TENANT) is not None


def pass_over() -> int:
    """This step of sweep alone, with enough time."""
    return deletion.delete_tenants(time.monotonic() + 60)


def let_pass(seconds: float, *, since_find: bool = True) -> None:
    """Moves the times of the deletion back, as if this time had passed."""

    def earlier(text: str | None) -> str:
        assert text is not None
        return iso_utc(epoch_ms(text) / 1000 - seconds)

    def aged(tenant: Tenant) -> Tenant:
        assert tenant.deletion is not None
        found_at = earlier(tenant.deletion.found_at) if since_find else tenant.deletion.found_at
        changed = tenant.deletion.model_copy(update={"found_at": found_at})
        return tenant.model_copy(update={"deleting_at": earlier(tenant.deleting_at), "deletion": changed})

    assert records.change_tenant(TENANT, aged) is not None


def tenant_now() -> Tenant:
    """The tenant as it is stored."""
    found = records.read_tenant(TENANT)
    assert found is not None
    return found


def begin_with(make_job: MakeJob) -> list[Job]:
    """A tenant whose objects were removed, and its jobs. Redis has forgotten them."""
    jobs = furnish(TENANT, make_job)
    begin()
    sweep()
    redis_client().delete(*tombstones(jobs))
    return jobs
