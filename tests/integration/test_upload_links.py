"""Upload links, through the handler, with real Redis and S3."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any
from unittest.mock import patch
from urllib.parse import quote_plus

import httpx
import pytest

from api.main import app
from darkroom import config, ids
from darkroom.contracts.jobs import Job, JobRef, JobResult, Output, Status
from darkroom.contracts.tenants import Principal, Quotas, Scope, Tenant, TenantStatus, UploadLink
from darkroom.errors import CacheUnavailableError
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.services import s3
from darkroom.services.redis.client import redis_client
from darkroom.tenants import credentials, records
from darkroom.tenants.context import to_context
from darkroom.timeouts import BACKGROUND, use_timeouts
from darkroom.timestamps import epoch_ms, iso_utc, utc_now
from functions.authorize import app as authorize
from functions.ingest import app as ingest
from tests.integration.api_jobs import JPEG, MP4
from tests.integration.conftest import BreakService
from tests.integration.crash_injection import AFTER, BEFORE, CrashInjector, ProcessCrash, inject_crashes
from tests.integration.test_api_uploads import submit
from tests.support.gateway import Reply, acting_as, call

TENANT, OTHER = "acme", "other"
#: Problem documents have the id of the trace, so responses that are compared have the same one.
ONE_TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

THUMBNAIL: dict[str, Any] = {"operation": "thumbnail", "params": {"width": 100, "height": 100}}


@pytest.fixture(autouse=True)
def closed_deployment() -> Iterator[None]:
    """The deployment is closed; a request that names no principal is one of the tenant's writers."""
    with acting_as(TENANT, Scope.READ, Scope.WRITE):
        yield


def create(**limits: Any) -> Reply:
    return call("POST", "/upload-links", json_body=limits)


def new_link(**limits: Any) -> UploadLink:
    reply = create(**{"jobs": [THUMBNAIL], "media_types": ["image/*"]} | limits)
    assert reply.status == 201, reply.json
    return stored(reply.json["link_id"])


def stored(link_id: str) -> UploadLink:
    link = records.read_link(TENANT, link_id)
    assert link is not None
    return link


def context_of(link: UploadLink) -> dict[str, str]:
    """What the authorizer says of the link's token."""
    return to_context(
        Principal(
            tenant=link.tenant, scopes=[Scope.UPLOAD], credential=link.link_id, quotas=Quotas(), limits=link.limits
        )
    )


def through(link: UploadLink, method: str, target: str, **more: Any) -> Reply:
    """A request with the token of the link."""
    return call(method, target, authorizer=context_of(link), **more)


