"""Upload links: their states, their limits, and the requests that are refused before any service is used."""

import json
from typing import Any

import pytest

from api import link_uploads
from api.link_models import MEDIA_TYPES_LIMIT
from api.request_models import UploadRequest
from darkroom.contracts.tenants import Principal, Quotas, Scope, UploadLimits, UploadLink
from darkroom.errors import (
    CredentialsExpiredError,
    CredentialsRevokedError,
    DarkroomError,
    ScopeMissingError,
    UnsupportedMediaTypeError,
    UploadLinkExhaustedError,
)
from darkroom.jobs.uploads import METADATA_LIMIT_BYTES
from darkroom.media.types import MEDIA_TYPES
from darkroom.tenants import credentials, upload_links
from darkroom.tenants.context import CONTEXT_MAX_BYTES, LIMITS_MAX_BYTES, to_context
from darkroom.tenants.credentials import CredentialKind
from darkroom.tenants.upload_links import IssuedLink, LinkState
from darkroom.timestamps import iso_utc
from tests.support.gateway import Reply, call
from tests.unit.test_principals import guarded, send

NOW_S = 1_800_000_000.0


def make(max_files: int = 2, **limits: Any) -> UploadLink:
    limited = UploadLimits(max_files=max_files, **limits)
    return issue(limited).link


def issue(limits: UploadLimits) -> IssuedLink:
    return upload_links.issue_link("acme", "live", limits=limits, created_by="acme-key", expires_in_s=60, now_s=NOW_S)


def test_token_identifies_the_link_and_only_its_hash_is_stored() -> None:
    issued = issue(UploadLimits())

    parsed = credentials.parse(issued.token, "live")

    assert (parsed.kind, parsed.tenant, parsed.id) == (CredentialKind.UPLOAD_LINK, "acme", issued.link.link_id)
    assert parsed.sha256 == issued.link.hash
    assert issued.token not in issued.link.model_dump_json()
    assert issued.link.expires_at == iso_utc(NOW_S + 60)


def test_files_are_counted_up_to_the_limit() -> None:
    link = upload_links.add_file(upload_links.add_file(make(), "a", NOW_S), "b", NOW_S)

    assert link.file_ids == ["a", "b"]
    assert upload_links.link_state(link, NOW_S) is LinkState.EXHAUSTED
    with pytest.raises(UploadLinkExhaustedError, match="for 2 files"):
        upload_links.add_file(link, "c", NOW_S)


def test_file_that_is_counted_already_is_not_counted_again() -> None:
    link = upload_links.add_file(make(max_files=1), "a", NOW_S)

    assert upload_links.add_file(link, "a", NOW_S) == link


@pytest.mark.parametrize(
    ("after_s", "is_revoked", "error"),
    [
        (60, False, CredentialsExpiredError),
        (10**9, False, CredentialsExpiredError),
        (0, True, CredentialsRevokedError),
        (60, True, CredentialsRevokedError),
    ],
)
def test_link_that_is_not_valid_takes_no_file(after_s: float, is_revoked: bool, error: type[DarkroomError]) -> None:
    link = upload_links.add_file(make(), "a", NOW_S)
    if is_revoked:
        link = upload_links.revoke_link(link, now_s=NOW_S)

    for file_id in ("a", "b"):
        with pytest.raises(error):
            upload_links.add_file(link, file_id, NOW_S + after_s)


def test_revoked_link_keeps_its_time_and_its_state() -> None:
    link = upload_links.revoke_link(make(), now_s=NOW_S)

    assert upload_links.revoke_link(link, now_s=NOW_S + 30) == link
    assert upload_links.link_state(link, NOW_S + 10**9) is LinkState.REVOKED


def test_link_is_active_until_the_moment_of_its_expiry() -> None:
    assert upload_links.link_state(make(), NOW_S + 59.9) is LinkState.ACTIVE
    assert upload_links.link_state(make(), NOW_S + 60) is LinkState.EXPIRED


@pytest.mark.parametrize(
    ("allowed", "media_type", "is_allowed"),
    [
        ([], "video/mp4", True),
        (["image/*"], "image/png", True),
        (["image/*"], "video/mp4", False),
        (["image/*"], "imagex/png", False),
        (["image/*"], "image", True),  # refused before as a type that is not supported
        (["video/mp4", "image/*"], "video/mp4", True),
        (["video/mp4"], "video/mp4v", False),
        (["video/mp4"], "video/*", False),
    ],
)
def test_media_type_is_allowed_by_name_or_by_group(allowed: list[str], media_type: str, is_allowed: bool) -> None:
    assert upload_links.allows_type(UploadLimits(media_types=allowed), media_type) is is_allowed


def test_type_is_compared_without_case_and_parameters() -> None:
    body = UploadRequest(name="a", media_type="VIDEO/MP4; codecs=avc1")

    link_uploads.check_request(UploadLimits(media_types=["video/mp4"]), body)
    with pytest.raises(UnsupportedMediaTypeError, match=r"accepts image/\*, and not video/mp4"):
        link_uploads.check_request(UploadLimits(media_types=["image/*"]), body)


def test_request_with_jobs_of_its_own_is_refused() -> None:
    body = UploadRequest.model_validate({"name": "a", "media_type": "image/png", "jobs": [{"operation": "thumbnail"}]})

    with pytest.raises(ScopeMissingError) as failure:
        link_uploads.check_request(UploadLimits(), body)

    assert failure.value.scopes == (Scope.WRITE,)


