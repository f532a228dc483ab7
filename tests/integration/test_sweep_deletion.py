"""Sweep removes everything that a deleted tenant has, and nothing that another one has."""

import time
from collections.abc import Callable

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Status
from darkroom.contracts.tenants import Tenant, TenantStatus
from darkroom.errors import CacheUnavailableError, StorageUnavailableError
from darkroom.services import s3
from darkroom.services.redis import keys, tenants, views
from darkroom.tenants import deletions, records
from darkroom.timestamps import utc_now
from functions.sweep import deletion
from tests.integration.conftest import MakeJob
from tests.integration.crash_injection import AFTER, BEFORE, CrashInjector, ProcessCrash, inject_crashes
from tests.integration.deleting import (
    OTHERS,
    TENANT,
    begin,
    furnish,
    let_pass,
    objects_of,
    pass_over,
    redis_of,
    tenant_now,
    tombstones,
)
from tests.integration.sweeping import aged_entries, sweep
from tests.support.gateway import call


def test_everything_of_the_tenant_is_removed_and_nothing_of_others(make_job: MakeJob) -> None:
    jobs = furnish(TENANT, make_job)
    for other in OTHERS:
        furnish(other, make_job)
    before = {other: (objects_of(other), redis_of(other)) for other in OTHERS}
    everything = objects_of(TENANT)
    size_bytes = sum(listed.size_bytes for page in s3.pages_after("") for listed in page if listed.key in everything)
    size_bytes -= next(
        listed.size_bytes for page in s3.pages_after("tenants/acme/t") for listed in page
    )  # tenant.json is kept
    begin()

    removed = pass_over()

    assert removed == len(everything) - 1
    assert objects_of(TENANT) == {"tenants/acme/tenant.json", "open/deletions/acme"}
    assert redis_of(TENANT) == tombstones(jobs[1:])
    assert {other: (objects_of(other), redis_of(other)) for other in OTHERS} == before
    progress_made = tenant_now().deletion
    assert progress_made is not None
    assert (progress_made.removed_objects, progress_made.removed_bytes) == (len(everything) - 1, size_bytes)


def test_tenant_is_deleted_only_when_no_form_is_valid_and_no_run_in_flight(make_job: MakeJob) -> None:
    furnish(TENANT, make_job)
    begin()
    sweep()

    sweep()
    assert tenant_now().status is TenantStatus.DELETING, "runs may be in flight"
    let_pass(deletion.QUIET_S + 60)
    sweep()
    assert tenant_now().status is TenantStatus.DELETING, "forms are valid"
    let_pass(3600 + deletion.LAST_REQUEST_S, since_find=False)
    sweep()

    final = tenant_now()
    assert final.status is TenantStatus.DELETED
    assert (final.title, final.deletion and final.deletion.removed_objects) == (None, 15)
    assert final.deleted_at is not None
    assert objects_of(TENANT) == {"tenants/acme/tenant.json"}
    assert deletions.pending() == []
    assert call("GET", "/tenants/acme").json["deletion"]["removed_objects"] == 15


def test_pass_without_time_removes_one_page_and_the_next_goes_on(make_job: MakeJob) -> None:
    furnish(TENANT, make_job)
    everything = objects_of(TENANT)
    begin()

    removed = [deletion.delete_tenants(time.monotonic() - 1) for _ in range(12)]

    assert removed[0] == 3, "the entries of open jobs"
    assert sum(removed) == len(everything) - 1
    assert removed[-1] == 0
    assert objects_of(TENANT) == {"tenants/acme/tenant.json", "open/deletions/acme"}


def test_many_objects_are_removed_in_pages(make_job: MakeJob) -> None:
    furnish(TENANT, make_job)
    for number in range(1100):
        s3.put(f"processed/{TENANT}/many/{number}", b"", media_type="text/plain")
    begin()

    assert sweep()["deleted"] == 1115


def test_every_deletion_has_its_share_of_the_time(make_job: MakeJob) -> None:
    for tenant in (TENANT, "acme-2"):
        furnish(tenant, make_job)
        deletions.begin(tenant)

    assert sweep()["deleted"] == 30
    assert objects_of("acme-2") == {"tenants/acme-2/tenant.json", "open/deletions/acme-2"}


def test_interrupted_request_deletes_nothing(make_job: MakeJob) -> None:
    furnish(TENANT, make_job)
    before = objects_of(TENANT)
    deletions._write_entry(TENANT)
    deletions._write_entry("nobody")

    assert pass_over() == 0
    assert objects_of(TENANT) == before | {"open/deletions/acme"}


