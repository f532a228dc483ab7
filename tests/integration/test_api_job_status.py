"""GET /jobs/{job_id}, through the handler, with real Redis and S3."""

import os
import threading
import time
import urllib.request

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import Failure, JobRef, JobResult, Message, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, lifecycle
from darkroom.services.redis import keys, leases, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from tests.integration.api_jobs import JPEG, OUTPUT, accepted, complete, fail, start
from tests.integration.conftest import NOWHERE, BreakService, Upload, forget_connections, view_of
from tests.integration.redis_jobs import acquire
from tests.support.gateway import call
from tests.support.tenants import ref_of
from tests.support.waiting import wait_until

CACHE_URL = os.environ.get("DARKROOM_CACHE_URL", "")


def test_completed_job_shows_its_outputs_with_links_that_work(upload: Upload) -> None:
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
        assert answer.read() == OUTPUT
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C5%81%C3%B3d%C5%BA.webp"


def test_running_job_shows_attempt_progress_and_earlier_failures(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    failure = Failure(code="worker_died", message="It crashed.")
    leases.claim(ref_of(job_id), Operation.RESIZE, attempt=1, run="a", lease_ms=1000)
    leases.requeue(accepted(job_id), attempt=1, run="a", failure=failure, delay_s=1)
    leases.claim(ref_of(job_id), Operation.RESIZE, attempt=2, run="b", lease_ms=60_000)
    time.sleep(0.3)
    leases.report_progress(accepted(job_id), "b", 0.25, 7.5, attempt=2, lease_ms=60_000)

    shown = call("GET", f"/jobs/{job_id}").json

    assert shown["speed"] == 7.5
    assert 0.9 <= shown["remaining_s"] < 60  # three times as long as it has taken so far
    assert (shown["status"], shown["attempt"], shown["progress"]) == ("running", 2, 0.25)
    assert shown["started_at"].endswith("Z")
    assert shown["errors"] == [{"code": "worker_died", "message": "It crashed."}]
    assert shown["error"] is None


def test_failed_job_shows_why(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    fail(job_id)

    job = call("GET", f"/jobs/{job_id}").json

    assert job["status"] == "failed"
    assert job["error"] == {"code": "corrupt_media", "message": "The file is incomplete."}
    assert job["download_url"] is None


def test_wait_ends_when_the_job_ends(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    timer = threading.Timer(0.5, complete, [job_id, "a.webp"])
    timer.start()
    started = time.monotonic()

    job = call("GET", f"/jobs/{job_id}?wait=20").json

    timer.join()
    assert job["status"] == "completed"
    assert 0.3 < time.monotonic() - started < 5


def test_wait_ends_after_the_requested_time(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    started = time.monotonic()

    job = call("GET", f"/jobs/{job_id}?wait=0.4").json

    assert job["status"] == "queued"
    assert 0.4 <= time.monotonic() - started < 3


@pytest.mark.parametrize("ended", [True, False])
def test_job_that_redis_has_lost_is_read_from_the_ledger_and_restored_if_it_is_open(
    upload: Upload, ended: bool
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    if ended:
        complete(job_id, "a.webp")
    before = call("GET", f"/jobs/{job_id}").json
    redis_client().flushdb()

    after = call("GET", f"/jobs/{job_id}").json

    for name in ("status", "operation", "params", "created_at", "finished_at", "result_path"):
        assert after[name] == before[name], name
    view = views.fetch(ref_of(job_id))
    assert view is None if ended else view is not None and view.status is Status.QUEUED


@pytest.mark.parametrize("ended", [True, False])
def test_job_is_read_from_the_ledger_during_an_outage_of_redis(
    upload: Upload, break_service: BreakService, ended: bool
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    if ended:
        complete(job_id, "a.webp")
    break_service("cache")

    job = call("GET", f"/jobs/{job_id}?wait=1")

    assert job.status == 200
    assert job.json["status"] == ("completed" if ended else "queued")


def test_unknown_job_is_unavailable_during_an_outage_of_redis(break_service: BreakService) -> None:
    break_service("cache")

    reply = call("GET", f"/jobs/{ids.new_id()}")

    assert (reply.status, reply.json["code"]) == (503, "cache_unavailable")
    assert int(reply.headers["retry-after"]) > 0
    assert NOWHERE not in reply.body.decode()


@pytest.mark.parametrize("method_and_path", ["GET {}", "DELETE {}", "GET {}/download", "POST {}/retry"])
def test_unknown_job_is_not_found(method_and_path: str) -> None:
    method, path = method_and_path.format(f"/jobs/{ids.new_id()}").split()

    reply = call(method, path)

    assert (reply.status, reply.json["code"]) == (404, "job_not_found")


def test_result_that_is_missing_in_redis_is_shown_and_restored(
    upload: Upload, break_service: BreakService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    break_service("cache")
    assert call("DELETE", f"/jobs/{job_id}").json["status"] == "canceled"

    monkeypatch.setenv("DARKROOM_CACHE_URL", CACHE_URL)
    forget_connections()

    assert view_of(job_id).status is Status.QUEUED
    assert call("GET", f"/jobs/{job_id}").json["status"] == "canceled"
    assert view_of(job_id).status is Status.CANCELED


def test_result_that_has_not_reached_redis_keeps_the_earlier_timeline(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    acquire(view_of(job_id).job)
    leases.claim(ref_of(job_id), Operation.RESIZE, attempt=1, run="run", lease_ms=1000)
    result = JobResult(
        job_id=job_id, status=Status.COMPLETED, attempt=1, run="run", uploaded_at=utc_now(), finished_at=utc_now()
    )
    ledger.write_result(ref_of(job_id), result)

    at_first, afterwards = call("GET", f"/jobs/{job_id}").json, call("GET", f"/jobs/{job_id}").json

    events = ["accepted", "dispatched", "claimed", "uploaded", "completed"]
    assert [entry["event"] for entry in at_first["timeline"]] == events
    assert at_first["timeline"] == afterwards["timeline"]
    assert (at_first["status"], at_first["attempt"]) == ("completed", 1)


@pytest.mark.parametrize(
    "method_and_path", ["GET {}", "GET {}?wait=1", "DELETE {}", "GET {}/download", "POST {}/retry"]
)
def test_job_that_may_have_ended_is_unavailable_during_an_outage_of_the_object_store(
    upload: Upload, break_service: BreakService, method_and_path: str
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    break_service("storage")

    reply = call(*method_and_path.format(f"/jobs/{job_id}").split())

    assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")
    assert int(reply.headers["retry-after"]) > 0


def test_job_that_has_ended_in_redis_is_shown_during_an_outage_of_the_object_store(
    upload: Upload, break_service: BreakService
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    fail(job_id)
    break_service("storage")

    assert call("GET", f"/jobs/{job_id}").json["status"] == "failed"


def test_result_that_is_written_while_a_client_waits_is_shown_although_redis_was_not_told(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    job = accepted(job_id)
    timer = threading.Timer(0.3, lambda: ledger.write_result(job.ref, lifecycle.canceled_result(job, attempt=0)))
    timer.start()

    shown = call("GET", f"/jobs/{job_id}?wait=1").json

    timer.join()
    assert shown["status"] == "canceled"


def test_cancel_that_is_answered_while_the_position_in_the_queue_is_asked_is_shown(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    position_in_queue = views.position_in_queue

    def cancel_first(job: JobRef, operation: Operation) -> int | None:
        canceled = lifecycle.canceled_result(accepted(job_id), attempt=0)
        ledger.write_result(job, canceled)  # another client is told so
        return position_in_queue(job, operation)

    monkeypatch.setattr(views, "position_in_queue", cancel_first)

    shown = call("GET", f"/jobs/{job_id}").json

    assert (shown["status"], shown["queue_position"]) == ("canceled", None)


def test_ended_job_leaves_redis_after_its_time_and_is_shown_as_before(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_CACHE_ENDED_S", "2")
    config.settings.cache_clear()
    file_id = upload(JPEG)
    job_id, open_id = (start(file_id).json["job_id"] for _ in range(2))
    slots.acquire(
        [Message(job_id=job_id, tenant="default", operation=Operation.RESIZE, attempt=1)], Operation.RESIZE, limit=1
    )
    leases.claim(ref_of(job_id), Operation.RESIZE, attempt=1, run="run", lease_ms=1000)
    complete(job_id, "a.webp")
    before = call("GET", f"/jobs/{job_id}").json

    wait_until(lambda: not [key for key in redis_client().keys("*") if job_id in key or file_id in key])

    assert redis_client().ttl(keys.view_of(ref_of(open_id))) > 86_400
    after = call("GET", f"/jobs/{job_id}").json
    volatile = {"timeline", "download_url", "outputs"}
    assert {name: after[name] for name in after if name not in volatile} == {
        name: before[name] for name in before if name not in volatile
    }
    assert [entry["event"] for entry in after["timeline"]] == ["accepted", "claimed", "completed"]
    assert call("GET", f"/files/{file_id}").json["status"] == "ready"
    assert [job["job_id"] for job in call("GET", "/jobs").json["jobs"]] == [open_id, job_id]