def request_form(link: UploadLink, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = {"name": "photo.jpg", "media_type": "image/jpeg", **more}
    return through(link, "POST", "/uploads", json_body=body, headers=headers)


def notify_ingest(file_id: str) -> None:
    key = uploads.key_of(TENANT, file_id)
    ingest.handler({"Records": [{"s3": {"object": {"key": quote_plus(key)}}}]}, None)


def upload(link: UploadLink, content: bytes = JPEG) -> dict[str, Any]:
    """Uploads a file through the link, as a browser does. Returns the answer with the form."""
    form: dict[str, Any] = request_form(link).json
    assert submit(form["upload"], content) == 204
    notify_ingest(form["file_id"])
    return form


# Links -------------------------------------------------------------------------------------------------------------


def test_link_is_returned_with_its_token_once() -> None:
    reply = create(expires_in_s=60, max_bytes=1000, max_files=3, media_types=["image/*"], jobs=[THUMBNAIL])
    link = reply.json

    assert (reply.status, reply.headers["location"]) == (201, f"/upload-links/{link['link_id']}")
    assert credentials.parse(link["token"], config.settings().key_environment).id == link["link_id"]
    assert credentials.is_id_of(TENANT, link["link_id"])
    shown = call("GET", reply.headers["location"]).json
    assert shown == {name: value for name, value in link.items() if name != "token"}
    assert (shown["state"], shown["files_used"], shown["file_ids"]) == ("active", 0, [])
    assert (shown["max_bytes"], shown["max_files"], shown["media_types"]) == (1000, 3, ["image/*"])
    assert shown["jobs"] == [THUMBNAIL]
    assert epoch_ms(shown["expires_at"]) - epoch_ms(shown["created_at"]) == 60_000


def test_token_is_not_stored() -> None:
    link = create().json

    [key] = s3.keys_after(records.links_prefix_of(TENANT))

    assert key == f"links/{TENANT}/{link['link_id']}.json"
    content = s3.get(key) or b""
    assert link["token"].encode() not in content
    assert json.loads(content)["hash"] == credentials.sha256_of(link["token"])


def test_links_are_listed_in_pages() -> None:
    links = {new_link().link_id for _ in range(3)}

    first = call("GET", "/upload-links?limit=2").json
    second = call("GET", first["next"]).json

    assert [len(first["links"]), len(second["links"]), second["next"]] == [2, 1, None]
    assert {link["link_id"] for link in first["links"] + second["links"]} == links
    assert all("token" not in link and "file_ids" not in link for link in first["links"])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_link_of_another_tenant_is_like_one_that_does_not_exist(method: str) -> None:
    link_id = new_link().link_id
    unknown = credentials.new_id(TENANT)

    with acting_as(OTHER, Scope.WRITE):
        answers = [
            call(method, f"/upload-links/{each}", headers=ONE_TRACE) for each in (link_id, unknown, "..", "x" * 200)
        ]
        assert call("GET", "/upload-links").json["links"] == []

    assert {(reply.status, reply.json["code"]) for reply in answers[:2]} == {(404, "upload_link_not_found")}
    assert answers[0].body.replace(link_id.encode(), unknown.encode()) == answers[1].body
    assert all(reply.status == 404 for reply in answers)
    assert stored(link_id).revoked_at is None


def test_overlay_must_be_an_image_of_the_tenant() -> None:
    theirs, ours = ids.new_id(), ids.new_id()
    s3.put(uploads.key_of(OTHER, theirs), JPEG, media_type="image/jpeg")
    s3.put(uploads.key_of(TENANT, ours), JPEG, media_type="image/jpeg")

    def answer(file_id: str) -> int:
        return create(jobs=[{"operation": "watermark", "params": {"image_file_id": file_id}}]).status

    assert (answer(theirs), answer(ours)) == (404, 201)


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


def test_refused_request_leaves_nothing() -> None:
    link = new_link(max_files=1)
    request_form(link)
    before = set(redis_client().keys()), list(s3.keys_after("open/"))

    assert request_form(link).status == 403

    assert (set(redis_client().keys()), list(s3.keys_after("open/"))) == before


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


# Expiry and revocation ---------------------------------------------------------------------------------------------


def test_revoked_link_issues_no_form_although_the_authorizer_still_allows_it() -> None:
    link = new_link()

    revoked = call("DELETE", f"/upload-links/{link.link_id}").json
    again = call("DELETE", f"/upload-links/{link.link_id}").json

    assert (revoked["state"], revoked["revoked_at"]) == ("revoked", again["revoked_at"])
    reply = request_form(link)
    assert (reply.status, reply.json["code"]) == (401, "credentials_revoked")


def test_expired_link_issues_no_form_although_the_authorizer_still_allows_it() -> None:
    link = new_link()
    expired = {"expires_at": iso_utc(time.time() - 1)}
    records.change_link(TENANT, link.link_id, lambda found: found.model_copy(update=expired))

    reply = request_form(link)

    assert (reply.status, reply.json["code"]) == (401, "credentials_expired")
    assert call("GET", f"/upload-links/{link.link_id}").json["state"] == "expired"


def test_link_that_was_removed_issues_no_form() -> None:
    link = new_link()
    s3.delete([records.link_key(TENANT, link.link_id)])

    reply = request_form(link)

    assert (reply.status, reply.json["code"]) == (401, "credentials_invalid")


# What a link sees --------------------------------------------------------------------------------------------------


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


# The token, as the authorizer checks it ----------------------------------------------------------------------------


def with_token(token: str, method: str, target: str, **more: Any) -> Reply:
    """A request whose credentials the authorizer checks, without API Gateway's cache."""
    checked = authorize.handler({"headers": {"authorization": f"Bearer {token}"}, "requestContext": {}}, None)
    use_timeouts(BACKGROUND)
    return call(method, target, authorizer=checked["context"], **more)


def test_token_is_good_for_its_link_until_it_is_revoked() -> None:
    records.create_tenant(Tenant(name=TENANT, status=TenantStatus.ACTIVE, created_at=utc_now()))
    created = create(jobs=[THUMBNAIL]).json
    token, body = created["token"], {"name": "photo.jpg", "media_type": "image/jpeg"}

    form = with_token(token, "POST", "/uploads", json_body=body)
    assert form.status == 201
    assert with_token(token, "GET", form.headers["location"]).json["link_id"] == created["link_id"]
    assert with_token(token, "POST", "/uploads", json_body=body).json["code"] == "upload_link_exhausted"
    for method, target in (("GET", "/jobs"), ("POST", "/upload-links"), ("DELETE", form.json["jobs"][0]["status_url"])):
        assert with_token(token, method, target).json["code"] == "scope_missing"
    of_another_tenant = token.replace(f"_{TENANT}-", f"_{OTHER}-")
    assert with_token(of_another_tenant, "GET", form.headers["location"]).json["code"] == "credentials_invalid"

    assert call("DELETE", f"/upload-links/{created['link_id']}").json["state"] == "revoked"

    reply = with_token(token, "GET", form.headers["location"])
    assert (reply.status, reply.json["code"]) == (401, "credentials_revoked")


# Crashes -----------------------------------------------------------------------------------------------------------


#: The write that counts a file.
COUNTING = f"PutObject links/{TENANT}/LINK.json"


def crash_at(number: int, when: str, send: Callable[[], Reply]) -> CrashInjector:
    """Sends a request, and crashes the process at its write `number`."""
    injector = CrashInjector(number, when)
    with inject_crashes(injector, lambda _arguments: None), suppress(ProcessCrash):
        send()
    return injector


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


@pytest.mark.parametrize(("when", "links"), [(BEFORE, 0), (AFTER, 1)])
def test_link_whose_creation_crashed_is_there_or_not(when: str, links: int) -> None:
    injector = crash_at(1, when, lambda: create(jobs=[THUMBNAIL]))

    assert len(injector.writes) == 1
    listed = call("GET", "/upload-links").json["links"]
    assert len(listed) == links
    for link in listed:
        assert call("DELETE", f"/upload-links/{link['link_id']}").json["state"] == "revoked"
