"""Uploads through an upload link: its limits and its number of files, with real Redis and S3."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from api.main import app
from darkroom import ids
from darkroom.contracts.jobs import JobRef
from darkroom.errors import CacheUnavailableError
from darkroom.jobs import ledger, uploads
from darkroom.services import s3
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import epoch_ms
from tests.integration.api_jobs import JPEG, MP4
from tests.integration.crash_injection import AFTER, BEFORE
from tests.integration.link_requests import (
    OTHER,
    TENANT,
    THUMBNAIL,
    context_of,
    crash_at,
    new_link,
    notify_ingest,
    request_form,
    stored,
    through,
    upload,
)
from tests.integration.link_requests import closed_deployment as closed_deployment
from tests.integration.test_api_uploads import submit
from tests.support.gateway import call

#: The write that counts a file.
COUNTING = f"PutObject links/{TENANT}/LINK.json"


# Uploads through a link --------------------------------------------------------------------------------------------


def test_file_is_uploaded_and_its_jobs_start() -> None:
    link = new_link()
    form = upload(link)
    [pending] = form["jobs"]

    job = through(link, "GET", pending["status_url"]).json

    assert (job["status"], job["operation"], job["link_id"]) == ("queued", "thumbnail", link.link_id)
    assert job["params"].items() >= THUMBNAIL["params"].items()
    file = through(link, "GET", f"/files/{form['file_id']}").json
    assert (file["status"], file["media_type"], file["link_id"]) == ("ready", "image/jpeg", link.link_id)
    recorded = ledger.read_job(JobRef(TENANT, pending["job_id"]))
    assert recorded is not None
    assert recorded.link_id == link.link_id
    assert call("GET", f"/jobs/{pending['job_id']}").json == job
    shown = call("GET", f"/upload-links/{link.link_id}").json
    assert (shown["state"], shown["files_used"], shown["file_ids"]) == ("exhausted", 1, [form["file_id"]])


def test_files_and_jobs_are_known_by_the_ledger_and_s3_alone() -> None:
    link, other = new_link(), new_link()
    form = upload(link)
    paths = [f"/files/{form['file_id']}", form["jobs"][0]["status_url"]]

    for path in paths:
        for seen_through, status in ((link, 200), (other, 404)):
            redis_client().flushdb()
            assert through(seen_through, "GET", path).status == status, path


def test_form_awaits_its_file_before_the_upload() -> None:
    link = new_link()
    form = request_form(link).json

    assert through(link, "GET", f"/files/{form['file_id']}").json["status"] == "awaiting"
    assert through(link, "GET", form["jobs"][0]["status_url"]).json["waiting_for"] == "upload"


def test_link_cannot_name_jobs_of_its_own() -> None:
    link = new_link()

    reply = request_form(link, jobs=[THUMBNAIL])

    assert (reply.status, reply.json["code"]) == (403, "scope_missing")
    assert stored(link.link_id).file_ids == []


@pytest.mark.parametrize(
    ("media_type", "status", "code"),
    [
        ("video/mp4", 415, "unsupported_media_type"),
        ("image/svg+xml", 415, "unsupported_media_type"),
        ("image/*", 415, "unsupported_media_type"),
    ],
)
def test_media_type_that_is_not_allowed_is_refused(media_type: str, status: int, code: str) -> None:
    link = new_link(media_types=["image/*"])

    reply = request_form(link, media_type=media_type)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert stored(link.link_id).file_ids == []


def test_bytes_of_another_type_than_declared_fail_the_jobs() -> None:
    link = new_link(media_types=["image/*"])
    form = upload(link, MP4)

    assert through(link, "GET", f"/files/{form['file_id']}").json["error"]["code"] == "media_type_mismatch"
    job = through(link, "GET", form["jobs"][0]["status_url"]).json
    assert (job["status"], job["error"]["code"]) == ("failed", "media_type_mismatch")


def test_size_is_limited_by_the_link() -> None:
    link = new_link(max_bytes=len(JPEG), max_files=9)

    too_large = request_form(link, size_bytes=len(JPEG) + 1)
    form = request_form(link).json["upload"]

    assert (too_large.status, too_large.json["code"]) == (413, "file_too_large")
    assert form["max_bytes"] == len(JPEG)
    assert submit(form, JPEG + b"\0") == 400
    assert submit(form, JPEG) == 204


def test_form_does_not_outlive_the_link() -> None:
    link = new_link(expires_in_s=30, max_files=2)
    longer = new_link(expires_in_s=7200)

    def lasts_s(form: dict[str, Any]) -> float:
        return epoch_ms(form["upload"]["expires_at"]) / 1000 - time.time()

    assert 20 < lasts_s(request_form(link).json) <= 30
    assert 3590 < lasts_s(request_form(longer).json) <= 3600
    assert 0 < redis_client().ttl(f"darkroom:file:{TENANT}:{stored(link.link_id).file_ids[0]}") <= 30


def test_form_cannot_be_bent() -> None:
    link, other = new_link(max_files=2), new_link()
    form = request_form(link).json
    fields = form["upload"]["fields"]
    bent = {
        "another key": {"key": uploads.key_of(TENANT, ids.new_id())},
        "another tenant": {"key": uploads.key_of(OTHER, form["file_id"])},
        "another link": {"x-amz-meta-link": other.link_id},
        "another type": {"Content-Type": "video/mp4"},
        "other jobs": {"x-amz-meta-jobs": fields["x-amz-meta-jobs"].replace("thumbnail", "resize")},
        "more metadata": {"x-amz-meta-tenant": OTHER},
    }

    assert fields["x-amz-meta-link"] == link.link_id
    for name, changes in bent.items():
        assert submit(form["upload"] | {"fields": fields | changes}, JPEG) == 403, name
    without_link = {field: text for field, text in fields.items() if field != "x-amz-meta-link"}
    assert submit(form["upload"] | {"fields": without_link}, JPEG) == 403
    assert not s3.exists(uploads.key_of(TENANT, form["file_id"]))
    assert submit(form["upload"], JPEG) == 204


# Number of files ---------------------------------------------------------------------------------------------------


def test_link_issues_as_many_forms_as_it_may() -> None:
    link = new_link(max_files=2)

    replies = [request_form(link) for _ in range(3)]

    assert [reply.status for reply in replies] == [201, 201, 403]
    assert replies[2].json["code"] == "upload_link_exhausted"
    assert stored(link.link_id).file_ids == [reply.json["file_id"] for reply in replies[:2]]
    assert through(link, "GET", f"/files/{replies[0].json['file_id']}").status == 200


def written() -> tuple[set[str], list[str]]:
    """The keys in Redis, without the bucket of requests, which expires when it is full, and the index in S3."""
    redis: Any = redis_client()
    names = {key for key in redis.scan_iter("*", count=1000) if not key.startswith("darkroom:requests:")}
    return names, list(s3.keys_after("open/"))


def test_refused_request_leaves_nothing() -> None:
    link = new_link(max_files=1)
    request_form(link)
    before = written()

    assert request_form(link).status == 403

    assert written() == before


def test_requests_at_the_same_time_get_as_many_forms_as_the_link_has_files() -> None:
    """Twenty clients, each with an event loop of its own, as in twenty environments of the API."""
    link = new_link(max_files=7)
    authorizer = {"requestContext": {"authorizer": {"lambda": context_of(link)}}}

    async def behind_the_gateway(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"aws.event": authorizer}, receive, send)

    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(behind_the_gateway), base_url="http://api") as api:
            return await api.post("/uploads", json={"name": "photo.jpg", "media_type": "image/jpeg"})

    with ThreadPoolExecutor(20) as threads:
        replies = [future.result() for future in [threads.submit(asyncio.run, request()) for _ in range(20)]]

    issued = [reply.json()["file_id"] for reply in replies if reply.status_code == 201]
    refused = [reply.json()["code"] for reply in replies if reply.status_code != 201]
    assert len(issued) == 7
    assert refused == ["upload_link_exhausted"] * 13
    assert sorted(stored(link.link_id).file_ids) == sorted(issued)


def test_repeated_request_uses_one_file() -> None:
    link = new_link(max_files=1)
    key = {"idempotency-key": "one"}

    first, second = request_form(link, headers=key), request_form(link, headers=key)

    assert (first.status, second.status) == (201, 201)
    assert first.json["file_id"] == second.json["file_id"]
    assert request_form(link, headers={"idempotency-key": "two"}).json["code"] == "upload_link_exhausted"
    assert stored(link.link_id).file_ids == [first.json["file_id"]]


def test_request_that_fails_uses_no_file() -> None:
    link = new_link(max_files=1)
    with patch("api.routers.uploads.views.await_upload", side_effect=CacheUnavailableError):
        assert request_form(link).status == 503
    assert stored(link.link_id).file_ids == []

    assert request_form(link).status == 201


def test_files_are_counted_when_redis_has_lost_its_data() -> None:
    link = new_link(max_files=1)
    request_form(link)
    redis_client().flushdb()

    assert request_form(link).json["code"] == "upload_link_exhausted"


def test_idempotency_keys_of_a_link_are_its_own() -> None:
    key = {"idempotency-key": "order-4711"}
    link, other = new_link(), new_link()
    body = {"name": "photo.jpg", "media_type": "image/jpeg"}
    ours = call("POST", "/uploads", json_body=body | {"size_bytes": 5}, headers=key).json["file_id"]

    forms = [request_form(each, headers=key) for each in (link, other)]

    assert [form.status for form in forms] == [201, 201]
    assert len({ours, *(form.json["file_id"] for form in forms)}) == 3


# Crashes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [BEFORE, AFTER])
def test_form_whose_request_crashed_is_issued_again_and_uses_one_file(when: str) -> None:
    key = {"idempotency-key": "one"}
    crashed_writes = list[str]()

    for number in count(1):
        link = new_link()
        crashed_write = crash_at(number, when, partial(request_form, link, headers=key)).crashed_write
        if not crashed_write:
            break
        crashed_writes.append(crashed_write.replace(link.link_id, "LINK"))
        is_counted = when == AFTER and crashed_writes[-1] == COUNTING
        assert len(stored(link.link_id).file_ids) == int(is_counted), crashed_writes

        form = request_form(link, headers=key).json

        assert stored(link.link_id).file_ids == [form["file_id"]], crashed_writes
        assert request_form(link).json["code"] == "upload_link_exhausted"
        assert submit(form["upload"], JPEG) == 204
        notify_ingest(form["file_id"])
        assert through(link, "GET", form["jobs"][0]["status_url"]).json["waiting_for"] is None
    assert len(crashed_writes) >= 5
    assert crashed_writes[-1] == COUNTING, "counts the file last"
