"""Presigned uploads: straight to S3, with jobs that start by themselves."""

import pytest

from tests.e2e.conftest import CLIP, MEDIA

PHOTO = (MEDIA / "rocket.jpg").read_bytes()


def test_jobs_that_came_with_an_upload_start_by_themselves(service):
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


def test_a_file_can_have_jobs_after_it_was_uploaded_by_form(service):
    form = service.form("rocket.jpg", "image/jpeg")
    assert service.submit(form["file_id"], "thumbnail").json()["code"] == "file_not_uploaded"
    service.send(form, PHOTO)
    service.until(lambda: service.http.get(f"/files/{form['file_id']}").json()["status"] == "ready")

    assert service.run(form["file_id"], "thumbnail")["status"] == "completed"


def test_the_form_refuses_a_file_that_is_too_large_or_of_another_type(service):
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
        (b"this is only text", "image/jpeg", "unsupported_media_type"),
        (CLIP.read_bytes(), "image/jpeg", "media_type_mismatch"),
    ],
)
def test_an_upload_whose_bytes_contradict_its_type_fails_its_jobs(service, content, media_type, code):
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
def test_file_names_of_any_kind_are_harmless(service, name):
    form = service.form(name, "image/jpeg", [{"operation": "thumbnail", "params": {}}])
    assert service.send(form, PHOTO).status_code == 204

    job = service.ended(form["jobs"][0]["job_id"])

    assert job["status"] == "completed"
    shown = service.http.get(f"/files/{form['file_id']}").json()["name"]
    assert "/" not in shown
    assert "\\" not in shown
    assert "\n" not in shown
    assert service.result(job)


def test_an_upload_to_come_can_be_canceled(service):
    form = service.form("rocket.jpg", "image/jpeg", [{"operation": "thumbnail", "params": {}}])
    job_id = form["jobs"][0]["job_id"]

    assert service.http.delete(f"/jobs/{job_id}").json()["status"] == "canceled"
    service.send(form, PHOTO)
    service.until(lambda: service.http.get(f"/files/{form['file_id']}").json()["status"] == "ready")

    assert service.ended(job_id)["status"] == "canceled"
