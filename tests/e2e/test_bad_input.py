"""Bad input gets the right status or a failed job, a stable code and a sentence; the next request is served as ever."""

from pathlib import Path

import pytest

from darkroom.jobs.workdir import RUN_PREFIX
from localstack.services import scratch
from localstack.settings import load
from tests.e2e.conftest import MEDIA
from tests.media.make_images import decompression_bomb

PHOTO = (MEDIA / "rocket.jpg").read_bytes()
PICTURE = (MEDIA / "chelsea.png").read_bytes()
UNKNOWN = "01900000-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def nothing_is_left_behind(service):
    """After every test: the service answers, no temp file and no FFmpeg process of a job remains."""
    yield
    assert service.http.get("/health").status_code == 200
    service.until(lambda: not list(scratch.directory(load()).glob(f"{RUN_PREFIX}*/source-*")))
    service.until(lambda: not children_named("ffmpeg"))


def children_named(name):
    """Processes called `name` that read a job's source."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = command.read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(arguments[0].decode(errors="replace")).name == name and b"darkroom-" in b"".join(arguments):
            found.append(command.parent.name)
    return found


def assert_problem(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == status
    assert answer.json()["detail"].rstrip().endswith((".", "!", "?"))


def assert_failed(job, code):
    assert (job["status"], job["error"]["code"]) == ("failed", code), job
    assert job["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("content", "name", "media_type", "status", "code"),
    [
        (b"", "empty.jpg", "image/jpeg", 422, "empty_file"),
        (b"Dear reader, I am only text.", "text.jpg", "image/jpeg", 415, "unsupported_media_type"),
        (PHOTO, "photo.png", "image/png", 422, "media_type_mismatch"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "clip.mp4", "video/mp4", 415, "unsupported_media_type"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml", 415, "unsupported_media_type"),
        (PHOTO + b"\0" * 4_500_000, "large.jpg", "image/jpeg", 413, "file_too_large"),
    ],
)
def test_an_upload_that_is_refused(service, content, name, media_type, status, code):
    assert_problem(service.upload(content, name, media_type), status, code)


@pytest.mark.parametrize(
    ("content", "name", "operation"),
    [
        (PHOTO[: len(PHOTO) // 2], "half.jpg", "resize"),
        (PHOTO[: len(PHOTO) // 2], "half.jpg", "watermark"),
        (PICTURE[: len(PICTURE) // 2], "half.png", "thumbnail"),
    ],
)
def test_a_picture_that_was_cut_short_fails_the_job(service, content, name, operation):
    file_id = service.file(content, name)
    params = {"resize": {"width": 50}, "watermark": {"text": "x"}}.get(operation)

    assert_failed(service.run(file_id, operation, params), "corrupt_media")


@pytest.mark.parametrize("operation", ["video_thumbnail", "video_metadata", "video_compress", "audio_extract"])
def test_a_video_that_was_cut_before_its_index_fails_the_job(service, clips, operation):
    file_id = service.file(clips("cut_before_its_index.mp4").read_bytes(), "half.mp4")

    assert_failed(service.run(file_id, operation), "corrupt_media")


@pytest.mark.parametrize("operation", ["video_compress", "audio_extract"])
def test_a_video_that_was_cut_behind_its_index_fails_the_job(service, clips, operation):
    file_id = service.file(clips("cut_behind_its_index.mp4").read_bytes(), "half.mp4")

    assert_failed(service.run(file_id, operation), "corrupt_media")


@pytest.mark.parametrize("operation", ["video_thumbnail", "video_compress", "audio_extract"])
def test_an_image_is_refused_by_operations_on_video_and_sound(service, photo, operation):
    assert_problem(service.submit(photo, operation), 422, "wrong_media_kind")


@pytest.mark.parametrize(
    ("operation", "params"), [("resize", {"width": 9}), ("thumbnail", {}), ("watermark", {"text": "x"})]
)
def test_a_video_is_refused_by_operations_on_images(service, clip, operation, params):
    assert_problem(service.submit(clip, operation, params), 422, "wrong_media_kind")


def test_a_video_without_sound_has_none_to_extract(service, clips):
    file_id = service.file(clips("silent.mp4").read_bytes(), "silent.mp4", "video/mp4")

    assert_failed(service.run(file_id, "audio_extract"), "no_audio_stream")


def test_sound_alone_has_no_frame_to_take(service, clips):
    by_its_bytes = service.file(clips("audio.mp3").read_bytes(), "audio.mp3")
    in_a_video_container = service.file(clips("audio_only.mp4").read_bytes(), "audio.mp4")

    assert_problem(service.submit(by_its_bytes, "video_thumbnail"), 422, "wrong_media_kind")
    assert_failed(service.run(in_a_video_container, "video_thumbnail"), "no_video_stream")
    assert_failed(service.run(in_a_video_container, "video_compress"), "no_video_stream")


def test_a_bomb_of_1600_megapixels_is_refused_before_it_is_decoded(service):
    file_id = service.file(decompression_bomb(), "bomb.png", "image/png")

    for operation, params in (
        *(("thumbnail", {}), ("resize", {"width": 100}), ("watermark", {"text": "x"}), ("video_metadata", {})),
    ):
        job = service.run(file_id, operation, params)
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
def test_parameters_that_are_wrong_are_named(service, photo, operation, params, field):
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
def test_parameters_of_video_and_sound_that_are_wrong(service, clip, operation, params):
    assert_problem(service.submit(clip, operation, params), 422, "invalid_request")


def test_a_watermark_must_be_a_picture_that_is_there(service, photo, clip):
    assert_problem(service.submit(photo, "watermark", {"image_file_id": UNKNOWN}), 404, "file_not_found")
    assert_problem(service.submit(photo, "watermark", {"image_file_id": clip}), 422, "wrong_media_kind")
    assert_problem(service.submit(photo, "watermark", {"image_file_id": "../x"}), 422, "invalid_request")


def test_operations_that_do_not_exist(service, photo):
    assert_problem(service.submit(photo, "sharpen"), 422, "unknown_operation")


@pytest.mark.parametrize(
    ("file_id", "status", "code"), [(UNKNOWN, 404, "file_not_found"), ("not-an-id", 422, "invalid_id")]
)
def test_files_that_do_not_exist(service, file_id, status, code):
    assert_problem(service.submit(file_id, "thumbnail"), status, code)
    assert_problem(service.http.get(f"/files/{file_id}"), status, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe"])
def test_bodies_that_are_no_request(service, body):
    answer = service.http.post("/jobs", content=body, headers={"content-type": "application/json"})

    assert_problem(answer, 422, "invalid_request")


def test_a_path_and_a_method_that_do_not_exist(service):
    assert_problem(service.http.get("/nowhere"), 404, "not_found")
    assert_problem(service.http.put("/jobs"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "request_",
    [
        {"name": "a.jpg", "media_type": "text/html"},
        {"name": "a.jpg", "media_type": "image/svg+xml"},
    ],
)
def test_forms_for_types_that_are_not_read(service, request_):
    assert_problem(service.http.post("/uploads", json=request_), 415, "unsupported_media_type")


def test_forms_that_ask_for_too_much(service):
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
