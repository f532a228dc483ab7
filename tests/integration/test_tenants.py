"""Two tenants whose jobs and files have the same ids: each sees only its own, with the real services.

What a tenant can do to another one with requests is in test_isolation.py.
"""

import threading
from dataclasses import dataclass

import pytest

from api import file_records, idempotency, job_list, job_lookup
from api.job_list import JobFilter
from darkroom import ids
from darkroom.contracts.jobs import Job, Status
from darkroom.jobs import acceptance, ledger, lifecycle, open_index, uploads
from darkroom.jobs.open_index import Kind
from darkroom.services import s3
from darkroom.services.redis import files, keys, open_jobs, reconciliation, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.reconciliation import Presence
from tests.integration.api_jobs import JPEG
from tests.integration.conftest import PNG, MakeJob
from tests.integration.redis_jobs import RESIZE, acquire, claim, finish, result_for
from tests.integration.sweeping import aged_entries, sweep

OURS, THEIRS = "ours", "theirs"


@dataclass(frozen=True)
class Twins:
    """Two accepted jobs with the same id on files with the same id."""

    ours: Job
    theirs: Job


@pytest.fixture
def twins(make_job: MakeJob) -> Twins:
    file_id, job_id = ids.new_id(), ids.new_id()
    jobs = [make_job(job_id=job_id, file_id=file_id, tenant=tenant) for tenant in (OURS, THEIRS)]
    for job, content in zip(jobs, (PNG, JPEG), strict=True):
        key = uploads.key_of(job.tenant, file_id)
        s3.put(key, content, media_type="image/*", metadata=uploads.metadata_of(f"{job.tenant}.png", []))
        acceptance.accept(job)
    return Twins(*jobs)


def status_of(job: Job) -> Status:
    return job_lookup.find_job_view(job.ref).status


def listed(tenant: str) -> list[Job]:
    return [view.job for view in job_list.find_jobs(tenant, before=None, limit=10, wanted=JobFilter()).views]


def test_end_of_a_job_does_not_end_that_of_another_tenant(twins: Twins) -> None:
    lifecycle.end(twins.ours, lifecycle.canceled_result(twins.ours, attempt=0))

    assert (status_of(twins.ours), status_of(twins.theirs)) == (Status.CANCELED, Status.QUEUED)
    assert ledger.read_result(twins.theirs.ref) is None
    assert open_jobs.due(10, as_of_ms=10**15) == [twins.theirs.ref]
    assert views.count_queued(RESIZE) == 1
    assert reconciliation.presences([twins.ours.ref, twins.theirs.ref]) == [Presence.ENDED, Presence.OPEN]


def test_each_tenant_lists_its_own_jobs(twins: Twins, make_job: MakeJob) -> None:
    newer = make_job(tenant=THEIRS)
    acceptance.accept(newer)

    for in_redis in (True, False):
        assert listed(OURS) == [twins.ours]
        assert listed(THEIRS) == [newer, twins.theirs]
        assert listed("nobody") == [], in_redis
        redis_client().flushdb()


def test_each_tenant_reads_its_own_files(twins: Twins) -> None:
    file_id = twins.ours.source.file_id
    for _ in ("from S3", "from Redis"):
        assert file_records.find_file_record(OURS, file_id)["name"] == "ours.png"
        assert file_records.find_file_record(THEIRS, file_id)["name"] == "theirs.png"
    files.mark_ingested(OURS, file_id, size_bytes=1, written_s=0)
    for tenant in (OURS, THEIRS):
        open_index.add_upload(tenant, file_id)

    waiting = files.not_ingested([entry for page in open_index.pages(Kind.UPLOADS, "") for entry in page])

    assert [entry.tenant for entry in waiting] == [THEIRS]


def test_runs_of_both_tenants_hold_slots_and_leases_of_their_own(twins: Twins) -> None:
    assert acquire(twins.ours, limit=2) is slots.Slot.ACQUIRED
    assert acquire(twins.theirs, limit=2) is slots.Slot.ACQUIRED
    assert claim(twins.ours, run="our-run").job == twins.ours
    assert claim(twins.theirs, run="their-run").job == twins.theirs

    finish(twins.ours, run="our-run")

    assert slots.in_flight()[RESIZE] == 1
    assert acquire(twins.ours, limit=2) is slots.Slot.ENDED
    assert acquire(twins.theirs, limit=2) is slots.Slot.STALE
    assert status_of(twins.theirs) is Status.RUNNING


def test_client_that_waits_hears_of_the_end_of_its_own_job_only(twins: Twins) -> None:
    ends = [threading.Timer(delay_s, finish, [job]) for delay_s, job in ((0.1, twins.theirs), (0.4, twins.ours))]
    for end in ends:
        end.start()

    view = views.wait_for_end(twins.ours.ref, 10)

    for end in ends:
        end.join()
    assert view is not None
    assert (view.status, view.job) == (Status.COMPLETED, twins.ours)


def test_place_in_the_queue_counts_the_jobs_of_its_own_tenant(make_job: MakeJob) -> None:
    made = [
        make_job(tenant=tenant, job_id=ids.new_id(ids.created_ms(ids.new_id()) - age_ms))
        for age_ms, tenant in ((2_000, "z"), (3_000, "a"), (1_000, "z"))
    ]
    for job in made:
        views.create(job)

    assert [views.position_in_queue(job.ref, RESIZE) for job in made] == [1, 1, 2]
    assert open_jobs.oldest_queued()[RESIZE] == made[1].ref
    claim(made[0])
    assert [views.position_in_queue(job.ref, RESIZE) for job in made] == [None, 1, 1]


def test_sweep_restores_and_recovers_the_jobs_of_every_tenant(twins: Twins) -> None:
    redis_client().flushdb()
    lifecycle.end(twins.ours, lifecycle.canceled_result(twins.ours, attempt=0))
    redis_client().flushdb()

    with aged_entries(3600):
        assert sweep()["restored"] == 2

    assert (status_of(twins.ours), status_of(twins.theirs)) == (Status.CANCELED, Status.QUEUED)


def test_sweep_cleans_up_the_outputs_of_the_tenant_whose_job_ended(twins: Twins) -> None:
    left = [f"{lifecycle.outputs_prefix(job)}dead/a.png" for job in (twins.ours, twins.theirs)]
    for key in left:
        s3.put(key, b"a", media_type="image/png")
    lifecycle.end(twins.ours, result_for(twins.ours, Status.FAILED))
    redis_client().zadd(keys.CLEANUPS, {str(twins.ours.ref): 0})

    assert sweep()["cleaned"] == 1

    assert [s3.exists(key) for key in left] == [False, True]


def test_idempotency_key_of_another_tenant_is_another_key() -> None:
    ours = idempotency.reserve_ids(OURS, "order-4711", b"a request", 1)
    theirs = idempotency.reserve_ids(THEIRS, "order-4711", b"another request", 1)

    assert ours.identifiers != theirs.identifiers
    assert idempotency.reserve_ids(OURS, "order-4711", b"a request", 1).identifiers == ours.identifiers
