"""Requests that are refused before any service is used."""

import json
from typing import Any

import pytest

from api.examples import FILE_ID
from api.request_models import examples_of
from darkroom.contracts.operations import Operation, parse_params, with_defaults
from tests.support.gateway import Reply, call

pytestmark = pytest.mark.usefixtures("open_access")


def refused(reply: Reply, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = reply.json
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"] == f"urn:darkroom:problem:{code}"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    return problem


def start(operation: str, params: Any, **more: Any) -> Reply:
    return call("POST", "/jobs", json_body={"file_id": FILE_ID, "operation": operation, "params": params, **more})


@pytest.mark.parametrize(
    ("operation", "params", "field"),
    [
        ("resize", {}, "params"),
        ("resize", {"width": 0}, "params.width"),
        ("resize", {"width": 16_384}, "params.width"),
        ("resize", {"width": "300"}, "params.width"),
        ("resize", {"width": 300.0}, "params.width"),
        ("resize", {"width": True}, "params.width"),
        ("resize", {"width": 300, "fit": "cover"}, "params"),
        ("resize", {"width": 300, "upscale": 1}, "params.upscale"),
        ("resize", {"width": 300, "colour": "red"}, "params.colour"),
        ("resize", [300], "params"),
        ("resize", None, "params"),
        ("thumbnail", {"format": "tiff"}, "params.format"),
        ("thumbnail", {"quality": 101}, "params.quality"),
        ("watermark", {}, "params"),
        ("watermark", {"text": "a", "image_file_id": FILE_ID}, "params"),
        ("watermark", {"text": ""}, "params.text"),
        ("watermark", {"text": "a" * 201}, "params.text"),
        ("watermark", {"image_file_id": "../../etc/passwd"}, "params.image_file_id"),
        ("watermark", {"text": "a", "opacity": 0}, "params.opacity"),
        ("watermark", {"text": "a", "position": "middle"}, "params.position"),
        ("video_thumbnail", {"time_s": -1}, "params.time_s"),
        ("video_thumbnail", {"time_s": 1, "time_percent": 1}, "params"),
        ("video_thumbnail", {"count": 3, "times_s": [1]}, "params"),
        ("video_thumbnail", {"times_s": []}, "params.times_s"),
        ("video_thumbnail", {"mode": "best", "time_s": 1}, "params"),
        ("video_thumbnail", {"layout": "sprite", "time_s": 1}, "params"),
        ("video_thumbnail", {"layout": "preview", "format": "png"}, "params"),
        ("video_thumbnail", {"format": "gif"}, "params"),
        ("video_thumbnail", {"layout": "preview", "width": 1280}, "params"),
        ("video_metadata", {"anything": 1}, "params.anything"),
        ("video_compress", {"crf": 64}, "params.crf"),
        ("video_compress", {"crf": 52}, "params"),
        ("video_compress", {"crf": 30, "max_bytes": 1000}, "params"),
        ("video_compress", {"audio": "copy", "loudness": -23}, "params"),
        ("video_compress", {"codec": "vp8"}, "params.codec"),
        ("audio_extract", {"start_s": -1}, "params.start_s"),
        ("audio_extract", {"waveform": []}, "params.waveform"),
        ("audio_extract", {"waveform": ["svg", "svg"]}, "params"),
        ("audio_extract", {"loudness": 0}, "params.loudness"),
        ("audio_extract", {"format": "ogg"}, "params.format"),
        ("audio_extract", {"bitrate_kbps": 4}, "params.bitrate_kbps"),
    ],
)
def test_parameter_that_is_out_of_range_of_a_wrong_type_or_unknown_is_refused_and_named(
    operation: str, params: Any, field: str
) -> None:
    problem = refused(start(operation, params), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
def test_number_that_is_not_finite_is_refused(number: str) -> None:
    body = f'{{"file_id": "{FILE_ID}", "operation": "video_thumbnail", "params": {{"time_s": {number}}}}}'

    reply = call("POST", "/jobs", body=body.encode(), headers={"content-type": "application/json"})

    assert refused(reply, 422, "invalid_request")["errors"][0]["field"] == "params.time_s"


def test_every_invalid_field_is_named() -> None:
    problem = refused(start("resize", {"width": 0, "quality": 0}, priority=1), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["params.width", "params.quality", "priority"]


@pytest.mark.parametrize("missing", ["file_id", "operation", "params"])
def test_missing_field_is_named(missing: str) -> None:
    body = {"file_id": FILE_ID, "operation": "resize", "params": {"width": 1}}
    del body[missing]

    problem = refused(call("POST", "/jobs", json_body=body), 422, "invalid_request")

    assert problem["errors"] == [{"field": missing, "message": "Field required"}]


@pytest.mark.parametrize("name", ["sharpen", "RESIZE", "", "\ud83d", "../resize"])
def test_unknown_operation_is_an_error_of_its_own_that_names_the_known_ones(name: str) -> None:
    problem = refused(start(name, {}), 422, "unknown_operation")

    assert all(operation in problem["detail"] for operation in Operation)


def test_operation_that_is_not_text_is_an_unknown_operation() -> None:
    refused(start(7, {}), 422, "unknown_operation")  # type: ignore[arg-type]


def test_list_filtered_by_an_unknown_operation_is_refused() -> None:
    refused(call("GET", "/jobs?operation=sharpen"), 422, "unknown_operation")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/jobs/1"),
        ("GET", "/jobs/2f1e8a52-8c7b-4d0e-9a55-0d7c1e1f2a3b"),  # version 4
        ("GET", "/jobs/..%2F..%2Fetc"),
        ("GET", "/jobs/1/download"),
        ("DELETE", "/jobs/null"),
        ("POST", "/jobs/%00/retry"),
        ("GET", "/files/%F0%9F%92%A5"),
        ("GET", "/jobs?before=yesterday"),
    ],
)
def test_malformed_identifier_is_refused(method: str, target: str) -> None:
    reply = call(method, target)

    if "%2F" in target:  # decoded, it is another path
        refused(reply, 404, "not_found")
    else:
        refused(reply, 422, "invalid_id")


def test_malformed_file_identifier_in_a_body_is_refused() -> None:
    reply = call("POST", "/jobs", json_body={"file_id": "a.jpg", "operation": "thumbnail"})

    refused(reply, 422, "invalid_id")


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        (b"{", "application/json", "not valid JSON"),
        (b"", "application/json", "must be a JSON object"),
        (b"[]", "application/json", "must be a JSON object"),
        (b'"resize"', "application/json", "must be a JSON object"),
        (b"null", "application/json", "must be a JSON object"),
        (b"[" * 100_000, "application/json", "cannot be read"),
        (b'{"file_id": ' + b"9" * 5000 + b"}", "application/json", "cannot be read"),
        (b"file_id=1", "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b"{}", "text/plain", "Content-Type: application/json"),
    ],
)
def test_body_that_is_not_a_json_object_is_refused_with_what_to_send(
    body: bytes, content_type: str, sentence: str
) -> None:
    reply = call("POST", "/jobs", body=body, headers={"content-type": content_type})

    assert sentence in refused(reply, 422, "invalid_request")["detail"]


