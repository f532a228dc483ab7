"""Uploads and files, through the handler, with real Redis and S3."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest

from darkroom import config, ids
from darkroom.jobs import uploads
from darkroom.services import s3
from darkroom.services.redis import files, slots
from darkroom.services.redis.client import redis_client
from functions.ingest import app as ingest
from tests.integration.api_jobs import JPEG, MP4
from tests.integration.conftest import Take, Upload, view_of
from tests.integration.redis_jobs import acquire
from tests.support.gateway import Reply, call, multipart
from tests.support.tenants import TENANT, upload_key

TEXT = b"This is not an image."


def send(content: bytes, *, name: str = "photo.jpg", media_type: str = "image/jpeg") -> Reply:
    body, headers = multipart({}, name=name, media_type=media_type, content=content)
    return call("POST", "/upload", body=body, headers=headers)


def request_form(**more: Any) -> Reply:
    return call("POST", "/uploads", json_body={"name": "photo.jpg", "media_type": "image/jpeg", **more})


def submit(form: dict[str, Any], content: bytes) -> int:
    """Sends a file with a form directly to S3, as a browser does. Returns S3's status."""
    body, headers = multipart(form["fields"], name="x", media_type="application/octet-stream", content=content)
    request = urllib.request.Request(form["url"], body, headers, method=form["method"])  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def notify_ingest(file_id: str) -> None:
    """Notifies ingest of an upload, as S3 does."""
    ingest.handler({"Records": [{"s3": {"object": {"key": quote_plus(upload_key(file_id))}}}]}, None)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_DIRECT_UPLOAD_MAX_BYTES", "1000")
    monkeypatch.setenv("DARKROOM_UPLOAD_MAX_BYTES", "2000")
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


# POST /upload ------------------------------------------------------------------------------------------------------


def test_small_file_is_stored_and_described() -> None:
    reply = send(JPEG)
    file = reply.json

    assert reply.status == 201
    assert reply.headers["location"] == f"/files/{file['file_id']}"
    assert file == {
        "file_id": ids.parse_id(file["file_id"]),
        "name": "photo.jpg",
        "status": "ready",
        "size_bytes": len(JPEG),
        "media_type": "image/jpeg",
        "kind": "image",
        "error": None,
        "expires_at": None,
        "link_id": None,
    }
    assert s3.get(upload_key(file["file_id"])) == JPEG
    assert call("GET", reply.headers["location"]).json == file


def test_every_byte_value_is_stored_unchanged() -> None:
    content = JPEG + bytes(range(256)) * 16 + b"\r\n--\r\n"

    file_id = send(content).json["file_id"]

    assert s3.get(upload_key(file_id)) == content


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Łódź, zdjęcie 写真.jpg", "Łódź, zdjęcie 写真.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("a" * 300 + ".jpg", "a" * 116 + ".jpg"),
        ("..", "file"),
    ],
)
def test_file_name_is_stored_in_any_script_and_without_its_folders(name: str, kept: str) -> None:
    file_id = send(JPEG, name=name).json["file_id"]
    redis_client().flushdb()

    assert call("GET", f"/files/{file_id}").json["name"] == kept


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"", "image/jpeg", 422, "empty_file"),
        (TEXT, "image/jpeg", 415, "unsupported_media_type"),
        (TEXT, "text/plain", 415, "unsupported_media_type"),
        (MP4, "image/jpeg", 422, "media_type_mismatch"),
        (JPEG, "video/mp4", 422, "media_type_mismatch"),
    ],
)
def test_file_whose_content_is_unsupported_or_not_as_declared_is_refused_and_not_stored(
    content: bytes, media_type: str, status: int, code: str
) -> None:
    reply = send(content, media_type=media_type)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert list(s3.keys_after(uploads.UPLOADS_PREFIX)) == []


