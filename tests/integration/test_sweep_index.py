"""Sweep restores the view of every job in the index of open jobs, and removes the entries of ended jobs."""

import time
from typing import Any

import pytest

from darkroom.contracts.jobs import Job, JobRef, Status
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import acceptance, ledger, lifecycle, open_index
from darkroom.jobs.open_index import Kind
from darkroom.services import aws, s3
from darkroom.services.redis import deadlines, keys, leases, reconciliation, views
from darkroom.services.redis.client import redis_client
from functions.sweep import app, lookups, reconciling
from tests.integration.conftest import BreakService, MakeJob, Take, view_of
from tests.integration.sweeping import (
    aged_entries,
    id_of_age,
    let_looked_up_marks_expire,
    open_entries,
    result_for,
    sweep,
    write_to_s3,
)
from tests.support.tenants import ref_of


@pytest.fixture
def old_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of the index count as old enough to be looked up."""
    monkeypatch.setattr(reconciling, "ACCEPTING_S", -10)  # ages are in whole seconds


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a listing has one object."""
    pages_after = s3.pages_after

    def one_by_one(prefix: str, start_after: str = "") -> Any:
        for page in pages_after(prefix, start_after):
            yield from ([listed] for listed in page)

    monkeypatch.setattr(s3, "pages_after", one_by_one)


@pytest.mark.usefixtures("old_entries")
def test_job_that_is_only_in_s3_gets_a_view_and_is_queued(
    make_job: MakeJob, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "REPORT_WITHIN_S", 0)
    job = make_job()
    write_to_s3(job)

    assert sweep()["restored"] == 1

    assert view_of(job.job_id).status is Status.QUEUED
    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert sweep()["restored"] == 0


def test_new_job_is_not_restored_because_its_acceptance_may_be_in_progress(make_job: MakeJob) -> None:
    job = make_job()
    write_to_s3(job)

    assert sweep()["restored"] == 0
    assert views.fetch(job.ref) is None


@pytest.mark.usefixtures("old_entries")
@pytest.mark.parametrize("hours", [1, 100])
def test_job_is_found_however_old_its_id_is(make_job: MakeJob, hours: int) -> None:
    acceptance.accept(make_job())
    sweep()
    job = make_job(job_id=id_of_age(hours * 3600))
    write_to_s3(job)

    assert sweep()["restored"] == 1


@pytest.mark.usefixtures("old_entries")
def test_key_that_is_used_again_after_hours_brings_the_job_back_into_sight(
    make_job: MakeJob, break_service: BreakService
) -> None:
    job = make_job(job_id=id_of_age(2 * 3600))
    ledger.write_job(job)  # its entry was removed, or its acceptance ended here
    break_service("cache")

    assert not acceptance.accept(job)

    assert open_entries() == [job.job_id]


@pytest.mark.usefixtures("old_entries")
def test_open_jobs_are_restored_and_ended_ones_are_not_after_redis_lost_its_data(make_job: MakeJob) -> None:
    ended, queued = make_job(), make_job()
    for job in (ended, queued):
        acceptance.accept(job)
    lifecycle.end(ended, result_for(ended))
    sweep()
    redis_client().flushdb()

    assert sweep()["restored"] == 1

    assert views.fetch(ended.ref) is None
    assert views.fetch(queued.ref) is not None


@pytest.mark.usefixtures("old_entries")
def test_run_in_flight_gets_its_job_back_after_redis_lost_its_data_and_no_second_run_is_started(
    make_job: MakeJob, take: Take
) -> None:
    job = make_job()
    write_to_s3(job)  # its message was delivered
    redis_client().flushdb()

    assert sweep()["restored"] == 1

    assert take("darkroom.resize") is None
    assert leases.report_progress(job, "run-1", 0.5, attempt=1, lease_ms=60_000)
    assert view_of(job.job_id).status is Status.RUNNING