def test_largest_limits_fit_into_the_context_of_the_authorizer() -> None:
    """The jobs take no more here than in the metadata of an upload."""
    types = sorted(MEDIA_TYPES, key=len)[-1:] * MEDIA_TYPES_LIMIT
    jobs = [{"operation": "watermark", "params": {"text": "x" * METADATA_LIMIT_BYTES}}]
    limits = UploadLimits(max_bytes=10**15, max_files=upload_links.MAX_FILES, media_types=types, jobs=jobs)
    longest = "a" * 32
    principal = Principal(
        tenant=longest,
        scopes=[Scope.UPLOAD],
        credential=credentials.new_credential_id(longest),
        quotas=Quotas(**dict.fromkeys(Quotas.model_fields, 10**15)),
        limits=limits,
    )

    assert len(limits.model_dump_json()) <= LIMITS_MAX_BYTES
    assert sum(len(name) + len(text) for name, text in to_context(principal).items()) <= CONTEXT_MAX_BYTES


# Requests ----------------------------------------------------------------------------------------------------------


def create(body: dict[str, Any], **headers: str) -> Reply:
    principal = Principal(tenant="acme", scopes=[Scope.WRITE], credential="acme-key", quotas=Quotas())
    return call("POST", "/upload-links", json_body=body, headers=headers, authorizer=to_context(principal))


@pytest.mark.usefixtures("closed_access")
class TestRefused:
    """Requests to create a link that is not possible."""

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"expires_in_s": 0}, "expires_in_s"),
            ({"expires_in_s": 7 * 24 * 3600 + 1}, "expires_in_s"),
            ({"expires_in_s": "3600"}, "expires_in_s"),
            ({"expires_in_s": None}, "expires_in_s"),
            ({"max_bytes": 0}, "max_bytes"),
            ({"max_bytes": -1}, "max_bytes"),
            ({"max_files": 0}, "max_files"),
            ({"max_files": 1001}, "max_files"),
            ({"max_files": 1.5}, "max_files"),
            ({"media_types": "image/*"}, "media_types"),
            ({"media_types": ["*/*"]}, "media_types.0"),
            ({"media_types": ["image"]}, "media_types.0"),
            ({"media_types": ["image/"]}, "media_types.0"),
            ({"media_types": ["image/png", "image/*x"]}, "media_types.1"),
            ({"media_types": ["IMAGE/PNG"]}, "media_types.0"),
            ({"media_types": ["image/png\n"]}, "media_types.0"),
            ({"media_types": ["image/svg+xml"]}, "media_types.0"),
            ({"media_types": ["application/pdf"]}, "media_types.0"),
            ({"media_types": ["image/png"] * 51}, "media_types"),
            ({"jobs": [{"operation": "resize", "params": {"width": 0}}]}, "jobs.0.params.width"),
            ({"jobs": [{"operation": "thumbnail"}] * 26}, "jobs"),
            ({"tenant": "another"}, "tenant"),
            ({"token": "dl_live_mine"}, "token"),
        ],
    )
    def test_field_that_is_not_valid(self, body: dict[str, Any], field: str) -> None:
        reply = create(body)

        assert (reply.status, reply.json["code"]) == (422, "invalid_request")
        assert [problem["field"] for problem in reply.json["errors"]] == [field]

    def test_unknown_operation(self) -> None:
        assert create({"jobs": [{"operation": "sharpen"}]}).json["code"] == "unknown_operation"

    def test_size_above_the_limit_of_the_service(self) -> None:
        assert create({"max_bytes": 10**15}).json["code"] == "file_too_large"

    @pytest.mark.parametrize(
        ("media_types", "operations"),
        [
            (["video/mp4"], ["thumbnail"]),
            (["image/*", "video/*"], ["thumbnail"]),
            (["audio/*"], ["video_metadata", "video_compress"]),
            ([], ["thumbnail", "video_compress"]),
        ],
    )
    def test_types_that_do_not_suit_the_jobs(self, media_types: list[str], operations: list[str]) -> None:
        jobs = [{"operation": operation} for operation in operations]

        reply = create({"media_types": media_types, "jobs": jobs})

        assert (reply.status, reply.json["code"]) == (422, "wrong_media_kind")

    def test_jobs_that_an_upload_cannot_hold(self) -> None:
        reply = create({"jobs": [{"operation": "watermark", "params": {"text": "x" * 200}}] * 6})

        assert (reply.status, reply.json["code"]) == (422, "invalid_request")
        assert "an upload can hold" in reply.json["detail"]

    def test_idempotency_key(self) -> None:
        reply = create({}, **{"idempotency-key": "a"})

        assert (reply.status, reply.json["code"]) == (422, "invalid_request")
        assert "Idempotency-Key" in reply.json["detail"]

    def test_body_that_is_no_object(self) -> None:
        assert create(json.loads("[]")).status == 422


@pytest.mark.usefixtures("closed_access")
@pytest.mark.parametrize("name", [name for name, scopes in guarded() if Scope.UPLOAD not in scopes])
def test_token_is_refused_on_every_other_route(name: str) -> None:
    link = make()
    token = Principal(
        tenant="acme", scopes=[Scope.UPLOAD], credential=link.link_id, quotas=Quotas(), limits=link.limits
    )

    reply = send(name, to_context(token))

    assert (reply.status, reply.json["code"]) == (403, "scope_missing")


@pytest.mark.usefixtures("open_access")
def test_open_deployment_issues_no_links() -> None:
    reply = call("POST", "/upload-links", json_body={})

    assert (reply.status, reply.json["code"]) == (409, "deployment_open")