@pytest.mark.usefixtures("small_limits")
def test_file_over_the_limit_is_refused_and_the_route_for_large_files_is_named() -> None:
    assert send(JPEG.ljust(1000, b"\0")).status == 201

    reply = send(JPEG.ljust(1001, b"\0"))

    assert (reply.status, reply.json["code"]) == (413, "file_too_large")
    assert "POST /uploads" in reply.json["detail"]


# POST /uploads -----------------------------------------------------------------------------------------------------


def test_form_uploads_the_file_directly_to_the_bucket() -> None:
    reply = request_form()
    created = reply.json

    assert reply.status == 201
    assert call("GET", f"/files/{created['file_id']}").json["status"] == "awaiting"
    assert submit(created["upload"], JPEG) in (200, 201, 204)
    assert s3.get(upload_key(created["file_id"])) == JPEG
    assert call("GET", f"/files/{created['file_id']}").json["status"] == "ready"


def test_awaited_file_shows_what_was_declared_and_when_its_form_expires() -> None:
    created = request_form(name="../räksmörgås.jpg").json

    file = call("GET", f"/files/{created['file_id']}").json

    assert (file["name"], file["media_type"], file["size_bytes"]) == ("räksmörgås.jpg", "image/jpeg", None)
    assert file["expires_at"] == created["upload"]["expires_at"]


@pytest.mark.usefixtures("small_limits")
def test_form_refuses_a_file_larger_than_allowed_or_declared() -> None:
    largest, declared = request_form().json["upload"], request_form(size_bytes=100).json["upload"]

    assert (largest["max_bytes"], declared["max_bytes"]) == (2000, 100)
    assert submit(largest, JPEG.ljust(2001, b"\0")) == 400
    assert submit(declared, JPEG.ljust(101, b"\0")) == 400
    assert submit(largest, b"") == 400
    assert submit(largest, JPEG.ljust(2000, b"\0")) < 300
    assert submit(declared, JPEG.ljust(100, b"\0")) < 300


@pytest.mark.usefixtures("small_limits")
def test_declared_size_over_the_limit_is_refused() -> None:
    reply = request_form(size_bytes=2001)

    assert (reply.status, reply.json["code"]) == (413, "file_too_large")


def test_form_refuses_another_type_another_key_and_other_jobs() -> None:
    form = request_form().json["upload"]

    for field, value in (("Content-Type", "text/html"), ("key", "ledger/forged"), ("x-amz-meta-jobs", "[]")):
        assert submit({**form, "fields": form["fields"] | {field: value}}, JPEG) >= 400, field


def test_attached_jobs_exist_at_once_and_start_when_the_file_arrives(
    take: Take,
) -> None:
    created = request_form(
        jobs=[
            {"operation": "resize", "params": {"width": 100}},
            {"operation": "watermark", "params": {"text": "© 写真"}},
        ]
    ).json
    first, second = created["jobs"]

    before = call("GET", first["status_url"])
    assert (before.status, before.json["status"], before.json["waiting_for"]) == (200, "queued", "upload")
    assert before.json["file_id"] == created["file_id"]

    assert submit(created["upload"], JPEG) < 300
    notify_ingest(created["file_id"])

    after = call("GET", first["status_url"]).json
    assert (after["status"], after["waiting_for"], after["params"]["width"]) == ("queued", None, 100)
    assert call("GET", second["status_url"]).json["params"]["text"] == "© 写真"
    assert take("darkroom.resize")["body"]["job_id"] == first["job_id"]
    assert take("darkroom.watermark")["body"]["job_id"] == second["job_id"]


def test_attached_jobs_fail_when_the_file_is_not_what_was_declared() -> None:
    created = request_form(jobs=[{"operation": "thumbnail"}]).json
    submit(created["upload"], MP4)
    notify_ingest(created["file_id"])

    job = call("GET", created["jobs"][0]["status_url"]).json
    file = call("GET", f"/files/{created['file_id']}").json

    assert (job["status"], job["error"]["code"]) == ("failed", "media_type_mismatch")
    assert (file["status"], file["error"]["code"]) == ("rejected", "media_type_mismatch")