def test_body_that_is_not_text_is_refused() -> None:
    reply = call("POST", "/jobs", body=b"\xff\xfe\x00", headers={"content-type": "application/octet-stream"})

    refused(reply, 422, "invalid_request")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=done", "before="])
def test_list_with_an_invalid_query_is_refused(query: str) -> None:
    reply = call("GET", f"/jobs?{query}")

    assert reply.status == 422
    assert reply.json["code"] in ("invalid_request", "invalid_id")


@pytest.mark.parametrize("wait", ["-1", "25.1", "nan", "inf", "soon"])
def test_wait_that_is_too_long_or_not_a_number_is_refused(wait: str) -> None:
    problem = refused(call("GET", f"/jobs/{FILE_ID}?wait={wait}"), 422, "invalid_request")

    assert problem["errors"][0]["field"] == "wait"


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "image/svg+xml", "application/pdf", "audio/x-mpegurl", "video", "image/*", "application/json"],
)
def test_upload_of_an_unsupported_type_is_refused(media_type: str) -> None:
    reply = call("POST", "/uploads", json_body={"name": "a", "media_type": media_type})

    refused(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a" * 256}, "name"),
        ({"name": "\ud83d"}, "name"),
        ({"media_type": "image/jpeg\r\nX: y"}, "media_type"),
        ({"media_type": "image/jpég"}, "media_type"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": "12"}, "size_bytes"),
        ({"jobs": {}}, "jobs"),
        ({"jobs": [{"params": {}}]}, "jobs.0.operation"),
        ({"jobs": [{"operation": "thumbnail", "params": {"width": -1}}]}, "jobs.0.params.width"),
        ({"jobs": [{"operation": "thumbnail"}, {"operation": "resize"}]}, "jobs.1.params"),
        ({"jobs": [{"operation": "thumbnail"}] * 26}, "jobs"),
        ({"jobs": [{"operation": "thumbnail", "file_id": FILE_ID}]}, "jobs.0.file_id"),
        ({"key": "ledger/x"}, "key"),
    ],
)
def test_invalid_field_of_an_upload_is_refused_and_named(more: dict[str, Any], field: str) -> None:
    reply = call("POST", "/uploads", json_body={"name": "a.jpg", "media_type": "image/jpeg", **more})

    problem = refused(reply, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_unknown_operation_attached_to_an_upload_is_refused() -> None:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "sharpen"}]}

    refused(call("POST", "/uploads", json_body=body), 422, "unknown_operation")


@pytest.mark.parametrize("body", [b"", b"not a form", b"--x\r\n\r\n--x--\r\n"])
def test_unreadable_form_is_refused(body: bytes) -> None:
    reply = call("POST", "/upload", body=body, headers={"content-type": "multipart/form-data; boundary=x"})

    refused(reply, 422, "invalid_request")


def test_form_whose_field_is_not_a_file_is_refused_and_named() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--x--\r\n'

    reply = call("POST", "/upload", body=body, headers={"content-type": "multipart/form-data; boundary=x"})

    assert refused(reply, 422, "invalid_request")["errors"][0]["field"] == "file"


@pytest.mark.parametrize("operation", Operation)
def test_stored_parameters_include_defaults_and_are_equal_to_the_request(operation: Operation) -> None:
    for example in examples_of(operation):
        params = operation.params.model_validate(example)
        kept = json.loads(json.dumps(with_defaults(params)))

        assert parse_params(operation, kept) == params
        assert kept.items() >= example.items()
        assert None not in kept.values()
