"""What still happens for a tenant while it is deleted: runs, messages, uploads, requests. It leaves nothing."""

import pytest

from darkroom import ids
from darkroom.contracts.jobs import AttachedJob
from darkroom.contracts.tenants import Tenant, TenantStatus
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.services import rabbitmq, s3
from darkroom.services.redis import keys, slots
from darkroom.services.redis.client import redis_client
from darkroom.tenants import records
from darkroom.timestamps import utc_now
from functions.ingest import app as ingest
from functions.settle import app as settle
from functions.sweep import deletion
from tests.integration.conftest import PNG, MakeJob, Take
from tests.integration.deleting import (
    RESIZE,
    TENANT,
    begin,
    begin_with,
    furnish,
    let_pass,
    objects_of,
    redis_of,
    tenant_now,
)
from tests.integration.redis_jobs import acquire, progress
from tests.integration.runs import run, settle_at_once
from tests.integration.sweeping import sweep
from tests.support.gateway import acting_as, call


def test_whatever_is_written_late_is_removed_and_makes_the_deletion_wait_again(make_job: MakeJob) -> None:
    job = furnish(TENANT, make_job)[1]
    begin()
    sweep()
    let_pass(7200)
    ledger.write_result(job.ref, lifecycle.canceled_result(job, attempt=1))

    assert sweep()["deleted"] == 1
    sweep()

    assert ledger.read_result(job.ref) is None
    assert tenant_now().status is TenantStatus.DELETING
    let_pass(deletion.QUIET_S + 1)
    sweep()
    assert tenant_now().status is TenantStatus.DELETED


def test_view_that_a_late_run_restored_is_removed(make_job: MakeJob) -> None:
    begin_with(make_job)
    job = make_job(tenant=TENANT)
    let_pass(7200)
    lifecycle.restore(job, lifecycle.canceled_result(job, attempt=1))
    ledger_is_empty = not list(s3.keys_after(f"ledger/{TENANT}/"))

    sweep()

    assert ledger_is_empty
    assert redis_of(TENANT) == set()
    assert tenant_now().status is TenantStatus.DELETING, "a run has just ended"


def test_running_job_is_stopped_and_its_slot_is_free(make_job: MakeJob) -> None:
    running = furnish(TENANT, make_job)[1]
    begin()
    assert progress(running, "run-1", 0.5)

    sweep()

    assert not progress(running, "run-1", 0.6)
    assert slots.in_flight()[RESIZE] == 0
    assert redis_client().ttl(keys.view_of(running.ref)) > 60


def test_message_of_a_queued_job_starts_nothing(make_job: MakeJob) -> None:
    queued = furnish(TENANT, make_job)[2]
    begin()
    sweep()

    with settle_at_once() as reports:
        outcome = run(queued)

    assert (outcome, reports) == ("ended", [])
    assert slots.in_flight()[RESIZE] == 0


def test_message_of_a_job_that_nobody_knows_any_more_is_dropped(make_job: MakeJob, take: Take) -> None:
    queued = begin_with(make_job)[2]

    assert acquire(queued, limit=10) is slots.Slot.ACQUIRED
    with settle_at_once() as reports:
        outcome = run(queued)

    assert (outcome, len(reports)) == ("missing", 1)
    assert settle.handler(reports[0], None) == {"outcome": "deleted"}
    assert take(rabbitmq.PARKED_QUEUE) is None
    assert slots.in_flight()[RESIZE] == 0
    assert objects_of(TENANT) == {"tenants/acme/tenant.json", "open/deletions/acme"}


def test_message_of_an_unknown_job_of_an_active_tenant_is_parked(make_job: MakeJob, take: Take) -> None:
    records.create_tenant(Tenant(name=TENANT, status=TenantStatus.ACTIVE, created_at=utc_now()))

    with settle_at_once():
        run(make_job(tenant=TENANT))

    assert take(rabbitmq.PARKED_QUEUE) is not None


@pytest.mark.parametrize("status", [TenantStatus.DELETING, TenantStatus.DELETED])
def test_upload_with_a_form_that_is_still_valid_is_removed_and_starts_no_job(status: TenantStatus) -> None:
    records.create_tenant(Tenant(name=TENANT, status=status, created_at=utc_now()))
    file_id, job = ids.new_id(), AttachedJob(job_id=ids.new_id(), operation=RESIZE, params={"width": 10})
    key = uploads.key_of(TENANT, file_id)
    s3.put(key, PNG, media_type="image/png", metadata=uploads.metadata_of("a.png", [job]))

    done = ingest.handler({"Records": [{"s3": {"object": {"key": key}}}]}, None)

    assert done == {"accepted": 0}
    assert objects_of(TENANT) == {"tenants/acme/tenant.json"}
    assert redis_of(TENANT) == set()


def test_upload_of_a_suspended_tenant_is_ingested() -> None:
    records.create_tenant(Tenant(name=TENANT, status=TenantStatus.SUSPENDED, created_at=utc_now()))
    file_id, job = ids.new_id(), AttachedJob(job_id=ids.new_id(), operation=RESIZE, params={"width": 10})
    key = uploads.key_of(TENANT, file_id)
    s3.put(key, PNG, media_type="image/png", metadata=uploads.metadata_of("a.png", [job]))

    assert ingest.handler({"Records": [{"s3": {"object": {"key": key}}}]}, None) == {"accepted": 1}


def test_requests_of_the_tenant_may_still_write_until_they_are_refused(make_job: MakeJob) -> None:
    """The authorizer's answer is cached: a request after the deletion has begun is carried out, and then undone."""
    furnish(TENANT, make_job)
    begin()
    sweep()
    with acting_as(TENANT):
        reply = call("POST", "/uploads", json_body={"name": "a.png", "media_type": "image/png", "jobs": [ATTACHED]})
    assert reply.status == 201

    assert sweep()["deleted"] == 1
    assert objects_of(TENANT) == {"tenants/acme/tenant.json", "open/deletions/acme"}


ATTACHED = {"operation": "resize", "params": {"width": 10}}
