"""`priority`, and the limit of jobs in flight that the API passes on, through the handler."""

import pytest

from darkroom.contracts.tenants import Quotas
from darkroom.jobs import uploads
from darkroom.services import s3
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from tests.integration.api_jobs import JPEG, accepted, start
from tests.integration.conftest import Upload
from tests.integration.test_api_uploads import notify_ingest, request_form, submit
from tests.support.gateway import Reply, acting_as, call
from tests.support.tenants import ref_of

KEY = {"Idempotency-Key": "a-key"}


def start_batch(file_id: str, **more: object) -> Reply:
    body = {"file_id": file_id, "operation": "resize", "params": {"width": 100}, "priority": "batch"}
    return call("POST", "/jobs", json_body=body | more)


def test_batch_job_is_behind_the_normal_ones(upload: Upload) -> None:
    file_id = upload(JPEG)
    waiting, normal = start_batch(file_id).json, start(file_id).json

    assert (waiting["priority"], normal["priority"]) == ("batch", "normal")
    shown = [call("GET", job["status_url"]).json for job in (waiting, normal)]
    assert [(job["priority"], job["queue_position"]) for job in shown] == [("batch", 2), ("normal", 1)]


def test_priority_that_does_not_exist_is_refused(upload: Upload) -> None:
    reply = start_batch(upload(JPEG), priority="urgent")

    assert (reply.status, reply.json["code"]) == (422, "invalid_request")


def test_retry_keeps_the_priority(upload: Upload) -> None:
    old = start_batch(upload(JPEG)).json["job_id"]
    call("DELETE", f"/jobs/{old}")

    assert call("POST", f"/jobs/{old}/retry").json["priority"] == "batch"


def test_attached_job_has_its_priority_when_the_file_has_arrived() -> None:
    created = request_form(
        jobs=[
            {"operation": "resize", "params": {"width": 100}, "priority": "batch"},
            {"operation": "resize", "params": {"width": 200}},
        ]
    ).json
    urls = [job["status_url"] for job in created["jobs"]]
    assert [call("GET", url).json["priority"] for url in urls] == ["batch", "normal"]

    assert submit(created["upload"], JPEG) < 300
    notify_ingest(created["file_id"])

    shown = [call("GET", url).json for url in urls]
    assert [(job["priority"], job["queue_position"]) for job in shown] == [("batch", 2), ("normal", 1)]


def test_normal_priority_takes_no_space_in_the_metadata_of_an_upload_and_in_the_ledger(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    created = request_form(jobs=[{"operation": "thumbnail", "priority": "normal"}]).json

    assert "priority" not in created["upload"]["fields"]["x-amz-meta-jobs"]
    assert "priority" not in accepted(job_id).model_dump_json()


def test_key_with_another_priority_is_another_request(upload: Upload) -> None:
    file_id = upload(JPEG)
    body = {"file_id": file_id, "operation": "resize", "params": {"width": 100}}
    first = call("POST", "/jobs", json_body=body, headers=KEY)
    same = call("POST", "/jobs", json_body=body | {"priority": "normal"}, headers=KEY)
    other = call("POST", "/jobs", json_body=body | {"priority": "batch"}, headers=KEY)

    assert first.json["job_id"] == same.json["job_id"]
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("most", [3, None])
def test_limit_of_jobs_in_flight_reaches_redis_with_a_job_and_with_a_form(most: int | None) -> None:
    limit = keys.most_in_flight_of("limited")

    def stored() -> str | None:
        found = redis_client().get(limit)
        assert found is None or redis_client().ttl(limit) > 0
        return None if found is None else str(found)

    expected = None if most is None else str(most)
    redis_client().set(limit, 9, ex=60)
    with acting_as("limited", quotas=Quotas(in_flight_jobs=most)):
        request_form(jobs=[{"operation": "thumbnail"}])
        assert stored() == expected
        file_id = request_form().json["file_id"]
        s3.put(uploads.key_of("limited", file_id), JPEG, media_type="image/jpeg")
        redis_client().set(limit, 9, ex=60)
        assert start(file_id).status == 202
        assert stored() == expected


def test_job_that_is_canceled_leaves_the_ready_ones_at_once(upload: Upload) -> None:
    first, second = (start(upload(JPEG)).json["job_id"] for _ in range(2))

    call("DELETE", f"/jobs/{first}")

    assert call("GET", f"/jobs/{second}").json["queue_position"] == 1
    assert views.position_in_queue(ref_of(first), accepted(first).operation) is None
