"""Jobs, through the handler, against real Redis, RabbitMQ and S3."""

import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from darkroom import config, ids
from darkroom.contracts.image_params import ResizeParams
from darkroom.contracts.jobs import Failure, Job, JobResult, Output, Status
from darkroom.contracts.operations import Operation, with_defaults
from darkroom.errors import CorruptMediaError, StorageUnavailableError
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import files, keys, leases, open_jobs, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from tests.gateway import Reply, call

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 60
MP4 = b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64
RESULT = b"RIFF\x24\0\0\0WEBP"
NOWHERE = "127.0.0.1:9"
CACHE_URL = os.environ.get("DARKROOM_CACHE_URL", "")

Upload = Callable[..., str]
Take = Callable[[str], dict[str, Any] | None]


def forget_clients() -> None:
    rabbitmq.close()
    for cached in (config.settings, redis_client, aws.client):
        cached.cache_clear()


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Has one part not answer from now on."""

    def lose(part: str) -> None:
        name, value = {
            "cache": ("DARKROOM_CACHE_URL", f"redis://{NOWHERE}/1"),
            "broker": ("DARKROOM_BROKER_URL", f"amqp://{NOWHERE}/%2F"),
        }[part]
        monkeypatch.setenv(name, value)
        forget_clients()

    yield lose
    monkeypatch.undo()
    forget_clients()


def start(file_id: str, operation: str = "resize", params: Any = None, **headers: str) -> Reply:
    params = {"width": 100} if params is None and operation == "resize" else params or {}
    body = {"file_id": file_id, "operation": operation, "params": params}
    return call("POST", "/jobs", json_body=body, headers=headers)


def complete(job_id: str, *names: str, document: dict[str, Any] | None = None) -> JobResult:
    """Ends a job as its run would."""
    job = ledger.read_job(job_id)
    assert job is not None
    outputs = []
    for name in names:
        key = f"processed/default/{job_id}/run/{name}"
        s3.put(key, RESULT, media_type="image/webp")
        outputs.append(
            Output(
                name=name,
                key=key,
                media_type="image/webp",
                size_bytes=len(RESULT),
                sha256="0" * 64,
                width_px=100,
                height_px=75,
            )
        )
    return lifecycle.end(
        job,
        JobResult(
            job_id=job_id,
            status=Status.COMPLETED,
            attempt=1,
            run="run",
            started_at=utc_now(),
            finished_at=utc_now(),
            outputs=outputs,
            document=document,
        ),
    )


def fail(job_id: str) -> None:
    job = ledger.read_job(job_id)
    assert job is not None
    lifecycle.end(job, lifecycle.failed_result(job, CorruptMediaError("The file is cut short."), attempt=1, run="run"))


# POST /jobs --------------------------------------------------------------------------------------------------------


def test_an_accepted_job_is_on_record_shown_and_queued(upload: Upload, take: Take) -> None:
    file_id, traceparent = upload(JPEG), new_traceparent()

    reply = start(file_id, params={"width": 320, "format": "webp"}, traceparent=traceparent)
    job = reply.json

    assert reply.status == 202
    assert reply.headers["location"] == job["status_url"] == f"/jobs/{job['job_id']}"
    assert (job["status"], job["attempt"], job["progress"], job["waiting_for"]) == ("queued", 0, 0, None)
    assert job["params"] == with_defaults(ResizeParams(width=320, format="webp"))
    assert job["params"]["fit"] == "contain"
    assert job["source"] == {"type": "file", "file_id": file_id}
    written = ledger.read_job(job["job_id"])
    assert written is not None
    assert written.params == job["params"]
    assert written.traceparent == traceparent
    message = take("darkroom.resize")
    assert message is not None
    assert message["body"] == {
        "job_id": job["job_id"],
        "tenant": "default",
        "operation": "resize",
        "attempt": 1,
    }
    assert message["headers"]["traceparent"] == traceparent
    assert call("GET", reply.headers["location"]).json == job | {"queue_position": 1}


def test_a_job_that_the_broker_does_not_take_is_accepted_all_the_same(
    upload: Upload, lose: Callable[[str], None]
) -> None:
    file_id = upload(JPEG)
    lose("broker")

    reply = start(file_id)

    assert reply.status == 202
    assert ledger.read_job(reply.json["job_id"]) is not None
    assert open_jobs.due(10) == [reply.json["job_id"]]


def test_a_job_on_a_file_that_has_landed_but_was_not_announced_yet_is_accepted(upload: Upload) -> None:
    file_id = upload(JPEG)
    files.save_record(file_id, {"file_id": file_id, "name": "a", "status": "awaiting"})

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
def test_a_job_on_an_unfit_file_is_refused_and_leaves_nothing(
    upload: Upload, take: Take, content: bytes, operation: str, status: int, code: str
) -> None:
    reply = start(upload(content), operation)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert list(s3.keys_after(ledger.LEDGER_PREFIX)) == []
    assert take(f"darkroom.{operation}") is None


def test_a_job_on_a_file_not_yet_uploaded_is_refused() -> None:
    asked = call("POST", "/uploads", json_body={"name": "a.jpg", "media_type": "image/jpeg"}).json

    reply = start(asked["file_id"])

    assert (reply.status, reply.json["code"]) == (409, "file_not_uploaded")


def test_a_job_on_an_unknown_file_is_refused() -> None:
    reply = start(ids.new_id())

    assert (reply.status, reply.json["code"]) == (404, "file_not_found")


def test_a_watermark_needs_an_image_that_is_there(upload: Upload) -> None:
    photo = upload(JPEG)

    def ask(image_file_id: str) -> Reply:
        return start(photo, "watermark", {"image_file_id": image_file_id})

    assert ask(upload(JPEG)).status == 202
    assert ask(ids.new_id()).json["code"] == "file_not_found"
    assert ask(upload(MP4)).json["code"] == "wrong_media_kind"
    assert ask(upload(b"text")).json["code"] == "unsupported_media_type"


# GET /jobs/{job_id} ------------------------------------------------------------------------------------------------


def test_a_completed_job_shows_its_results_with_links_that_work(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    result = complete(job_id, "Łódź.webp", document={"answer": 42})

    job = call("GET", f"/jobs/{job_id}").json

    assert (job["status"], job["progress"], job["attempt"]) == ("completed", 1, 1)
    assert (job["started_at"], job["finished_at"]) == (result.started_at, result.finished_at)
    assert job["document"] == {"answer": 42}
    assert job["result_path"] == job["outputs"][0]["path"] == result.outputs[0].key
    assert job["download_url"] == job["outputs"][0]["download_url"]
    assert job["outputs"][0]["sha256"] == "0" * 64
    with urllib.request.urlopen(job["download_url"], timeout=10) as answer:  # noqa: S310
        assert answer.read() == RESULT
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C5%81%C3%B3d%C5%BA.webp"


def test_a_running_job_shows_attempt_progress_and_earlier_failures(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    job = ledger.read_job(job_id)
    assert job is not None
    leases.claim(job_id, Operation.RESIZE, attempt=1, run="a", lease_ms=1000)
    leases.requeue(job, attempt=1, run="a", failure=Failure(code="worker_died", message="It died."), due_in_s=1)
    leases.claim(job_id, Operation.RESIZE, attempt=2, run="b", lease_ms=1000)
    time.sleep(0.3)
    leases.report_progress(job_id, "b", 0.25, 7.5)

    shown = call("GET", f"/jobs/{job_id}").json

    assert shown["speed"] == 7.5
    assert 0.9 <= shown["remaining_s"] < 3  # three times as long as it took so far
    assert (shown["status"], shown["attempt"], shown["progress"]) == ("running", 2, 0.25)
    assert shown["started_at"].endswith("Z")
    assert shown["errors"] == [{"code": "worker_died", "message": "It died."}]
    assert shown["error"] is None


def test_a_failed_job_says_why(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    fail(job_id)

    job = call("GET", f"/jobs/{job_id}").json

    assert job["status"] == "failed"
    assert job["error"] == {"code": "corrupt_media", "message": "The file is cut short."}
    assert job["download_url"] is None


def test_waiting_ends_when_the_job_does(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    timer = threading.Timer(0.5, complete, [job_id, "a.webp"])
    timer.start()
    begun = time.monotonic()

    job = call("GET", f"/jobs/{job_id}?wait=20").json

    timer.join()
    assert job["status"] == "completed"
    assert 0.3 < time.monotonic() - begun < 5


def test_waiting_ends_when_the_time_is_over(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    begun = time.monotonic()

    job = call("GET", f"/jobs/{job_id}?wait=0.4").json

    assert job["status"] == "queued"
    assert 0.4 <= time.monotonic() - begun < 3


@pytest.mark.parametrize("ended", [True, False])
def test_a_job_that_redis_has_lost_is_shown_from_the_ledger_and_brought_back(upload: Upload, ended: bool) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    if ended:
        complete(job_id, "a.webp")
    before = call("GET", f"/jobs/{job_id}").json
    redis_client().flushdb()

    after = call("GET", f"/jobs/{job_id}").json

    for name in ("status", "operation", "params", "created_at", "finished_at", "result_path"):
        assert after[name] == before[name], name
    view = views.fetch(job_id)
    assert view is not None
    assert view.status.terminal == ended


@pytest.mark.parametrize("ended", [True, False])
def test_without_redis_the_ledger_answers(upload: Upload, lose: Callable[[str], None], ended: bool) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    if ended:
        complete(job_id, "a.webp")
    lose("cache")

    job = call("GET", f"/jobs/{job_id}?wait=1")

    assert job.status == 200
    assert job.json["status"] == ("completed" if ended else "queued")


def test_without_redis_nobody_can_say_that_a_job_does_not_exist(lose: Callable[[str], None]) -> None:
    lose("cache")

    reply = call("GET", f"/jobs/{ids.new_id()}")

    assert (reply.status, reply.json["code"]) == (503, "cache_unavailable")
    assert int(reply.headers["retry-after"]) > 0
    assert NOWHERE not in reply.body.decode()


def test_without_the_store_a_new_job_is_refused_for_now(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id = upload(JPEG)
    call("GET", f"/files/{file_id}")
    monkeypatch.setenv("DARKROOM_BUCKET", "no-such-bucket")
    config.settings.cache_clear()

    reply = start(file_id)

    assert (reply.status, reply.json["code"]) == (503, StorageUnavailableError.code)
    assert "no-such-bucket" not in reply.body.decode()


@pytest.mark.parametrize("method_and_path", ["GET {}", "DELETE {}", "GET {}/download", "POST {}/retry"])
def test_an_unknown_job_is_not_found(method_and_path: str) -> None:
    method, path = method_and_path.format(f"/jobs/{ids.new_id()}").split()

    reply = call(method, path)

    assert (reply.status, reply.json["code"]) == (404, "job_not_found")


# GET /jobs/{job_id}/download ---------------------------------------------------------------------------------------


def test_a_download_leads_to_the_output_asked_for(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "first.webp", "second.webp")

    for query, name in (("", "first.webp"), ("?output=0", "first.webp"), ("?output=1", "second.webp")):
        reply = call("GET", f"/jobs/{job_id}/download{query}")
        assert reply.status == 307
        with urllib.request.urlopen(reply.headers["location"], timeout=10) as answer:  # noqa: S310
            assert answer.read() == RESULT
            assert name in answer.headers["Content-Disposition"]


def test_a_download_of_an_output_that_the_job_does_not_have_is_refused(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    assert call("GET", f"/jobs/{job_id}/download?output=1").json["code"] == "invalid_request"
    assert call("GET", f"/jobs/{job_id}/download?output=-1").json["code"] == "invalid_request"


def test_a_download_of_a_job_without_result_is_refused(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]

    queued = call("GET", f"/jobs/{job_id}/download")
    fail(job_id)
    failed = call("GET", f"/jobs/{job_id}/download")

    assert (queued.status, queued.json["code"]) == (failed.status, failed.json["code"]) == (409, "job_not_completed")


def test_a_download_of_a_result_that_was_removed_says_so(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    result = complete(job_id, "a.webp")
    s3.delete([result.outputs[0].key])

    reply = call("GET", f"/jobs/{job_id}/download")

    assert (reply.status, reply.json["code"]) == (410, "result_gone")


# GET /jobs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(make_job: Callable[..., Job]) -> list[str]:
    """Seven jobs, oldest first: every other a thumbnail, every third canceled."""
    made, first_ms = [], int(time.time() * 1000) - 60_000
    for number in range(7):
        operation = Operation.THUMBNAIL if number % 2 else Operation.RESIZE
        job = make_job(operation, params={} if number % 2 else {"width": 1}, job_id=ids.new_id(first_ms + number))
        views.create(job)
        if number % 3 == 0:
            views.finish(job.job_id, operation, lifecycle.canceled_result(job, attempt=0))
        made.append(job.job_id)
    return made


def pages(target: str) -> list[list[str]]:
    found, following = [], target
    while following is not None:
        page = call("GET", following).json
        found.append([job["job_id"] for job in page["jobs"]])
        following = page["next"]
    return found


def every(target: str) -> list[str]:
    return [job_id for page in pages(target) for job_id in page]


def test_jobs_are_listed_newest_first_page_by_page(many: list[str]) -> None:
    newest_first = many[::-1]

    assert pages("/jobs") == [newest_first]
    assert pages("/jobs?limit=3") == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert pages(f"/jobs?limit=3&before={many[3]}") == [newest_first[4:7], []]


def test_a_list_can_be_filtered_and_its_pages_keep_the_filter(many: list[str]) -> None:
    thumbnails = [many[5], many[3], many[1]]

    assert every("/jobs?operation=thumbnail&limit=2") == thumbnails
    assert every("/jobs?status=canceled&limit=1") == [many[6], many[3], many[0]]
    assert every("/jobs?status=canceled&operation=thumbnail") == [many[3]]
    assert every("/jobs?status=failed") == []


def test_a_job_that_cannot_be_read_keeps_no_other_from_the_list(many: list[str]) -> None:
    redis_client().hset(keys.view_of(many[2]), "status", "paused")

    assert every("/jobs") == [job_id for job_id in many[::-1] if job_id != many[2]]


def test_a_listed_job_is_a_summary(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    (job,) = call("GET", "/jobs").json["jobs"]
    whole = call("GET", job["status_url"]).json

    assert job.items() <= whole.items()
    assert job["result_path"] == whole["result_path"] != None  # noqa: E711
    assert "download_url" not in job


def test_a_search_stops_after_a_bounded_number_of_jobs_and_says_where_to_go_on(
    many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.job_list.SCAN_LIMIT", 4)
    monkeypatch.setattr("api.job_list._BATCH", 2)

    found = pages("/jobs?status=canceled")

    assert [job_id for page in found for job_id in page] == [many[6], many[3], many[0]]
    assert len(found) == 2


def test_a_job_that_awaits_its_upload_is_not_listed() -> None:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "thumbnail"}]}
    call("POST", "/uploads", json_body=body)

    assert call("GET", "/jobs").json == {"jobs": [], "next": None}


# DELETE /jobs/{job_id} ---------------------------------------------------------------------------------------------


def test_a_canceled_job_has_ended_in_the_ledger_and_in_the_view(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["status"]) == (200, "canceled")
    assert reply.json["finished_at"] is not None
    result = ledger.read_result(job_id)
    assert result is not None
    assert result.status is Status.CANCELED
    assert call("GET", f"/jobs/{job_id}").json == reply.json


def test_canceling_a_running_job_takes_it_from_its_run(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    leases.claim(job_id, Operation.RESIZE, attempt=1, run="a", lease_ms=60_000)

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["attempt"]) == (200, 1)
    assert leases.report_progress(job_id, "a", 0.5) is False
    assert complete(job_id, "late.webp").status is Status.CANCELED


def test_a_job_that_has_ended_cannot_be_canceled(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["code"]) == (409, "job_already_ended")
    assert call("GET", f"/jobs/{job_id}").json["status"] == "completed"


def test_a_cancel_that_comes_after_the_end_but_before_redis_knows_is_refused(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    done = JobResult(job_id=job_id, status=Status.COMPLETED, attempt=1, run="run", finished_at=utc_now())
    ledger.write_result(done)

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["code"]) == (409, "job_already_ended")
    assert call("GET", f"/jobs/{job_id}").json["status"] == "completed"


def test_without_redis_a_job_can_be_canceled(upload: Upload, lose: Callable[[str], None]) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    lose("cache")

    reply = call("DELETE", f"/jobs/{job_id}")

    assert (reply.status, reply.json["status"]) == (200, "canceled")
    assert call("DELETE", f"/jobs/{job_id}").json["code"] == "job_already_ended"


# POST /jobs/{job_id}/retry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["failed", "canceled"])
def test_a_retry_is_a_new_job_and_the_old_one_stays_as_it_is(upload: Upload, take: Take, how: str) -> None:
    old_id = start(upload(JPEG), params={"width": 77}).json["job_id"]
    fail(old_id) if how == "failed" else call("DELETE", f"/jobs/{old_id}")
    take("darkroom.resize")
    old = call("GET", f"/jobs/{old_id}").json

    reply = call("POST", f"/jobs/{old_id}/retry")
    new = reply.json

    assert (reply.status, reply.headers["location"]) == (202, f"/jobs/{new['job_id']}")
    assert (new["status"], new["retry_of"]) == ("queued", old_id)
    assert (new["params"], new["source"]) == (old["params"], old["source"])
    message = take("darkroom.resize")
    assert message is not None
    assert message["body"]["job_id"] == new["job_id"] != old_id
    assert call("GET", f"/jobs/{old_id}").json == old


@pytest.mark.parametrize("ended", [True, False])
def test_a_job_that_did_not_fail_is_not_tried_again(upload: Upload, ended: bool) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    if ended:
        complete(job_id, "a.webp")

    reply = call("POST", f"/jobs/{job_id}/retry")

    assert (reply.status, reply.json["code"]) == (409, "job_not_retryable")


def test_a_retry_needs_the_file(upload: Upload) -> None:
    file_id = upload(JPEG)
    job_id = start(file_id).json["job_id"]
    fail(job_id)
    s3.delete([uploads.key_of(file_id)])

    reply = call("POST", f"/jobs/{job_id}/retry")

    assert (reply.status, reply.json["code"]) == (404, "file_not_found")


def test_a_job_canceled_before_its_upload_can_be_tried_again_once_the_file_is_there() -> None:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "thumbnail"}]}
    asked = call("POST", "/uploads", json_body=body).json
    url = asked["jobs"][0]["status_url"]
    call("DELETE", url)

    early = call("POST", f"{url}/retry")
    s3.put(uploads.key_of(asked["file_id"]), JPEG, media_type="image/jpeg")
    late = call("POST", f"{url}/retry")

    assert (early.status, early.json["code"]) == (409, "file_not_uploaded")
    assert (late.status, late.json["retry_of"]) == (202, asked["jobs"][0]["job_id"])


def test_an_end_that_redis_has_not_heard_of_is_shown_and_told_to_it(
    upload: Upload, lose: Callable[[str], None]
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    lose("cache")
    assert call("DELETE", f"/jobs/{job_id}").json["status"] == "canceled"

    os.environ["DARKROOM_CACHE_URL"] = CACHE_URL
    forget_clients()

    assert views.fetch(job_id).status is Status.QUEUED
    assert call("GET", f"/jobs/{job_id}").json["status"] == "canceled"
    assert views.fetch(job_id).status is Status.CANCELED


def test_an_open_job_is_shown_while_the_object_store_is_down(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{NOWHERE}")
    aws.client.cache_clear()

    assert call("GET", f"/jobs/{job_id}").json["status"] == "queued"
    monkeypatch.undo()
    aws.client.cache_clear()