def test_attached_job_that_does_not_accept_the_declared_kind_is_refused_before_the_upload() -> None:
    reply = request_form(jobs=[{"operation": "video_thumbnail"}])

    assert (reply.status, reply.json["code"]) == (422, "wrong_media_kind")


@pytest.mark.parametrize(
    ("media_type", "operation"),
    [("video/mp4", "audio_extract"), ("audio/mpeg", "audio_extract"), ("video/webm;codecs=vp8", "video_compress")],
)
def test_attached_job_that_accepts_the_declared_kind_is_accepted(media_type: str, operation: str) -> None:
    reply = request_form(media_type=media_type, jobs=[{"operation": operation}])

    assert reply.status == 201
    assert reply.json["upload"]["fields"]["Content-Type"] == media_type


def test_canceled_job_does_not_start_when_its_upload_arrives() -> None:
    created = request_form(jobs=[{"operation": "thumbnail"}]).json
    url = created["jobs"][0]["status_url"]

    canceled = call("DELETE", url)
    submit(created["upload"], JPEG)
    notify_ingest(created["file_id"])

    assert (canceled.status, canceled.json["status"], canceled.json["waiting_for"]) == (200, "canceled", None)
    assert call("GET", url).json["status"] == "canceled"
    assert acquire(view_of(created["jobs"][0]["job_id"]).job) is slots.Slot.ENDED
    redis_client().flushdb()
    assert call("GET", url).json["status"] == "canceled"


def test_more_jobs_than_an_upload_can_hold_are_refused_and_another_way_is_named() -> None:
    jobs = [{"operation": "watermark", "params": {"text": "é" * 200}}] * 2

    reply = request_form(jobs=jobs)

    assert (reply.status, reply.json["code"]) == (422, "invalid_request")
    assert "POST /jobs" in reply.json["detail"]
    assert request_form(jobs=jobs[:1]).status == 201


def test_all_jobs_that_an_upload_can_hold_start() -> None:
    jobs = [{"operation": "thumbnail"}] * 10
    created = request_form(jobs=jobs, name="写" * 20).json

    assert submit(created["upload"], JPEG) < 300
    notify_ingest(created["file_id"])

    assert [view_of(job["job_id"]).awaits_upload for job in created["jobs"]] == [False] * 10


def test_attached_watermark_needs_an_uploaded_image() -> None:
    def request_with(image_file_id: str) -> Reply:
        return request_form(jobs=[{"operation": "watermark", "params": {"image_file_id": image_file_id}}])

    video = send(MP4, media_type="video/mp4").json["file_id"]
    expected = request_form().json["file_id"]

    assert request_with(ids.new_id()).json["code"] == "file_not_found"
    assert request_with(video).json["code"] == "wrong_media_kind"
    assert request_with(expected).json["code"] == "file_not_uploaded"
    assert request_with(send(JPEG).json["file_id"]).status == 201


# GET /files/{file_id} ----------------------------------------------------------------------------------------------


def test_file_that_redis_has_lost_is_read_from_the_bucket_and_stored_in_redis() -> None:
    file = send(JPEG).json
    redis_client().flushdb()

    assert call("GET", f"/files/{file['file_id']}").json == file
    assert files.find_record(TENANT, file["file_id"]) is not None


def test_file_that_was_stored_without_the_api_is_rejected_by_its_content(upload: Upload) -> None:
    file_id = upload(TEXT, "image/jpeg", "photo.jpg")

    file = call("GET", f"/files/{file_id}").json

    assert (file["status"], file["error"]["code"]) == ("rejected", "unsupported_media_type")
    assert (file["media_type"], file["kind"]) == (None, None)


def test_unknown_file_is_not_found() -> None:
    reply = call("GET", f"/files/{ids.new_id()}")

    assert (reply.status, reply.json["code"]) == (404, "file_not_found")


def test_identifier_in_upper_case_is_the_same_file() -> None:
    file_id = send(JPEG).json["file_id"]

    assert call("GET", f"/files/{file_id.upper()}").json["file_id"] == file_id
