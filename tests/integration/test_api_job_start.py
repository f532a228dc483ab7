"""POST /jobs, through the handler, with real Redis, RabbitMQ and S3."""

import pytest

from darkroom import config, ids
from darkroom.contracts.image_params import ResizeParams
from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import with_defaults
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import ledger
from darkroom.services import s3
from darkroom.services.redis import files, open_jobs
from darkroom.tracing import new_traceparent
from tests.integration.api_jobs import JPEG, MP4, accepted, start
from tests.integration.conftest import BreakService, Take, Upload, view_of
from tests.support.gateway import Reply, call
from tests.support.tenants import TENANT, ref_of


def test_accepted_job_is_in_the_ledger_in_redis_and_in_the_queue(upload: Upload, take: Take) -> None:
    file_id, traceparent = upload(JPEG), new_traceparent()

    reply = start(file_id, params={"width": 320, "format": "webp"}, traceparent=traceparent)
    job = reply.json

    assert reply.status == 202
    assert reply.headers["location"] == job["status_url"] == f"/jobs/{job['job_id']}"
    assert (job["status"], job["attempt"], job["progress"], job["waiting_for"]) == ("queued", 0, 0, None)
    assert job["params"] == with_defaults(ResizeParams(width=320, format="webp"))
    assert job["params"]["fit"] == "contain"
    assert job["source"] == {"type": "file", "file_id": file_id}
    assert accepted(job["job_id"]).params == job["params"]
    assert accepted(job["job_id"]).traceparent == traceparent
    message = take("darkroom.resize")
    assert message["body"] == {
        "job_id": job["job_id"],
        "tenant": "default",
        "operation": "resize",
        "attempt": 1,
    }
    assert message["headers"]["traceparent"] == traceparent
    assert call("GET", reply.headers["location"]).json == job | {"queue_position": 1}


def test_job_is_in_the_ledger_and_in_redis_before_the_response(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]

    assert view_of(job_id).status is Status.QUEUED
    assert s3.exists(ledger.job_key(ref_of(job_id)))


def test_job_is_accepted_during_an_outage_of_the_broker(upload: Upload, break_service: BreakService) -> None:
    file_id = upload(JPEG)
    break_service("broker")

    reply = start(file_id)

    assert reply.status == 202
    assert accepted(reply.json["job_id"])
    assert open_jobs.due(10) == [ref_of(reply.json["job_id"])]


def test_job_is_accepted_on_a_file_that_arrived_but_was_not_ingested_yet(upload: Upload) -> None:
    file_id = upload(JPEG)
    files.save_record(TENANT, file_id, {"file_id": file_id, "name": "a", "status": "awaiting"})

    assert start(file_id).status == 202


@pytest.mark.parametrize(
    ("content", "operation", "status", "code"),
    [
        (JPEG, "video_thumbnail", 422, "wrong_media_kind"),
        (JPEG, "video_compress", 422, "wrong_media_kind"),
        (JPEG, "audio_extract", 422, "wrong_media_kind"),
        (MP4, "resize", 422, "wrong_media_kind"),
        (MP4, "thumbnail", 422, "wrong_media_kind"),
        (b"", "resize", 422, "empty_file"),
        (b"text named .jpg", "resize", 415, "unsupported_media_type"),
    ],
)
def test_job_on_a_file_that_the_operation_does_not_accept_is_refused_and_leaves_nothing(
    upload: Upload, take: Take, content: bytes, operation: str, status: int, code: str
) -> None:
    reply = start(upload(content), operation)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert list(s3.keys_after(ledger.LEDGER_PREFIX)) == []
    assert take(f"darkroom.{operation}") is None


def test_job_on_a_file_not_yet_uploaded_is_refused() -> None:
    expected = call("POST", "/uploads", json_body={"name": "a.jpg", "media_type": "image/jpeg"}).json

    reply = start(expected["file_id"])

    assert (reply.status, reply.json["code"]) == (409, "file_not_uploaded")


def test_job_on_an_unknown_file_is_refused() -> None:
    reply = start(ids.new_id())

    assert (reply.status, reply.json["code"]) == (404, "file_not_found")


def test_watermark_needs_an_uploaded_image(upload: Upload) -> None:
    photo = upload(JPEG)

    def start_with(image_file_id: str) -> Reply:
        return start(photo, "watermark", {"image_file_id": image_file_id})

    assert start_with(upload(JPEG)).status == 202
    assert start_with(ids.new_id()).json["code"] == "file_not_found"
    assert start_with(upload(MP4)).json["code"] == "wrong_media_kind"
    assert start_with(upload(b"text")).json["code"] == "unsupported_media_type"


def test_new_job_is_refused_during_an_outage_of_the_object_store(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = upload(JPEG)
    call("GET", f"/files/{file_id}")
    monkeypatch.setenv("DARKROOM_BUCKET", "no-such-bucket")
    config.settings.cache_clear()

    reply = start(file_id)

    assert (reply.status, reply.json["code"]) == (503, StorageUnavailableError.code)
    assert "no-such-bucket" not in reply.body.decode()
