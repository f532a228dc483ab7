"""Upload links as those with the scope write handle them, through the handler, with real Redis and S3."""

import json
import time
from typing import Any

import pytest

from darkroom import config, ids
from darkroom.contracts.tenants import Scope, Tenant, TenantStatus
from darkroom.jobs import uploads
from darkroom.services import s3
from darkroom.tenants import credentials, records
from darkroom.timeouts import BACKGROUND, use_timeouts
from darkroom.timestamps import epoch_ms, iso_utc, utc_now
from functions.authorize import app as authorize
from tests.integration.api_jobs import JPEG
from tests.integration.crash_injection import AFTER, BEFORE
from tests.integration.link_requests import (
    ONE_TRACE,
    OTHER,
    TENANT,
    THUMBNAIL,
    crash_at,
    create,
    new_link,
    request_form,
    stored,
)
from tests.integration.link_requests import closed_deployment as closed_deployment
from tests.support.gateway import Reply, acting_as, call


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
    assert shown["created_by"] == f"{TENANT}-key"
    assert epoch_ms(shown["expires_at"]) - epoch_ms(shown["created_at"]) == 60_000


def test_token_is_not_stored() -> None:
    link = create().json

    [key] = s3.keys_after(records.links_prefix(TENANT))

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
    unknown = credentials.new_credential_id(TENANT)

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


@pytest.mark.parametrize(("when", "links"), [(BEFORE, 0), (AFTER, 1)])
def test_link_whose_creation_crashed_is_there_or_not(when: str, links: int) -> None:
    injector = crash_at(1, when, lambda: create(jobs=[THUMBNAIL]))

    assert len(injector.writes) == 1
    listed = call("GET", "/upload-links").json["links"]
    assert len(listed) == links
    for link in listed:
        assert call("DELETE", f"/upload-links/{link['link_id']}").json["state"] == "revoked"
