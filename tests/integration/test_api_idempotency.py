"""Idempotency keys and back-pressure, through the handler, with the real services."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api import idempotency
from darkroom import config, ids
from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.jobs import acceptance, ledger, uploads
from darkroom.services import s3
from darkroom.services.redis import keys, leases
from darkroom.services.redis.client import redis_client
from functions.ingest import app as ingest
from tests.integration.conftest import MakeJob, Upload, view_of
from tests.support.gateway import Reply, call, multipart
from tests.support.tenants import TENANT, ref_of, upload_key

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 60
KEY = {"idempotency-key": "order-4711"}

Headers = dict[str, str]


def start(file_id: str, width: int = 100, headers: Headers | None = None) -> Reply:
    body = {"file_id": file_id, "operation": "resize", "params": {"width": width}}
    return call("POST", "/jobs", json_body=body, headers=headers)


def request_form(headers: Headers | None = None, **more: Any) -> Reply:
    jobs = [{"operation": "resize", "params": {"width": 10}}, {"operation": "thumbnail"}]
    body = {"name": "photo.jpg", "media_type": "image/jpeg", "jobs": jobs} | more
    return call("POST", "/uploads", json_body=body, headers=headers)


def send(content: bytes, headers: Headers | None = None) -> Reply:
    body, made = multipart({}, name="photo.jpg", media_type="image/jpeg", content=content)
    return call("POST", "/upload", body=body, headers=made | (headers or {}))


def count_jobs() -> int:
    """How many jobs the ledger has."""
    return sum(key.endswith(ledger.JOB_FILE) for key in s3.keys_after(ledger.LEDGER_PREFIX))


def test_repeated_request_with_the_same_key_starts_one_job(upload: Upload) -> None:
    file_id = upload(JPEG)

    first, second = start(file_id, headers=KEY), start(file_id, headers=KEY)

    assert (first.status, second.status) == (202, 202)
    assert second.json == first.json
    assert count_jobs() == 1


def test_without_a_key_every_request_starts_a_job(upload: Upload) -> None:
    file_id = upload(JPEG)

    assert start(file_id).json["job_id"] != start(file_id).json["job_id"]


def test_same_key_with_another_request_is_refused(upload: Upload) -> None:
    file_id = upload(JPEG)
    start(file_id, headers=KEY)

    for other in (start(file_id, width=101, headers=KEY), request_form(headers=KEY), send(JPEG, headers=KEY)):
        assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert count_jobs() == 1


def test_same_key_with_other_parameters_of_an_attached_job_is_refused() -> None:
    def request_width(width: int) -> Reply:
        return request_form(headers=KEY, jobs=[{"operation": "resize", "params": {"width": width}}])

    assert [request_width(10).status, request_width(10).status, request_width(11).status] == [201, 201, 422]


def test_concurrent_requests_with_the_same_key_get_the_same_identifiers() -> None:
    with ThreadPoolExecutor(12) as executor:
        reserved = list(
            executor.map(lambda _: idempotency.reserve_ids(TENANT, "order-4711", b"the same request", 2), range(12))
        )

    assert len({tuple(reservation.identifiers) for reservation in reserved}) == 1


def test_repeated_request_returns_the_current_status_of_the_job(upload: Upload) -> None:
    file_id = upload(JPEG)
    job_id = start(file_id, headers=KEY).json["job_id"]
    call("DELETE", f"/jobs/{job_id}")
    redis_client().flushdb()

    again = start(file_id, headers=KEY)

    assert (again.status, again.json["job_id"], again.json["status"]) == (202, job_id, "canceled")
    assert view_of(job_id).status == "canceled"


def test_repeated_request_is_accepted_although_its_file_is_gone_and_the_queue_is_full(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = upload(JPEG)
    job_id = start(file_id, headers=KEY).json["job_id"]
    s3.delete([upload_key(file_id)])
    redis_client().delete(keys.file_of(TENANT, file_id))
    monkeypatch.setenv("DARKROOM_MAX_WAITING", "1")
    config.settings.cache_clear()

    again, another = start(file_id, headers=KEY), start(upload(JPEG))

    assert (again.status, again.json["job_id"]) == (202, job_id)
    assert another.status == 429


def test_refused_request_is_checked_again_when_it_is_repeated(upload: Upload) -> None:
    file_id = ids.new_id()
    assert start(file_id, headers=KEY).status == 404
    s3.put(upload_key(file_id), JPEG, media_type="image/jpeg", metadata=uploads.metadata_of("a.jpg", []))

    assert [start(file_id, headers=KEY).status for _ in range(2)] == [202, 202]
    assert count_jobs() == 1


def test_retry_that_is_sent_twice_with_one_key_starts_one_job(upload: Upload) -> None:
    old_id = start(upload(JPEG)).json["job_id"]
    call("DELETE", f"/jobs/{old_id}")

    first, second = (call("POST", f"/jobs/{old_id}/retry", headers=KEY) for _ in range(2))

    assert (first.status, second.status) == (202, 202)
    assert second.json == first.json
    assert first.json["retry_of"] == old_id
    assert call("POST", f"/jobs/{old_id}/retry").json["job_id"] != first.json["job_id"]
    assert count_jobs() == 3


def test_key_of_a_retry_is_refused_for_the_retry_of_another_job(upload: Upload) -> None:
    file_id = upload(JPEG)
    old_ids = [start(file_id).json["job_id"] for _ in range(2)]
    for old_id in old_ids:
        call("DELETE", f"/jobs/{old_id}")

    first, second = (call("POST", f"/jobs/{old_id}/retry", headers=KEY) for old_id in old_ids)

    assert (first.status, second.status, second.json["code"]) == (202, 422, "idempotency_key_reused")


def test_repeated_upload_is_one_file() -> None:
    first, second = send(JPEG, headers=KEY), send(JPEG, headers=KEY)

    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json


def test_repeated_request_for_a_form_returns_the_same_file_and_jobs() -> None:
    first, second = request_form(headers=KEY), request_form(headers=KEY)

    assert second.json["file_id"] == first.json["file_id"]
    assert [job["job_id"] for job in second.json["jobs"]] == [job["job_id"] for job in first.json["jobs"]]


def test_form_requested_again_after_the_upload_changes_nothing() -> None:
    form = request_form(headers=KEY).json
    key = upload_key(form["file_id"])
    metadata = {
        name.removeprefix("x-amz-meta-"): text for name, text in form["upload"]["fields"].items() if "meta" in name
    }
    s3.put(key, JPEG, media_type="image/jpeg", metadata=metadata)
    ingest.handler({"Records": [{"s3": {"object": {"key": key}}}]}, None)
    job_id = form["jobs"][0]["job_id"]
    call("DELETE", f"/jobs/{job_id}")

    request_form(headers=KEY)

    assert call("GET", f"/jobs/{job_id}").json["status"] == "canceled"
    assert call("GET", f"/files/{form['file_id']}").json["status"] == "ready"


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_key_that_is_empty_or_too_long_is_refused(upload: Upload, key: str) -> None:
    reply = start(upload(JPEG), headers={"idempotency-key": key})

    assert (reply.status, reply.json["code"]) == (422, "invalid_request")


# Back-pressure -----------------------------------------------------------------------------------------------------


@pytest.fixture
def limit_of_two_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_MAX_WAITING", "2")
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


def test_job_for_a_full_queue_is_refused_with_retry_after(upload: Upload, limit_of_two_jobs: None) -> None:
    file_id = upload(JPEG)
    assert [start(file_id).status for _ in range(2)] == [202, 202]

    refused = start(file_id)

    assert (refused.status, refused.json["code"]) == (429, "too_many_jobs")
    assert int(refused.headers["retry-after"]) > 0
    assert request_form().json["code"] == "too_many_jobs"


def test_full_queue_does_not_affect_another_operation(upload: Upload, limit_of_two_jobs: None) -> None:
    file_id = upload(JPEG)
    for _ in range(2):
        start(file_id)

    reply = call("POST", "/jobs", json_body={"file_id": file_id, "operation": "thumbnail"})

    assert reply.status == 202


def test_queue_has_room_again_when_a_job_starts_or_ends(upload: Upload, limit_of_two_jobs: None) -> None:
    file_id = upload(JPEG)
    first, second = (start(file_id).json["job_id"] for _ in range(2))
    leases.claim(ref_of(first), Operation.RESIZE, attempt=1, run="run-1", lease_ms=60_000)
    assert start(file_id).status == 202
    assert start(file_id).status == 429

    call("DELETE", f"/jobs/{second}")

    assert start(file_id).status == 202


def test_queued_job_shows_its_position_in_the_queue(make_job: MakeJob) -> None:
    jobs = [make_job(job_id=ids.new_id(at_ms=1_800_000_000_000 + number)) for number in range(3)]
    for job in jobs:
        acceptance.accept(job)

    def position(job: Job) -> Any:
        return call("GET", f"/jobs/{job.job_id}").json["queue_position"]

    assert [position(job) for job in jobs] == [1, 2, 3]
    leases.claim(jobs[0].ref, Operation.RESIZE, attempt=1, run="run-1", lease_ms=60_000)
    assert [position(job) for job in jobs] == [None, 1, 2]
