"""Runs whose attempt fails: by an outage, a defect, or because Redis, settle or the secret store is unavailable."""

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom import config
from darkroom.contracts.jobs import MAX_ATTEMPTS, FailedAttempt, Failure, Job, JobRef, JobResult, Status
from darkroom.errors import CacheUnavailableError, LambdaUnavailableError, StorageUnavailableError
from darkroom.jobs import acceptance, ledger, settlement, worker
from darkroom.services import s3
from darkroom.services.redis import keys, leases, open_jobs
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import iso_utc
from tests.integration.conftest import (
    PNG,
    BreakService,
    MakeJob,
    Take,
    Upload,
    failure_code_of,
    forget_clients,
    forget_connections,
    on_channel,
    result_of,
    view_of,
)
from tests.integration.runs import RESIZE, fail_in_an_outage, fail_with_a_defect, run, settle_at_once


@pytest.fixture(autouse=True)
def reports() -> Iterator[list[dict[str, Any]]]:
    """What runs report to settle, which is started at once."""
    with settle_at_once() as received:
        yield received


def test_job_is_queued_again_after_an_outage(accepted: Job, take: Take) -> None:
    take("darkroom.resize")
    assert run(accepted, fail_in_an_outage) == "failed_attempt"

    view = view_of(accepted.job_id)
    assert (view.status, view.attempt, view.errors[0].code) == (Status.QUEUED, 1, "storage_unavailable")
    assert on_channel("basic_get", "darkroom.resize.retry.2s")[0] is not None
    assert run(accepted, attempt=2) == "completed"


def test_defect_is_retried_and_fails_the_job_in_the_end(accepted: Job) -> None:
    outcomes = [run(accepted, fail_with_a_defect, attempt) for attempt in range(1, MAX_ATTEMPTS + 1)]

    assert outcomes == ["failed_attempt"] * MAX_ATTEMPTS
    result = result_of(accepted.job_id)
    assert (result.status, result.attempt) == (Status.FAILED, MAX_ATTEMPTS)
    assert failure_code_of(accepted.job_id) == "internal_error"
    assert [failure.code for failure in view_of(accepted.job_id).errors] == ["internal_error"] * (MAX_ATTEMPTS - 1)


def test_outage_uses_no_attempt(accepted: Job) -> None:
    for attempt in range(1, 8):
        assert run(accepted, fail_in_an_outage, attempt) == "failed_attempt"
    outcomes = [run(accepted, fail_with_a_defect, attempt) for attempt in range(8, 8 + MAX_ATTEMPTS)]

    assert outcomes == ["failed_attempt"] * MAX_ATTEMPTS
    assert result_of(accepted.job_id).status is Status.FAILED
    assert failure_code_of(accepted.job_id) == "internal_error"


def test_job_is_retried_after_outages_until_its_file_is_no_longer_kept(make_job: MakeJob, upload: Upload) -> None:
    file_id = upload(PNG, "image/png")
    kept_s = config.settings().retention_days * 86_400
    young, old = (
        make_job(file_id=file_id).model_copy(update={"created_at": iso_utc(time.time() - age_s)})
        for age_s in (kept_s - 60, kept_s + 60)
    )
    for job in (young, old):
        acceptance.accept(job)
        run(job, fail_in_an_outage)

    assert ledger.read_result(young.ref) is None
    assert failure_code_of(old.job_id) == "storage_unavailable"


def test_view_keeps_the_latest_errors_and_a_bounded_timeline_of_a_long_outage(accepted: Job) -> None:
    for attempt in range(1, 300):
        leases.claim(accepted.ref, RESIZE, attempt=attempt, run="a", lease_ms=1000)
        leases.requeue(
            accepted, attempt=attempt, run="a", failure=Failure(code=f"{attempt}", message="."), delay_s=1, outage=True
        )

    view = view_of(accepted.job_id)
    assert [error.code for error in view.errors] == [str(attempt) for attempt in range(280, 300)]
    assert (view.attempt, view.failed_attempts) == (299, 0)
    assert view.timeline[0].event == "accepted"
    assert view.timeline[-1].attempt == 299
    assert sum(len(value) for value in redis_client().hgetall(keys.view_of(accepted.ref)).values()) < 12_000


def test_run_reports_a_failed_attempt_to_settle_and_publishes_nothing(
    accepted: Job, take: Take, break_service: BreakService, reports: list[dict[str, Any]]
) -> None:
    take("darkroom.resize")
    break_service("broker")

    assert run(accepted, fail_in_an_outage) == "failed_attempt"

    [report] = reports
    assert report["failed_attempt"]["message"]["job_id"] == accepted.job_id
    assert report["failed_attempt"]["outage"] is True
    assert view_of(accepted.job_id).status is Status.QUEUED


def test_run_that_cannot_reach_settle_raises_its_error_for_the_failure_destination(
    accepted: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_failed: FailedAttempt) -> None:
        raise LambdaUnavailableError("Lambda is unavailable.")

    monkeypatch.setattr(settlement, "report", fail)

    with pytest.raises(StorageUnavailableError):
        run(accepted, fail_in_an_outage)

    assert view_of(accepted.job_id).status is Status.RUNNING


def test_claim_waits_while_redis_is_unavailable(accepted: Job, break_service: BreakService) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "CLAIM_PAUSE_S", 0.2)
        url = os.environ["DARKROOM_CACHE_URL"]
        break_service("cache")

        def recover() -> None:
            os.environ["DARKROOM_CACHE_URL"] = url
            forget_connections()

        timer = threading.Timer(1, recover)
        timer.start()

        assert run(accepted) == "completed"
        timer.join()


def test_claim_gives_up_after_a_share_of_its_time(accepted: Job, break_service: BreakService) -> None:
    break_service("cache")
    began = time.monotonic()

    with pytest.raises(CacheUnavailableError):
        run(accepted, remaining_ms=8_000)

    assert 0.9 < time.monotonic() - began < 7


def test_secret_store_that_is_unavailable_in_a_cold_environment_is_an_outage_of_redis(accepted: Job) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_CACHE_SECRET_ARN", "no-such-secret")
        forget_clients()

        with pytest.raises(CacheUnavailableError):
            run(accepted, remaining_ms=1_000)

        assert acceptance.accept(accepted) is False  # as in any outage of Redis, sweep does the rest
    forget_clients()


def test_secret_store_that_is_unavailable_in_a_cold_environment_is_an_outage_of_the_broker(make_job: MakeJob) -> None:
    job = make_job()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_BROKER_SECRET_ARN", "no-such-secret")
        forget_clients()

        assert acceptance.accept(job)

    forget_clients()
    assert open_jobs.due(10) == [job.ref]


def test_outputs_are_kept_when_the_commit_may_have_been_written(accepted: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    write_result = ledger.write_result

    def write_and_fail(job: JobRef, result: JobResult) -> JobResult:
        write_result(job, result)
        raise StorageUnavailableError("The object store is unavailable.")

    monkeypatch.setattr(ledger, "write_result", write_and_fail)
    with pytest.raises(StorageUnavailableError):
        run(accepted)

    [output] = result_of(accepted.job_id).outputs
    assert s3.exists(output.key)
