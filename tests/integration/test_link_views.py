"""What an upload link sees: its own files and jobs, and nothing else, with real Redis and S3."""

import json
import time

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Job, JobRef, JobResult, Output, Status
from darkroom.contracts.tenants import UploadLink
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.services import s3
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from tests.integration.api_jobs import JPEG
from tests.integration.conftest import BreakService
from tests.integration.link_requests import (
    ONE_TRACE,
    TENANT,
    THUMBNAIL,
    new_link,
    through,
    upload,
)
from tests.integration.link_requests import closed_deployment as closed_deployment
from tests.support.gateway import call


def bodies(link: UploadLink, path: str, identifiers: list[str]) -> list[bytes]:
    """The bodies of 404 responses, with the identifiers replaced."""
    replies = [through(link, "GET", path.format(identifier), headers=ONE_TRACE) for identifier in identifiers]
    assert [reply.status for reply in replies] == [404] * len(identifiers)
    return [reply.body.replace(each.encode(), b"ID") for reply, each in zip(replies, identifiers, strict=True)]


@pytest.mark.parametrize("redis_is_empty", [False, True])
def test_everything_that_did_not_come_through_the_link_is_like_what_does_not_exist(redis_is_empty: bool) -> None:
    link, other = new_link(), new_link()
    upload(link)
    through_other = upload(other)
    file_id = ids.new_id()
    s3.put(uploads.key_of(TENANT, file_id), JPEG, media_type="image/jpeg")
    job = call("POST", "/jobs", json_body={"file_id": file_id, **THUMBNAIL}).json["job_id"]
    if redis_is_empty:
        redis_client().flushdb()

    files = bodies(link, "/files/{}", [file_id, through_other["file_id"], ids.new_id()])
    assert len(set(files)) == 1
    for path in ("/jobs/{}", "/jobs/{}?wait=5", "/jobs/{}/download"):
        started = time.monotonic()
        assert len(set(bodies(link, path, [job, through_other["jobs"][0]["job_id"], ids.new_id()]))) == 1
        assert time.monotonic() - started < 4, "waited for a job that it does not see"


def test_job_that_the_tenant_starts_on_a_file_of_the_link_is_not_shown_to_the_link() -> None:
    link = new_link()
    file_id = upload(link)["file_id"]

    job = call("POST", "/jobs", json_body={"file_id": file_id, **THUMBNAIL}).json

    assert job["link_id"] is None
    assert through(link, "GET", f"/jobs/{job['job_id']}").status == 404


def test_outage_of_redis_shows_no_more_of_a_job_than_of_one_that_does_not_exist(break_service: BreakService) -> None:
    link, other = new_link(), new_link()
    own, foreign = (upload(each)["jobs"][0]["job_id"] for each in (link, other))
    break_service("cache")

    replies = [through(link, "GET", f"/jobs/{job_id}") for job_id in (own, foreign, ids.new_id())]

    assert [reply.status for reply in replies] == [200, 503, 503]


def test_link_downloads_the_outputs_of_its_own_jobs() -> None:
    link, other = new_link(), new_link()
    job_id = upload(link)["jobs"][0]["job_id"]
    path = f"/jobs/{job_id}/download"
    assert through(link, "GET", path).json["code"] == "job_not_completed"

    complete(job_id)

    reply = through(link, "GET", path)
    assert (reply.status, f"processed/{TENANT}/{job_id}/" in reply.headers["location"]) == (307, True)
    assert through(other, "GET", path).status == 404


def complete(job_id: str) -> None:
    job = ledger.read_job(JobRef(TENANT, job_id))
    assert job is not None
    key = f"processed/{TENANT}/{job_id}/run/photo.jpg"
    s3.put(key, JPEG, media_type="image/jpeg")
    output = Output(name="photo.jpg", key=key, media_type="image/jpeg", size_bytes=len(JPEG), sha256="0" * 64)
    result = JobResult(
        job_id=job_id, status=Status.COMPLETED, attempt=1, run="run", finished_at=utc_now(), outputs=[output]
    )
    lifecycle.end(job, result)


def test_job_of_an_earlier_version_came_through_no_link() -> None:
    job = {
        "job_id": "019ab0c4-8b52-7e90-a3c8-5d2f7b914e60",
        "tenant": TENANT,
        "operation": "thumbnail",
        "params": {},
        "source": {"type": "file", "file_id": "019ab0c4-7f3a-7c21-9d54-3f1b8e6a2c07"},
        "created_at": "2026-03-01T09:30:00.000Z",
        "traceparent": "",
    }

    assert Job.model_validate_json(json.dumps(job)).link_id is None
