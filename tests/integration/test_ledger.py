"""The ledger: conditional writes to S3 decide whether a job exists and how it ended."""

import threading

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Job, JobResult, Status
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import ledger
from darkroom.services import aws
from darkroom.timestamps import utc_now
from tests.integration.conftest import MakeJob, result_of
from tests.support.tenants import ref_of


def result_for(job: Job, status: Status, run: str) -> JobResult:
    return JobResult(job_id=job.job_id, status=status, attempt=1, run=run, finished_at=utc_now())


def test_job_is_written_once(make_job: MakeJob) -> None:
    job = make_job()

    assert ledger.write_job(job)
    assert not ledger.write_job(job)

    assert ledger.read_job(job.ref) == job


def test_first_result_wins_and_later_writers_get_it(make_job: MakeJob) -> None:
    job = make_job()
    ledger.write_job(job)
    first = result_for(job, Status.COMPLETED, "run-1")

    assert ledger.write_result(job.ref, first) == first
    assert ledger.write_result(job.ref, result_for(job, Status.FAILED, "run-2")) == first
    assert ledger.read_result(job.ref) == first


def test_one_of_many_concurrent_results_wins(make_job: MakeJob) -> None:
    job = make_job()
    ledger.write_job(job)
    winners: list[str] = []

    def write(number: int) -> None:
        winners.append(ledger.write_result(job.ref, result_for(job, Status.COMPLETED, f"run-{number}")).run)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(winners) == 12
    assert set(winners) == {result_of(job.job_id).run}


def test_job_that_was_never_accepted_is_none() -> None:
    assert ledger.read_job(ref_of(ids.new_id())) is None
    assert ledger.read_result(ref_of(ids.new_id())) is None


def test_outage_of_s3_raises_storage_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    aws.client.cache_clear()

    with pytest.raises(StorageUnavailableError):
        ledger.read_job(ref_of(ids.new_id()))
