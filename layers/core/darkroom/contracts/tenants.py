"""Tenants, what identifies them (API keys, upload links, tokens), what they may do (scopes) and how much (quotas)."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from darkroom.contracts.base import Contract
from darkroom.timestamps import has_offset

#: The tenant of a deployment that is open to everybody, and of its operator: the admins of this tenant manage all
#: tenants, those of another one only its own keys.
OPERATOR_TENANT = "default"

#: Part of object keys, Redis keys and API keys. So it has neither `/`, `:`, `.` nor `_`.
TENANT_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"

#: Names that no tenant may have, since `work/<name>/` belongs to all tenants.
RESERVED_TENANTS = frozenset({"idempotency"})

TenantName = Annotated[str, StringConstraints(pattern=TENANT_PATTERN)]


def _require_time(text: str) -> str:
    if not has_offset(text):
        raise ValueError("Input should be a time in ISO 8601 with an offset from UTC, such as 2026-11-30T00:00:00Z")
    return text


#: A time as text: ISO 8601 with an offset from UTC.
Timestamp = Annotated[str, AfterValidator(_require_time)]


class Scope(StrEnum):
    """What a principal may do. No scope includes another.

    `read`: look at files and jobs, download outputs. `write`: upload, start, cancel and retry jobs. `admin`: manage
    keys, and for the operator all tenants and their quotas. `upload`: what an upload link may do, and nothing else.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    UPLOAD = "upload"


class TenantStatus(StrEnum):
    """Status of a tenant. Only an `active` one may use the API. `deleted` is final until the name is created again."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"


class Deletion(Contract):
    """How far the deletion of a tenant has got. `found_at` is when it last found something to remove."""

    found_at: Timestamp
    removed_objects: int = 0
    removed_bytes: int = 0


class Tenant(Contract):
    """A tenant: `tenants/<name>/tenant.json`. Of a deleted one, nothing else is kept."""

    name: TenantName
    status: TenantStatus
    created_at: Timestamp
    title: str | None = None
    suspended_at: Timestamp | None = None
    deleting_at: Timestamp | None = None
    deleted_at: Timestamp | None = None
    deletion: Deletion | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted, or is being deleted. Nothing may be written for it any more."""
        return self.status in (TenantStatus.DELETING, TenantStatus.DELETED)


#: A limit. What the authorizer hands on must stay small, so there is a largest one.
Limit = Annotated[int, Field(ge=1, le=10**15)]


class Quotas(Contract):
    """The limits of one tenant; null is no limit. A document that overrides the defaults has only some of them."""

    requests_per_s: Limit | None = Field(50, description="Requests a second, on average over ten seconds.")
    queued_jobs: Limit | None = Field(2_000, description="Jobs that are queued at the same time.")
    in_flight_jobs: Limit | None = Field(None, description="Jobs of one operation that run at the same time.")
    upload_bytes: Limit | None = Field(None, description="Size of one upload in bytes.")
    stored_bytes: Limit | None = Field(100 * 1024**3, description="Bytes of uploads and outputs that are stored.")
    jobs_per_month: Limit | None = Field(100_000, description="Jobs that are accepted in a calendar month (UTC).")
    video_minutes_per_month: Limit | None = Field(
        10_000, description="Minutes of video that are processed in a calendar month (UTC)."
    )

    def overridden_by(self, overrides: "Quotas") -> "Quotas":
        """These quotas, except for those that `overrides` sets."""
        return self.model_copy(update={name: getattr(overrides, name) for name in overrides.model_fields_set})


#: The quotas of the operator's own tenant unless a document sets others: none.
UNLIMITED = Quotas(**dict.fromkeys(Quotas.model_fields))


class ApiKey(Contract):
    """An API key as it is stored: `tenants/<tenant>/keys/<key_id>.json`. It has the hash of the key, not the key.

    `hashes` are SHA-256 in hexadecimal, each with the time (ISO 8601) from which it is refused, or null: after a
    rotation the old one is accepted for a while beside the new one.
    """

    key_id: str
    tenant: TenantName
    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope]
    hashes: dict[str, Timestamp | None]
    created_at: Timestamp
    expires_at: Timestamp | None = None
    revoked_at: Timestamp | None = None


class UploadLimits(Contract):
    """What an upload link allows, which never changes. Every file gets the same jobs.

    `media_types` are types such as `video/mp4` and groups such as `image/*`; none means that all are allowed.
    """

    max_bytes: int | None = None
    max_files: int = 1
    media_types: list[str] = Field(default_factory=list)
    jobs: list[dict[str, Any]] = Field(default_factory=list)


class UploadLink(Contract):
    """An upload link as it is stored: `links/<tenant>/<link_id>.json`, with the SHA-256 of its token.

    `file_ids` are the files for which it has issued a form, in that order. They count against its limit, so they are
    stored in the same object: it is replaced on the condition that nobody else has changed it.
    """

    link_id: str
    tenant: TenantName
    hash: str
    limits: UploadLimits
    created_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None = None
    file_ids: list[str] = Field(default_factory=list)


class Principal(Contract):
    """Who sends a request, as the authorizer found out.

    `credential` is the id of the API key or the upload link, or the subject of the token; `default` when the
    deployment is open. `limits` are those of an upload link.
    """

    tenant: TenantName
    scopes: list[Scope]
    credential: str
    quotas: Quotas
    limits: UploadLimits | None = None

    @property
    def is_operator(self) -> bool:
        """Whether it may manage all tenants."""
        return self.tenant == OPERATOR_TENANT and Scope.ADMIN in self.scopes

    @property
    def link_id(self) -> str | None:
        """The id of the upload link, if it is one: it then sees only the files and jobs that came through the link."""
        return None if self.limits is None else self.credential
