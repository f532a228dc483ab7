"""Ways in for files, through the handler, against the real store."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, uploads
from darkroom.services import aws, s3
from darkroom.services.redis import files, slots, views
from darkroom.services.redis.client import redis_client
from functions.ingest import app as ingest
from tests.gateway import Reply, call, multipart

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 60
MP4 = b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64
TEXT = b"This is no picture."


def send(content: bytes, *, name: str = "photo.jpg", media_type: str = "image/jpeg") -> Reply:
    body, headers = multipart({}, name=name, media_type=media_type, content=content)
    return call("POST", "/upload", body=body, headers=headers)


def ask_form(**more: Any) -> Reply:
    return call("POST", "/uploads", json_body={"name": "photo.jpg", "media_type": "image/jpeg", **more})


def submit(form: dict[str, Any], content: bytes) -> int:
    """Sends a file as a browser would, straight to the store; the store's status."""
    body, headers = multipart(form["fields"], name="x", media_type="application/octet-stream", content=content)
    request = urllib.request.Request(form["url"], body, headers, method=form["method"])  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def announce(file_id: str) -> None:
    """Tells ingest of an upload as S3 does."""
    ingest.handler({"Records": [{"s3": {"object": {"key": quote_plus(uploads.key_of(file_id))}}}]}, None)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_DIRECT_UPLOAD_MAX_BYTES", "1000")
    monkeypatch.setenv("DARKROOM_UPLOAD_MAX_BYTES", "2000")
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


# POST /upload ------------------------------------------------------------------------------------------------------


def test_a_small_file_is_stored_and_described() -> None:
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
    }
    assert s3.get(uploads.key_of(file["file_id"])) == JPEG
    assert call("GET", reply.headers["location"]).json == file


def test_bytes_of_every_value_arrive_unchanged() -> None:
    content = JPEG + bytes(range(256)) * 16 + b"\r\n--\r\n"

    file_id = send(content).json["file_id"]

    assert s3.get(uploads.key_of(file_id)) == content


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
def test_a_file_name_in_any_script_is_kept_without_its_folders(name: str, kept: str) -> None:
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
def test_a_file_that_is_not_what_it_says_is_refused_and_not_kept(
    content: bytes, media_type: str, status: int, code: str
) -> None:
    reply = send(content, media_type=media_type)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert list(s3.keys_after(uploads.UPLOADS_PREFIX)) == []


@pytest.mark.usefixtures("small_limits")
def test_a_file_over_the_limit_is_refused_with_the_way_to_take() -> None:
    assert send(JPEG.ljust(1000, b"\0")).status == 201

    reply = send(JPEG.ljust(1001, b"\0"))

    assert (reply.status, reply.json["code"]) == (413, "file_too_large")
    assert "POST /uploads" in reply.json["detail"]


# POST /uploads -----------------------------------------------------------------------------------------------------


def test_a_form_takes_the_file_past_the_api() -> None:
    reply = ask_form()
    asked = reply.json

    assert reply.status == 201
    assert call("GET", f"/files/{asked['file_id']}").json["status"] == "awaiting"
    assert submit(asked["upload"], JPEG) in (200, 201, 204)
    assert s3.get(uploads.key_of(asked["file_id"])) == JPEG
    assert call("GET", f"/files/{asked['file_id']}").json["status"] == "ready"


def test_an_awaited_file_shows_what_was_declared_and_until_when() -> None:
    asked = ask_form(name="../räksmörgås.jpg").json

    file = call("GET", f"/files/{asked['file_id']}").json

    assert (file["name"], file["media_type"], file["size_bytes"]) == ("räksmörgås.jpg", "image/jpeg", None)
    assert file["expires_at"] == asked["upload"]["expires_at"]


@pytest.mark.usefixtures("small_limits")
def test_the_form_refuses_what_is_larger_than_allowed_or_announced() -> None:
    largest, announced = ask_form().json["upload"], ask_form(size_bytes=100).json["upload"]

    assert (largest["max_bytes"], announced["max_bytes"]) == (2000, 100)
    assert submit(largest, JPEG.ljust(2001, b"\0")) == 400
    assert submit(announced, JPEG.ljust(101, b"\0")) == 400
    assert submit(largest, b"") == 400
    assert submit(largest, JPEG.ljust(2000, b"\0")) < 300
    assert submit(announced, JPEG.ljust(100, b"\0")) < 300


@pytest.mark.usefixtures("small_limits")
def test_an_announced_size_over_the_limit_gets_no_form() -> None:
    reply = ask_form(size_bytes=2001)

    assert (reply.status, reply.json["code"]) == (413, "file_too_large")


def test_the_form_refuses_another_type_and_another_place() -> None:
    form = ask_form().json["upload"]

    for field, value in (("Content-Type", "text/html"), ("key", "ledger/forged"), ("x-amz-meta-jobs", "[]")):
        assert submit({**form, "fields": form["fields"] | {field: value}}, JPEG) >= 400, field


def test_attached_jobs_can_be_asked_for_at_once_and_start_when_the_file_lands(
    take: Callable[[str], dict[str, Any] | None],
) -> None:
    asked = ask_form(
        jobs=[
            {"operation": "resize", "params": {"width": 100}},
            {"operation": "watermark", "params": {"text": "© 写真"}},
        ]
    ).json
    first, second = asked["jobs"]

    before = call("GET", first["status_url"])
    assert (before.status, before.json["status"], before.json["waiting_for"]) == (200, "queued", "upload")
    assert before.json["file_id"] == asked["file_id"]

    assert submit(asked["upload"], JPEG) < 300
    announce(asked["file_id"])

    after = call("GET", first["status_url"]).json
    assert (after["status"], after["waiting_for"], after["params"]["width"]) == ("queued", None, 100)
    assert call("GET", second["status_url"]).json["params"]["text"] == "© 写真"
    resize, watermark = take("darkroom.resize"), take("darkroom.watermark")
    assert resize is not None
    assert resize["body"]["job_id"] == first["job_id"]
    assert watermark is not None
    assert watermark["body"]["job_id"] == second["job_id"]


