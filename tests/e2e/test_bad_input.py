"""Invalid input gets the right status or fails the job, with a stable code. The service stays healthy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from darkroom.jobs.workdir import RUN_PREFIX
from localstack.settings import load
from tests.e2e.conftest import MEDIA, Params, Service
from tests.media.make_images import decompression_bomb
from tests.support.videos import Clips

PHOTO = (MEDIA / "rocket.jpg").read_bytes()
PNG = (MEDIA / "chelsea.png").read_bytes()
UNKNOWN = "01900000-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def healthy_afterwards(service: Service) -> Iterator[None]:
    """Checks after every test that the service is healthy and that no temporary file and no FFmpeg process is left."""
    yield
    assert service.http.get("/health").status_code == 200
    service.until(lambda: not list(load().environments.glob(f"*/tmp/{RUN_PREFIX}*/source-*")))
    service.until(lambda: not processes_named("ffmpeg"))


@pytest.fixture(scope="module")
def bomb(service: Service) -> str:
    """A small PNG of 1,600 megapixels."""
    return service.file(decompression_bomb(), "bomb.png", "image/png")


def processes_named(name: str) -> list[str]:
    """The ids of processes called `name` that read the source of a job."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = command.read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(arguments[0].decode(errors="replace")).name == name and b"darkroom-" in b"".join(arguments):
            found.append(command.parent.name)
    return found


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == status
    assert answer.json()["detail"].rstrip().endswith((".", "!", "?"))


