"""Ingest turns an upload into a file record and queues the jobs that came with it."""

from urllib.parse import quote_plus

import pytest

from darkroom import ids
from darkroom.contracts.jobs import AttachedJob, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, uploads
from darkroom.services import s3
from darkroom.services.redis import files, leases, views
from darkroom.tracing import new_traceparent
from functions.ingest import app
from tests.integration.conftest import PNG, Take, failure_code_of, view_of
from tests.integration.redis_jobs import progress
from tests.support.tenants import TENANT, ref_of, upload_key


def two_jobs() -> list[AttachedJob]:
    return [
        AttachedJob(job_id=ids.new_id(), operation=Operation.RESIZE, params={"width": 10}),
        AttachedJob(job_id=ids.new_id(), operation=Operation.THUMBNAIL, params={}),
    ]


def put(
    content: bytes, media_type: str, jobs: list[AttachedJob] | None = None, name: str = "Łódź ../../etc/photo.png"
) -> str:
    file_id = ids.new_id()
    metadata = uploads.metadata_of(name, jobs or [])
    s3.put(upload_key(file_id), content, media_type=media_type, metadata=metadata)
    return file_id


def report(*keys: str) -> dict[str, int]:
    """Sends the event with which S3 reports new objects."""
    return app.handler({"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]}, None)


def test_upload_becomes_a_file_and_its_jobs_are_queued(take: Take) -> None:
    jobs = two_jobs()
    file_id = put(PNG, "image/png", jobs)

    assert report(upload_key(file_id)) == {"accepted": 2}

    assert files.find_record(TENANT, file_id) == {
        "file_id": file_id,
        "name": "photo.png",
        "size_bytes": len(PNG),
        "status": "ready",
        "media_type": "image/png",
        "kind": "image",
    }
    accepted = ledger.read_job(ref_of(jobs[0].job_id))
    assert accepted is not None
    assert accepted.source.file_id == file_id
    assert view_of(jobs[1].job_id).status is Status.QUEUED
    assert take("darkroom.resize")["body"]["job_id"] == jobs[0].job_id
    assert take("darkroom.thumbnail")["body"]["job_id"] == jobs[1].job_id


def test_upload_that_is_reported_twice_accepts_its_jobs_once() -> None:
    jobs = two_jobs()
    file_id = put(PNG, "image/png", jobs)
    report(upload_key(file_id))
    first = ledger.read_job(ref_of(jobs[0].job_id))

    report(upload_key(file_id), upload_key(file_id))

    assert ledger.read_job(ref_of(jobs[0].job_id)) == first
    assert len(views.list_ids("default", before=None, limit=10)) == 2


def test_upload_that_is_reported_again_during_a_run_does_not_reset_the_job() -> None:
    jobs = two_jobs()
    file_id = put(PNG, "image/png", jobs)
    job = jobs[0].to_job(file_id, tenant=TENANT, traceparent=new_traceparent())
    views.await_upload(job, expires_s=3600)
    ledger.write_job(job)  # the first ingestion ended here, or Redis was unavailable
    claimed = leases.claim(job.ref, job.operation, attempt=1, run="run-1", lease_ms=60_000)
    assert claimed.outcome == "claimed"

    report(upload_key(file_id))

    view = view_of(job.job_id)
    assert (view.status, view.attempt, view.awaits_upload) == (Status.RUNNING, 1, False)
    assert progress(job, "run-1", 0.5)
    assert leases.claim(job.ref, job.operation, attempt=1, run="run-2", lease_ms=60_000).outcome == "leased"


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (b"", "image/png", "empty_file"),
        (b"plain text", "image/jpeg", "unsupported_media_type"),
        (PNG, "image/jpeg", "media_type_mismatch"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64, "video/mp4", "wrong_media_kind"),
    ],
)
def test_jobs_that_cannot_process_the_upload_fail_with_the_reason(
    take: Take, content: bytes, media_type: str, code: str
) -> None:
    jobs = two_jobs()
    file_id = put(content, media_type, jobs)

    report(upload_key(file_id))

    for job in jobs:
        assert failure_code_of(job.job_id) == code
        assert view_of(job.job_id).status is Status.FAILED
    assert take("darkroom.resize") is None
    if code != "wrong_media_kind":
        record = files.find_record(TENANT, file_id)
        assert record is not None
        assert record["status"] == "rejected"
        assert record["error"]["code"] == code


def test_object_without_a_form_and_missing_upload_are_ignored() -> None:
    s3.put("uploads/default/readme.txt", b"hello", media_type="text/plain")

    assert report("uploads/default/readme.txt", upload_key(ids.new_id())) == {"accepted": 0}


def test_event_with_which_s3_tests_the_notification_is_ignored() -> None:
    assert app.handler({"Service": "Amazon S3", "Event": "s3:TestEvent"}, None) == {"accepted": 0}