def test_entry_of_a_complete_deletion_is_removed() -> None:
    records.create_tenant(Tenant(name=TENANT, status=TenantStatus.DELETED, created_at=utc_now()))
    deletions._write_entry(TENANT)

    sweep()

    assert deletions.pending() == []


def test_entry_of_a_long_deletion_does_not_expire(make_job: MakeJob) -> None:
    furnish(TENANT, make_job)
    begin()
    written = s3.etag_of("open/deletions/acme"), listed_at("open/deletions/acme")
    time.sleep(1.1)  # the resolution of times in listings

    sweep()
    assert (s3.etag_of("open/deletions/acme"), listed_at("open/deletions/acme")) == written
    with aged_entries(86_400):
        sweep()

    assert listed_at("open/deletions/acme") > written[1]


def listed_at(key: str) -> int:
    return next(listed.written_s for page in s3.pages_after(key) for listed in page)


def test_tenant_whose_document_cannot_be_read_stops_no_other_deletion(make_job: MakeJob) -> None:
    furnish("acme-2", make_job)
    deletions.begin("acme-2")
    deletions._write_entry(TENANT)
    s3.put(records.tenant_key(TENANT), b"{}", media_type="application/json")

    done = sweep()

    assert (done["failed"], done["deleted"]) == ([], 15)


@pytest.mark.parametrize("error", [StorageUnavailableError, CacheUnavailableError])
def test_failure_leaves_the_rest_to_the_next_pass(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    furnish(TENANT, make_job)
    begin()

    def fail(*_arguments: object) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(tenants, "forget_files", fail)
        assert sweep()["failed"][0] == "deleted"
    removed = tenant_now().deletion

    assert sweep()["failed"] == []
    assert removed is not None
    assert removed.removed_objects > 0, "what was removed before the failure counts"
    assert objects_of(TENANT) == {"tenants/acme/tenant.json", "open/deletions/acme"}


def delete_completely() -> None:
    """The request, and passes until the tenant is deleted, while time passes."""
    if deletions.begin(TENANT) is None:
        return
    for _ in range(3):
        pass_over()
        if tenant_now().status is TenantStatus.DELETED:
            return
        let_pass(7200)
    pass_over()


def crash(injector: CrashInjector, work: Callable[[], None]) -> bool:
    """Runs one process. Returns whether it crashed."""
    try:
        with inject_crashes(injector, lambda _arguments: None):
            work()
    except ProcessCrash:
        injector.start_process()
        return True
    return False


def test_deletion_that_crashes_at_any_write_is_completed_and_harms_no_other_tenant(make_job: MakeJob) -> None:
    """The request and sweep crash before or after each of their writes, and are repeated."""
    furnish("acme-2", make_job)
    others = objects_of("acme-2"), redis_of("acme-2")
    furnish(TENANT, make_job)
    undisturbed = CrashInjector()
    assert not crash(undisturbed, delete_completely)
    assert len(undisturbed.writes) > 20
    points = [(number, when) for number in range(1, len(undisturbed.writes) + 1) for when in (BEFORE, AFTER)]

    for number, when in points[:1] + [point for point in points if point[1] == AFTER]:
        forget_everything()
        furnish(TENANT, make_job)
        injector = CrashInjector(number, when)
        assert crash(injector, delete_completely), (number, when)

        repeat_until_deleted()

        where = f"crashed {when} write {number}: {injector.crashed_write}"
        assert tenant_now().status is TenantStatus.DELETED, where
        assert objects_of(TENANT) == {"tenants/acme/tenant.json"}, where
        assert {name for name in redis_of(TENANT) if not name.startswith(keys.VIEW_PREFIX)} == set(), where
        assert (objects_of("acme-2"), redis_of("acme-2")) == others, where


def forget_everything() -> None:
    s3.delete(list(objects_of(TENANT)))


def repeat_until_deleted() -> None:
    """What the operator and the schedule do after a crash."""
    if tenant_now().status is TenantStatus.ACTIVE:
        begin()
    for _ in range(3):
        if tenant_now().status is TenantStatus.DELETING:
            let_pass(7200)
        pass_over()


def test_job_that_ended_before_is_forgotten_at_once(make_job: MakeJob) -> None:
    completed, running, *_ = furnish(TENANT, make_job)

    assert tenants.forget_jobs(TENANT, [completed.job_id, running.job_id, ids.new_id()]) == 2
    assert tenants.forget_jobs(TENANT, [completed.job_id, running.job_id]) == 0
    assert views.fetch(completed.ref) is None
    view = views.fetch(running.ref)
    assert view is not None
    assert view.status is Status.CANCELED
