"""DELETE /jobs/{job_id} and POST /jobs/{job_id}/retry, through the handler, with real Redis and S3."""

import pytest

from darkroom.contracts.jobs import JobResult, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger
from darkroom.services import s3
from darkroom.services.redis import leases
from darkroom.timestamps import utc_now
from tests.integration.api_jobs import JPEG, accepted, complete, fail, start
from tests.integration.conftest import BreakService, Take, Upload, result_of
from tests.support.gateway import call
from tests.support.tenants import ref_of, upload_key


def test_canceled_job_has_ended_in_the_ledger_and_in_redis(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["status"]) == (200, "canceled")
    assert reply.json["finished_at"] is not None
    assert result_of(job_id).status is Status.CANCELED
    assert call("GET", f"/jobs/{job_id}").json == reply.json


def test_run_of_a_canceled_job_can_neither_report_progress_nor_complete_it(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    leases.claim(ref_of(job_id), Operation.RESIZE, attempt=1, run="a", lease_ms=60_000)

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["attempt"]) == (200, 1)
    assert leases.report_progress(accepted(job_id), "a", 0.5, attempt=1, lease_ms=60_000) is False
    assert complete(job_id, "late.webp").status is Status.CANCELED


def test_job_that_has_ended_cannot_be_canceled(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["code"]) == (409, "job_already_ended")
    assert call("GET", f"/jobs/{job_id}").json["status"] == "completed"


def test_job_that_has_ended_in_the_ledger_only_cannot_be_canceled(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    done = JobResult(job_id=job_id, status=Status.COMPLETED, attempt=1, run="run", finished_at=utc_now())
    ledger.write_result(ref_of(job_id), done)

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["code"]) == (409, "job_already_ended")
    assert call("GET", f"/jobs/{job_id}").json["status"] == "completed"


def test_job_can_be_canceled_during_an_outage_of_redis(upload: Upload, break_service: BreakService) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    break_service("cache")

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["status"]) == (200, "canceled")
    assert call("DELETE", f"/jobs/{job_id}").json["code"] == "job_already_ended"


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_retry_is_a_new_job_and_the_old_job_does_not_change(upload: Upload, take: Take, status: str) -> None:
    old_id = start(upload(JPEG), params={"width": 77}).json["job_id"]
    fail(old_id) if status == "failed" else call("DELETE", f"/jobs/{old_id}")
    take("darkroom.resize")
    old = call("GET", f"/jobs/{old_id}").json

    reply = call("POST", f"/jobs/{old_id}/retry")
    new = reply.json

    assert (reply.status, reply.headers["location"]) == (202, f"/jobs/{new['job_id']}")
    assert (new["status"], new["retry_of"]) == ("queued", old_id)
    assert (new["params"], new["source"]) == (old["params"], old["source"])
    assert take("darkroom.resize")["body"]["job_id"] == new["job_id"] != old_id
    assert call("GET", f"/jobs/{old_id}").json == old


@pytest.mark.parametrize("ended", [True, False])
def test_job_that_did_not_fail_cannot_be_retried(upload: Upload, ended: bool) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    if ended:
        complete(job_id, "a.webp")

    reply = call("POST", f"/jobs/{job_id}/retry")

    assert (reply.status, reply.json["code"]) == (409, "job_not_retryable")


def test_retry_needs_the_file(upload: Upload) -> None:
    file_id = upload(JPEG)
    job_id = start(file_id).json["job_id"]
    fail(job_id)
    s3.delete([upload_key(file_id)])

    reply = call("POST", f"/jobs/{job_id}/retry")

    assert (reply.status, reply.json["code"]) == (404, "file_not_found")


def test_job_canceled_before_its_upload_can_be_retried_when_the_file_has_arrived() -> None:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "thumbnail"}]}
    upload = call("POST", "/uploads", json_body=body).json
    url = upload["jobs"][0]["status_url"]
    call("DELETE", url)

    early = call("POST", f"{url}/retry")
    s3.put(upload_key(upload["file_id"]), JPEG, media_type="image/jpeg")
    late = call("POST", f"{url}/retry")

    assert (early.status, early.json["code"]) == (409, "file_not_uploaded")
    assert (late.status, late.json["retry_of"]) == (202, upload["jobs"][0]["job_id"])