def test_attached_jobs_fail_when_the_file_is_not_what_was_declared() -> None:
    asked = ask_form(jobs=[{"operation": "thumbnail"}]).json
    submit(asked["upload"], MP4)
    announce(asked["file_id"])

    job = call("GET", asked["jobs"][0]["status_url"]).json
    file = call("GET", f"/files/{asked['file_id']}").json

    assert (job["status"], job["error"]["code"]) == ("failed", "media_type_mismatch")
    assert (file["status"], file["error"]["code"]) == ("rejected", "media_type_mismatch")


def test_an_attached_job_of_another_kind_is_refused_before_the_upload() -> None:
    reply = ask_form(jobs=[{"operation": "video_thumbnail"}])

    assert (reply.status, reply.json["code"]) == (422, "wrong_media_kind")


@pytest.mark.parametrize(
    ("media_type", "operation"),
    [("video/mp4", "audio_extract"), ("audio/mpeg", "audio_extract"), ("video/webm;codecs=vp8", "video_compress")],
)
def test_an_attached_job_of_the_declared_kind_is_taken(media_type: str, operation: str) -> None:
    reply = ask_form(media_type=media_type, jobs=[{"operation": operation}])

    assert reply.status == 201
    assert reply.json["upload"]["fields"]["Content-Type"] == media_type


def test_a_canceled_job_does_not_start_when_its_upload_lands() -> None:
    asked = ask_form(jobs=[{"operation": "thumbnail"}]).json
    url = asked["jobs"][0]["status_url"]

    canceled = call("DELETE", url)
    submit(asked["upload"], JPEG)
    announce(asked["file_id"])

    assert (canceled.status, canceled.json["status"], canceled.json["waiting_for"]) == (200, "canceled", None)
    assert call("GET", url).json["status"] == "canceled"
    assert slots.acquire(asked["jobs"][0]["job_id"], Operation.THUMBNAIL, 1, limit=1) is slots.Slot.ENDED
    redis_client().flushdb()
    assert call("GET", url).json["status"] == "canceled"


def test_more_jobs_than_an_upload_can_carry_are_refused_with_what_to_do() -> None:
    jobs = [{"operation": "watermark", "params": {"text": "é" * 200}}] * 2

    reply = ask_form(jobs=jobs)

    assert (reply.status, reply.json["code"]) == (422, "invalid_request")
    assert "POST /jobs" in reply.json["detail"]
    assert ask_form(jobs=jobs[:1]).status == 201


def test_as_many_jobs_as_an_upload_can_carry_arrive() -> None:
    jobs = [{"operation": "thumbnail"}] * 10
    asked = ask_form(jobs=jobs, name="写" * 20).json

    assert submit(asked["upload"], JPEG) < 300
    announce(asked["file_id"])

    assert [views.fetch(job["job_id"]).awaits_upload for job in asked["jobs"]] == [False] * 10  # type: ignore[union-attr]


def test_a_watermark_attached_to_an_upload_needs_an_image_that_is_there() -> None:
    def ask(image_file_id: str) -> Reply:
        return ask_form(jobs=[{"operation": "watermark", "params": {"image_file_id": image_file_id}}])

    film = send(MP4, media_type="video/mp4").json["file_id"]
    expected = ask_form().json["file_id"]

    assert ask(ids.new_id()).json["code"] == "file_not_found"
    assert ask(film).json["code"] == "wrong_media_kind"
    assert ask(expected).json["code"] == "file_not_uploaded"
    assert ask(send(JPEG).json["file_id"]).status == 201


# GET /files/{file_id} ----------------------------------------------------------------------------------------------


def test_a_file_that_redis_has_lost_is_found_in_the_bucket_and_noted() -> None:
    file = send(JPEG).json
    redis_client().flushdb()

    assert call("GET", f"/files/{file['file_id']}").json == file
    assert files.find_record(file["file_id"]) is not None


def test_a_file_that_came_in_another_way_is_judged_by_its_bytes(upload: Callable[..., str]) -> None:
    file_id = upload(TEXT, "image/jpeg", "photo.jpg")

    file = call("GET", f"/files/{file_id}").json

    assert (file["status"], file["error"]["code"]) == ("rejected", "unsupported_media_type")
    assert (file["media_type"], file["kind"]) == (None, None)


def test_a_file_that_was_never_there_is_not_found() -> None:
    reply = call("GET", f"/files/{ids.new_id()}")

    assert (reply.status, reply.json["code"]) == (404, "file_not_found")


def test_an_identifier_in_capitals_is_the_same_file() -> None:
    file_id = send(JPEG).json["file_id"]

    assert call("GET", f"/files/{file_id.upper()}").json["file_id"] == file_id


def test_what_a_job_makes_of_an_upload_is_on_record_before_the_answer() -> None:
    file_id = send(JPEG).json["file_id"]
    reply = call("POST", "/jobs", json_body={"file_id": file_id, "operation": "thumbnail"})

    job = ledger.read_job(reply.json["job_id"])
    view = views.fetch(reply.json["job_id"])

    assert job is not None
    assert view is not None
    assert view.status is Status.QUEUED
    assert aws.client("s3").head_object(Bucket=config.settings().bucket, Key=ledger.job_key(job.job_id))