def assert_failed(job: dict[str, Any], code: str) -> None:
    assert (job["status"], job["error"]["code"]) == ("failed", code), job
    assert job["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("content", "name", "media_type", "status", "code"),
    [
        (b"", "empty.jpg", "image/jpeg", 422, "empty_file"),
        (b"This is plain text.", "text.jpg", "image/jpeg", 415, "unsupported_media_type"),
        (PHOTO, "photo.png", "image/png", 422, "media_type_mismatch"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "clip.mp4", "video/mp4", 415, "unsupported_media_type"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml", 415, "unsupported_media_type"),
        (PHOTO + b"\0" * 4_500_000, "large.jpg", "image/jpeg", 413, "file_too_large"),
    ],
)
def test_upload_with_unsupported_or_wrong_content_is_refused(
    service: Service, content: bytes, name: str, media_type: str, status: int, code: str
) -> None:
    assert_problem(service.upload(content, name, media_type), status, code)


@pytest.mark.parametrize(
    ("content", "name", "operation"),
    [
        (PHOTO[: len(PHOTO) // 2], "half.jpg", "resize"),
        (PHOTO[: len(PHOTO) // 2], "half.jpg", "watermark"),
        (PNG[: len(PNG) // 2], "half.png", "thumbnail"),
    ],
)
def test_incomplete_image_fails_the_job(service: Service, content: bytes, name: str, operation: str) -> None:
    file_id = service.file(content, name)
    required: dict[str, Params] = {"resize": {"width": 50}, "watermark": {"text": "x"}}

    assert_failed(service.run(file_id, operation, required.get(operation)), "corrupt_media")


@pytest.mark.parametrize("operation", ["video_thumbnail", "video_metadata", "video_compress", "audio_extract"])
def test_video_cut_off_before_its_index_fails_the_job(service: Service, clips: Clips, operation: str) -> None:
    file_id = service.file(clips("cut_before_its_index.mp4").read_bytes(), "half.mp4")

    assert_failed(service.run(file_id, operation), "corrupt_media")


@pytest.mark.parametrize("operation", ["video_compress", "audio_extract"])
def test_video_cut_off_after_its_index_fails_the_job(service: Service, clips: Clips, operation: str) -> None:
    file_id = service.file(clips("cut_after_its_index.mp4").read_bytes(), "half.mp4")

    assert_failed(service.run(file_id, operation), "corrupt_media")


@pytest.mark.parametrize("operation", ["video_thumbnail", "video_compress", "audio_extract"])
def test_image_is_refused_by_video_and_audio_operations(service: Service, photo: str, operation: str) -> None:
    assert_problem(service.submit(photo, operation), 422, "wrong_media_kind")


@pytest.mark.parametrize(
    ("operation", "params"), [("resize", {"width": 9}), ("thumbnail", {}), ("watermark", {"text": "x"})]
)
def test_video_is_refused_by_image_operations(service: Service, clip: str, operation: str, params: Params) -> None:
    assert_problem(service.submit(clip, operation, params), 422, "wrong_media_kind")


def test_extracting_audio_from_a_silent_video_fails_the_job(service: Service, clips: Clips) -> None:
    file_id = service.file(clips("silent.mp4").read_bytes(), "silent.mp4", "video/mp4")

    assert_failed(service.run(file_id, "audio_extract"), "no_audio_stream")


def test_audio_without_video_is_refused_or_fails_the_job(service: Service, clips: Clips) -> None:
    audio_file = service.file(clips("audio.mp3").read_bytes(), "audio.mp3")
    audio_in_mp4 = service.file(clips("audio_only.mp4").read_bytes(), "audio.mp4")

    assert_problem(service.submit(audio_file, "video_thumbnail"), 422, "wrong_media_kind")
    assert_failed(service.run(audio_in_mp4, "video_thumbnail"), "no_video_stream")
    assert_failed(service.run(audio_in_mp4, "video_compress"), "no_video_stream")


@pytest.mark.parametrize(
    ("operation", "params"),
    [("thumbnail", {}), ("resize", {"width": 100}), ("watermark", {"text": "x"}), ("video_metadata", {})],
)
def test_decompression_bomb_fails_the_job_before_it_is_decoded(
    service: Service, bomb: str, operation: str, params: Params
) -> None:
    job = service.run(bomb, operation, params)

    assert_failed(job, "too_many_pixels")
    assert "40" in job["error"]["message"]


@pytest.mark.parametrize(
    ("operation", "params", "field"),
    [
        ("resize", {}, "width"),
        ("resize", {"width": 0}, "width"),
        ("resize", {"width": 16_384}, "width"),
        ("resize", {"width": "300"}, "width"),
        ("resize", {"width": 10.5}, "width"),
        ("resize", {"width": 10, "fit": "cover"}, "height"),
        ("resize", {"width": 10, "fit": "stretch"}, "fit"),
        ("resize", {"width": 10, "colour": "red"}, "colour"),
        ("thumbnail", {"quality": 101}, "quality"),
        ("thumbnail", {"format": "bmp"}, "format"),
        ("watermark", {}, "text"),
        ("watermark", {"text": ""}, "text"),
        ("watermark", {"text": "x", "opacity": 1.5}, "opacity"),
        ("watermark", {"text": "x", "position": "middle"}, "position"),
    ],
)
def test_invalid_parameter_is_named(service: Service, photo: str, operation: str, params: Params, field: str) -> None:
    answer = service.submit(photo, operation, params)

    assert_problem(answer, 422, "invalid_request")
    assert field in answer.json()["detail"] + str(answer.json().get("errors"))


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("video_compress", {"crf": 52}),
        ("video_compress", {"preset": "placebo"}),
        ("video_thumbnail", {"time_s": 1, "time_percent": 1}),
        ("video_thumbnail", {"time_s": -1}),
        ("audio_extract", {"format": "ogg"}),
        ("audio_extract", {"bitrate_kbps": 1}),
        ("video_metadata", {"deep": True}),
    ],
)
def test_invalid_parameter_of_a_video_or_audio_operation_is_refused(
    service: Service, clip: str, operation: str, params: Params
) -> None:
    assert_problem(service.submit(clip, operation, params), 422, "invalid_request")


def test_watermark_must_be_an_uploaded_image(service: Service, photo: str, clip: str) -> None:
    assert_problem(service.submit(photo, "watermark", {"image_file_id": UNKNOWN}), 404, "file_not_found")
    assert_problem(service.submit(photo, "watermark", {"image_file_id": clip}), 422, "wrong_media_kind")
    assert_problem(service.submit(photo, "watermark", {"image_file_id": "../x"}), 422, "invalid_request")


def test_unknown_operation_is_refused(service: Service, photo: str) -> None:
    assert_problem(service.submit(photo, "sharpen"), 422, "unknown_operation")


@pytest.mark.parametrize(
    ("file_id", "status", "code"), [(UNKNOWN, 404, "file_not_found"), ("not-an-id", 422, "invalid_id")]
)
def test_unknown_or_malformed_file_id_is_refused(service: Service, file_id: str, status: int, code: str) -> None:
    assert_problem(service.submit(file_id, "thumbnail"), status, code)
    assert_problem(service.http.get(f"/files/{file_id}"), status, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe"])
def test_body_that_is_not_a_request_is_refused(service: Service, body: bytes) -> None:
    answer = service.http.post("/jobs", content=body, headers={"content-type": "application/json"})

    assert_problem(answer, 422, "invalid_request")


def test_unknown_path_and_a_wrong_method_are_refused(service: Service) -> None:
    assert_problem(service.http.get("/nowhere"), 404, "not_found")
    assert_problem(service.http.put("/jobs"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "a.jpg", "media_type": "text/html"},
        {"name": "a.jpg", "media_type": "image/svg+xml"},
    ],
)
def test_form_for_an_unsupported_type_is_refused(service: Service, wanted: dict[str, str]) -> None:
    assert_problem(service.http.post("/uploads", json=wanted), 415, "unsupported_media_type")


def test_form_for_a_file_that_is_too_large_or_for_invalid_jobs_is_refused(service: Service) -> None:
    too_large = {"name": "a.mp4", "media_type": "video/mp4", "size_bytes": 6 * 1024**3}
    wrong_job = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "resize", "params": {}}]}
    wrong_kind = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "video_compress", "params": {}}]}
    too_many = {
        "name": "a.jpg",
        "media_type": "image/jpeg",
        "jobs": [{"operation": "watermark", "params": {"text": "x" * 200}}] * 20,
    }

    assert_problem(service.http.post("/uploads", json=too_large), 413, "file_too_large")
    assert_problem(service.http.post("/uploads", json=wrong_job), 422, "invalid_request")
    assert_problem(service.http.post("/uploads", json=wrong_kind), 422, "wrong_media_kind")
    assert_problem(service.http.post("/uploads", json=too_many), 422, "invalid_request")
