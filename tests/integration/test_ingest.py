from urllib.parse import quote_plus

import pytest

from darkroom import ids
from darkroom.contracts.jobs import AttachedJob, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, uploads
from darkroom.services import s3
from darkroom.services.redis import files, views
from functions.ingest import app

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
JOBS = [
    AttachedJob(job_id=ids.new_id(), operation=Operation.RESIZE, params={"width": 10}),
    AttachedJob(job_id=ids.new_id(), operation=Operation.THUMBNAIL, params={}),
]


def jobs():
    return [job.model_copy(update={"job_id": ids.new_id()}) for job in JOBS]


def put(content, media_type, carried=(), name="Łódź ../../etc/photo.png"):
    file_id = ids.new_id()
    metadata = uploads.metadata_of(name, list(carried))
    s3.put(uploads.key_of(file_id), content, media_type=media_type, metadata=metadata)
    return file_id


def announce(*keys):
    return app.handler({"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]}, None)


def test_an_upload_becomes_a_file_and_its_jobs_are_queued(take):
    carried = jobs()
    file_id = put(PNG, "image/png", carried)

    assert announce(uploads.key_of(file_id)) == {"accepted": 2}

    assert files.find_record(file_id) == {
        "file_id": file_id,
        "name": "photo.png",
        "size_bytes": len(PNG),
        "status": "ready",
        "media_type": "image/png",
        "kind": "image",
    }
    assert ledger.read_job(carried[0].job_id).source.file_id == file_id
    assert views.fetch(carried[1].job_id).status is Status.QUEUED
    assert take("darkroom.resize")["body"]["job_id"] == carried[0].job_id
    assert take("darkroom.thumbnail")["body"]["job_id"] == carried[1].job_id


def test_an_upload_told_twice_accepts_its_jobs_once():
    carried = jobs()
    file_id = put(PNG, "image/png", carried)
    announce(uploads.key_of(file_id))
    first = ledger.read_job(carried[0].job_id)

    announce(uploads.key_of(file_id), uploads.key_of(file_id))

    assert ledger.read_job(carried[0].job_id) == first
    assert len(views.list_ids("default", before=None, limit=10)) == 2


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (b"", "image/png", "empty_file"),
        (b"plain text", "image/jpeg", "unsupported_media_type"),
        (PNG, "image/jpeg", "media_type_mismatch"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64, "video/mp4", "wrong_media_kind"),
    ],
)
def test_the_jobs_of_an_unfit_upload_fail_with_the_reason(take, content, media_type, code):
    carried = jobs()
    file_id = put(content, media_type, carried)

    announce(uploads.key_of(file_id))

    for job in carried:
        assert ledger.read_result(job.job_id).error.code == code
        assert views.fetch(job.job_id).status is Status.FAILED
    assert take("darkroom.resize") is None
    if code != "wrong_media_kind":
        assert files.find_record(file_id)["status"] == "rejected"
        assert files.find_record(file_id)["error"]["code"] == code


def test_objects_that_no_form_made_and_uploads_that_are_gone_are_passed_over():
    s3.put("uploads/default/readme.txt", b"hello", media_type="text/plain")

    assert announce("uploads/default/readme.txt", uploads.key_of(ids.new_id())) == {"accepted": 0}


def test_the_test_event_of_s3_is_harmless():
    assert app.handler({"Service": "Amazon S3", "Event": "s3:TestEvent"}, None) == {"accepted": 0}