@pytest.mark.usefixtures("old_entries")
def test_slow_storage_takes_no_time_from_the_other_steps(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        write_to_s3(make_job())
    read_job = ledger.read_job

    def read_slowly(job: JobRef) -> Job | None:
        time.sleep(0.2)
        return read_job(job)

    monkeypatch.setattr(ledger, "read_job", read_slowly)
    monkeypatch.setattr(aws, "PARALLEL_CALLS", 1)
    began = time.monotonic()

    done = sweep(remaining_ms=app.RESERVE_MS + 2_000)

    assert time.monotonic() - began < 4
    assert 0 < done["restored"] < 30
    assert done["restored"] + sweep()["restored"] == 30


def test_entry_of_an_ended_job_is_removed_and_those_of_open_jobs_stay(make_job: MakeJob) -> None:
    queued, running, ended = make_job(), make_job(), make_job()
    for job in (queued, running, ended):
        acceptance.accept(job)
    leases.claim(running.ref, running.operation, attempt=1, run="run-1", lease_ms=60_000)
    lifecycle.end(ended, result_for(ended))

    sweep()

    assert open_entries() == sorted([queued.job_id, running.job_id])


@pytest.mark.usefixtures("old_entries")
def test_entry_stays_until_leftover_outputs_are_removed_even_if_redis_loses_its_data(make_job: MakeJob) -> None:
    job = make_job()
    acceptance.accept(job)
    leases.claim(job.ref, job.operation, attempt=1, run="dead", lease_ms=1)
    s3.put(f"{lifecycle.outputs_prefix(job)}dead/a.png", b"a", media_type="image/png")
    lifecycle.end(job, result_for(job, Status.FAILED, run="other"))
    sweep()
    redis_client().flushdb()

    sweep()

    assert open_entries() == [job.job_id]
    redis_client().zadd(keys.CLEANUPS, {str(job.ref): 0})
    assert sweep()["cleaned"] == 1
    sweep()
    assert open_entries() == []
    assert list(s3.keys_after(lifecycle.outputs_prefix(job))) == []


@pytest.mark.usefixtures("old_entries")
def test_entry_of_a_job_that_was_never_accepted_is_looked_up_rarely_and_removed_in_the_end(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    open_index.add_job(job.tenant, job.job_id)
    reads: list[JobRef] = []
    read_job = ledger.read_job

    def read_and_count(job: JobRef) -> Job | None:
        reads.append(job)
        return read_job(job)

    monkeypatch.setattr(ledger, "read_job", read_and_count)

    with aged_entries(3600):
        for _ in range(3):
            sweep()

        assert reads == [job.ref]
        assert open_entries() == [job.job_id]
        let_looked_up_marks_expire(3600)
    with aged_entries(reconciling.ABANDONED_S + 60):
        sweep()
    assert open_entries() == []


@pytest.mark.usefixtures("old_entries")
def test_entry_that_is_written_again_is_looked_up_at_once(make_job: MakeJob) -> None:
    job = make_job()
    open_index.add_job(job.tenant, job.job_id)
    with aged_entries(3600):
        assert sweep()["restored"] == 0

    write_to_s3(job)

    assert sweep()["restored"] == 1


@pytest.mark.usefixtures("old_entries", "small_pages")
def test_pass_that_is_cut_short_continues_in_the_next_one_and_never_goes_back(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [make_job(job_id=id_of_age(minutes * 60)) for minutes in (3, 2, 1)]
    for job in jobs:
        write_to_s3(job)
    seen: list[tuple[int, str]] = []
    move_cursor = reconciliation.move_cursor

    def move_and_record(cursor: reconciliation.Cursor, **to: Any) -> reconciliation.Cursor | None:
        moved = move_cursor(cursor, **to)
        if moved is not None and moved.kind == Kind.JOBS:
            seen.append((moved.cycle, moved.position))
        return moved

    monkeypatch.setattr(reconciliation, "move_cursor", move_and_record)

    passed = [sweep(remaining_ms=app.RESERVE_MS)["restored"] for _ in range(4)]

    assert passed == [1, 1, 1, 0]
    assert seen == sorted(set(seen))


@pytest.mark.usefixtures("old_entries", "small_pages")
def test_pass_that_continues_in_the_middle_reads_the_beginning_as_well(make_job: MakeJob) -> None:
    jobs = [make_job(job_id=id_of_age(minutes * 60)) for minutes in (3, 2, 1)]
    for job in jobs:
        write_to_s3(job)
    sweep(remaining_ms=app.RESERVE_MS)
    redis_client().delete(keys.view_of(jobs[0].ref))

    assert sweep()["restored"] == 3

    assert reconciliation.read_cursor(Kind.JOBS).position < f"default/{jobs[1].job_id}"


@pytest.mark.usefixtures("old_entries", "small_pages")
def test_two_passes_at_once_restore_every_job_and_the_cursor_does_not_go_back(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        write_to_s3(job)
    compare = reconciling._compare
    others: list[int] = []

    def compare_and_sweep(page: Any, deadline: float) -> int:
        if not others:
            others.append(0)
            others.append(sweep()["restored"])
        return compare(page, deadline)

    monkeypatch.setattr(reconciling, "_compare", compare_and_sweep)

    restored = sweep()["restored"]

    assert restored + sum(others) == 3
    assert reconciliation.read_cursor(Kind.JOBS).cycle == 1


@pytest.mark.usefixtures("old_entries", "small_pages")
def test_comparison_starts_again_when_redis_lost_its_data_meanwhile(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        write_to_s3(make_job())
    restore = reconciling._restore
    restored: list[str] = []

    def restore_then_lose(entry: open_index.Entry) -> bool:
        done = restore(entry)
        restored.append(entry.identifier)
        if len(restored) == 2:
            redis_client().flushdb()
        return done

    monkeypatch.setattr(reconciling, "_restore", restore_then_lose)
    sweep()

    sweep()

    assert views.fetch(ref_of(restored[0])) is not None
    assert len([*redis_client().scan_iter(f"{keys.VIEW_PREFIX}*")]) == 3


@pytest.mark.usefixtures("old_entries")
def test_unreadable_job_does_not_delay_the_comparison_and_is_tried_again(make_job: MakeJob) -> None:
    unreadable, job = make_job(), make_job()
    for each in (unreadable, job):
        open_index.add_job(each.tenant, each.job_id)
    s3.put(ledger.job_key(unreadable.ref), b"{}", media_type="application/json")
    ledger.write_job(job)

    assert sweep()["restored"] == 1

    assert views.fetch(job.ref) is not None
    s3.put(ledger.job_key(unreadable.ref), unreadable.model_dump_json().encode(), media_type="application/json")
    assert sweep()["restored"] == 1
    assert views.fetch(unreadable.ref) is not None


@pytest.mark.usefixtures("old_entries")
def test_single_failures_of_s3_do_not_delay_other_jobs(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [make_job() for _ in range(40)]
    for job in jobs:
        write_to_s3(job)
    read_job = ledger.read_job
    failing = {job.ref for job in jobs[::5]}

    def fail_sometimes(job: JobRef) -> Job | None:
        if job in failing:
            raise StorageUnavailableError("503 Slow Down")
        return read_job(job)

    monkeypatch.setattr(ledger, "read_job", fail_sometimes)

    assert sweep()["restored"] == 32


def test_outage_of_s3_ends_the_look_up_after_a_row_of_failures() -> None:
    tried: list[int] = []

    def fail(number: int) -> None:
        tried.append(number)
        raise StorageUnavailableError("The object store is unavailable.")

    with pytest.raises(StorageUnavailableError):
        lookups.look_up(fail, range(1000), time.monotonic() + 60)

    assert len(tried) < 3 * aws.PARALLEL_CALLS
