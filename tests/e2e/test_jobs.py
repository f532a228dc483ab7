"""The life of a job as clients see it: wait, list, cancel, retry."""

import time

import pytest

from tests.e2e.conftest import Service
from tests.support.videos import Clips

UNKNOWN = "01900000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def long_video(service: Service, clips: Clips) -> str:
    return service.file(clips("bench_20s_720p.mp4").read_bytes(), "long.mp4", "video/mp4")


def test_accepted_job_has_its_path_in_location(service: Service, photo: str) -> None:
    answer = service.submit(photo, "thumbnail")

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"].endswith(f"/jobs/{job['job_id']}")
    assert job["status"] in {"queued", "running"}
    assert service.ended(job["job_id"])["finished_at"]


def test_wait_ends_as_soon_as_the_job_ends(service: Service, photo: str) -> None:
    job_id = service.submit(photo, "thumbnail").json()["job_id"]

    started = time.monotonic()
    job = service.http.get(f"/jobs/{job_id}", params={"wait": 25}).json()

    assert job["status"] == "completed"
    assert time.monotonic() - started < 15


def test_long_job_shows_its_progress_and_can_be_canceled(service: Service, long_video: str) -> None:
    job_id = service.submit(long_video, "video_compress", {"preset": "slower", "crf": 18}).json()["job_id"]
    service.until(lambda: service.http.get(f"/jobs/{job_id}").json()["progress"] > 0)

    job = service.http.get(f"/jobs/{job_id}").json()
    assert job["speed"] > 0
    assert job["remaining_s"] > 0
    canceled = service.http.delete(f"/jobs/{job_id}")

    assert canceled.status_code == 200
    assert canceled.json()["status"] == "canceled"
    assert service.http.delete(f"/jobs/{job_id}").status_code == 409
    assert service.http.get(f"/jobs/{job_id}/download").json()["code"] == "job_not_completed"


def test_canceled_job_can_be_retried_as_a_new_job(service: Service, long_video: str) -> None:
    job_id = service.submit(long_video, "video_compress", {"preset": "ultrafast"}).json()["job_id"]
    service.http.delete(f"/jobs/{job_id}")

    answer = service.http.post(f"/jobs/{job_id}/retry")

    assert answer.status_code == 202
    retried = service.ended(answer.json()["job_id"])
    assert (retried["status"], retried["retry_of"]) == ("completed", job_id)
    assert service.ended(job_id)["status"] == "canceled"
    assert service.http.post(f"/jobs/{retried['job_id']}/retry").json()["code"] == "job_not_retryable"


def test_jobs_are_listed_newest_first_page_by_page(service: Service, photo: str) -> None:
    made = [service.submit(photo, "thumbnail", {"width": 10 + n}).json()["job_id"] for n in range(3)]
    for job_id in made:
        service.ended(job_id)

    first = service.http.get("/jobs", params={"limit": 2, "operation": "thumbnail"}).json()
    second = service.http.get(first["next"]).json()

    listed = [job["job_id"] for job in first["jobs"] + second["jobs"]]
    assert listed[:3] == made[::-1]
    assert all(job["operation"] == "thumbnail" for job in first["jobs"])


def test_download_redirects_to_a_presigned_link(service: Service, photo: str) -> None:
    job = service.run(photo, "thumbnail")

    answer = service.http.get(f"/jobs/{job['job_id']}/download")

    assert answer.status_code == 307
    assert "X-Amz-Signature" in answer.headers["location"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/jobs/{}"), ("DELETE", "/jobs/{}"), ("POST", "/jobs/{}/retry"), ("GET", "/jobs/{}/download")],
)
def test_unknown_or_malformed_job_id_is_refused(service: Service, method: str, path: str) -> None:
    unknown = service.http.request(method, path.format(UNKNOWN))
    malformed = service.http.request(method, path.format("not-an-id"))

    assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")
    assert (malformed.status_code, malformed.json()["code"]) == (422, "invalid_id")


def test_100_concurrent_jobs_complete(service: Service, photo: str) -> None:
    ids = [service.submit(photo, "thumbnail", {"width": 16, "height": 16}).json()["job_id"] for _ in range(100)]

    assert {service.ended(job_id)["status"] for job_id in ids} == {"completed"}
