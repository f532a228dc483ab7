"""Presigned uploads: directly to S3, with jobs that start when the file arrives."""

import pytest

from tests.e2e.conftest import CLIP, MEDIA, Service

PHOTO = (MEDIA / "rocket.jpg").read_bytes()


def test_attached_jobs_start_when_the_file_arrives(service: Service) -> None:
    jobs = [
        {"operation": "resize", "params": {"width": 120}},
        {"operation": "thumbnail", "params": {"format": "webp"}},
        {"operation": "watermark", "params": {"text": "ours"}},
    ]
    form = service.form("rocket.jpg", "image/jpeg", jobs)
    waiting = service.http.get(f"/jobs/{form['jobs'][0]['job_id']}").json()
    assert waiting["status"] == "queued"

    assert service.send(form, PHOTO).status_code == 204

    ended = [service.ended(job["job_id"]) for job in form["jobs"]]
    assert [job["status"] for job in ended] == ["completed"] * 3
    assert [job["operation"] for job in ended] == ["resize", "thumbnail", "watermark"]
    file = service.http.get(f"/files/{form['file_id']}").json()
    assert (file["status"], file["media_type"], file["size_bytes"]) == ("ready", "image/jpeg", len(PHOTO))


def test_job_can_be_started_on_a_file_uploaded_with_a_form(service: Service) -> None:
    form = service.form("rocket.jpg", "image/jpeg")
    assert service.submit(form["file_id"], "thumbnail").json()["code"] == "file_not_uploaded"
    service.send(form, PHOTO)
    service.until(lambda: service.http.get(f"/files/{form['file_id']}").json()["status"] == "ready")

    assert service.run(form["file_id"], "thumbnail")["status"] == "completed"


def test_form_refuses_a_file_that_is_too_large_or_of_another_type(service: Service) -> None:
    form = service.form("rocket.jpg", "image/jpeg", size_bytes=1000)

    too_large = service.send(form, b"\xff\xd8\xff" + b"x" * 2000)
    other_type = service.send(form, b"\xff\xd8\xff", **{"Content-Type": "text/html"})

    assert too_large.status_code == 400
    assert "EntityTooLarge" in too_large.text
    assert other_type.status_code == 403
    assert service.http.get(f"/files/{form['file_id']}").json()["status"] == "awaiting"


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (PHOTO, "image/png", "media_type_mismatch"),
        (b"this is plain text", "image/jpeg", "unsupported_media_type"),
        (CLIP.read_bytes(), "image/jpeg", "media_type_mismatch"),
    ],
)
def test_upload_whose_content_is_not_of_its_declared_type_fails_its_jobs(
    service: Service, content: bytes, media_type: str, code: str
) -> None:
    form = service.form("photo.jpg", media_type, [{"operation": "thumbnail", "params": {}}])
    service.send(form, content)

    job = service.ended(form["jobs"][0]["job_id"])

    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert job["error"]["message"].endswith(".")
    file = service.http.get(f"/files/{form['file_id']}").json()
    assert (file["status"], file["error"]["code"]) == ("rejected", code)
    assert service.submit(form["file_id"], "thumbnail").json()["code"] == code


@pytest.mark.parametrize(
    "name",
    ["Łódź 写真 🚀.jpg", "../../etc/passwd", "C:\\Windows\\system32\\a.jpg", "a\r\nX-Evil: 1.jpg", "%2e%2e%2f.jpg"],
)
def test_hostile_or_foreign_file_name_is_harmless(service: Service, name: str) -> None:
    form = service.form(name, "image/jpeg", [{"operation": "thumbnail", "params": {}}])
    assert service.send(form, PHOTO).status_code == 204

    job = service.ended(form["jobs"][0]["job_id"])

    assert job["status"] == "completed"
    shown = service.http.get(f"/files/{form['file_id']}").json()["name"]
    assert "/" not in shown
    assert "\\" not in shown
    assert "\n" not in shown
    assert service.result(job)


def test_job_can_be_canceled_before_its_upload(service: Service) -> None:
    form = service.form("rocket.jpg", "image/jpeg", [{"operation": "thumbnail", "params": {}}])
    job_id = form["jobs"][0]["job_id"]

    assert service.http.delete(f"/jobs/{job_id}").json()["status"] == "canceled"
    service.send(form, PHOTO)
    service.until(lambda: service.http.get(f"/files/{form['file_id']}").json()["status"] == "ready")

    assert service.ended(job_id)["status"] == "canceled"
