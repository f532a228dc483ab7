"""GET /jobs, through the handler, with real Redis."""

import time

import pytest

from darkroom import ids
from darkroom.contracts.operations import Operation
from darkroom.jobs import lifecycle
from darkroom.services.redis import keys, views
from darkroom.services.redis.client import redis_client
from tests.integration.api_jobs import JPEG, complete, start
from tests.integration.conftest import MakeJob, Upload
from tests.support.gateway import call


@pytest.fixture
def many(make_job: MakeJob) -> list[str]:
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
    """The ids of the jobs on each page."""
    found, following = [], target
    while following is not None:
        page = call("GET", following).json
        found.append([job["job_id"] for job in page["jobs"]])
        following = page["next"]
    return found


def listed(target: str) -> list[str]:
    return [job_id for page in pages(target) for job_id in page]


def test_jobs_are_listed_newest_first_page_by_page(many: list[str]) -> None:
    newest_first = many[::-1]

    assert pages("/jobs") == [newest_first]
    assert pages("/jobs?limit=3") == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert pages(f"/jobs?limit=3&before={many[3]}") == [newest_first[4:7], []]


def test_list_can_be_filtered_and_its_pages_keep_the_filter(many: list[str]) -> None:
    thumbnails = [many[5], many[3], many[1]]

    assert listed("/jobs?operation=thumbnail&limit=2") == thumbnails
    assert listed("/jobs?status=canceled&limit=1") == [many[6], many[3], many[0]]
    assert listed("/jobs?status=canceled&operation=thumbnail") == [many[3]]
    assert listed("/jobs?status=failed") == []


def test_unreadable_job_is_left_out_of_the_list(many: list[str]) -> None:
    redis_client().hset(keys.view_of(many[2]), "status", "paused")

    assert listed("/jobs") == [job_id for job_id in many[::-1] if job_id != many[2]]


def test_listed_job_is_a_summary(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    (job,) = call("GET", "/jobs").json["jobs"]
    whole = call("GET", job["status_url"]).json

    assert job.items() <= whole.items()
    assert job["result_path"] == whole["result_path"] != None  # noqa: E711
    assert "download_url" not in job


def test_filtered_list_reads_a_limited_number_of_jobs_per_page(
    many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.job_list.SCAN_LIMIT", 4)
    monkeypatch.setattr("api.job_list._BATCH", 2)

    found = pages("/jobs?status=canceled")

    assert [job_id for page in found for job_id in page] == [many[6], many[3], many[0]]
    assert len(found) == 2


def test_job_that_awaits_its_upload_is_not_listed() -> None:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "thumbnail"}]}
    call("POST", "/uploads", json_body=body)

    assert call("GET", "/jobs").json == {"jobs": [], "next": None}
