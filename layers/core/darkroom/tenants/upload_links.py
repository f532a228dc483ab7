"""What can be done with an upload link. Nothing here reads or writes: `records` stores what is returned.

Times are seconds since 1970.
"""

from dataclasses import dataclass
from enum import StrEnum

from darkroom.contracts.tenants import UploadLimits, UploadLink
from darkroom.errors import CredentialsExpiredError, CredentialsRevokedError, UploadLinkExhaustedError
from darkroom.tenants import credentials
from darkroom.tenants.credentials import CredentialKind
from darkroom.timestamps import epoch_ms, iso_utc

#: Seconds for which a link is valid unless the request says otherwise, and the most that it may say.
EXPIRES_IN_S = 3600
EXPIRES_IN_MAX_S = 7 * 24 * 3600

#: The most files of one link. All their ids are in one object.
MAX_FILES = 1_000


class LinkState(StrEnum):
    """What a link is good for at a time. Only an `active` one issues forms; an `exhausted` one still shows its jobs."""

    ACTIVE = "active"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class IssuedLink:
    """A link as it is stored, and its token, which is shown once."""

    link: UploadLink
    token: str


def issue_link(
    tenant: str, environment: str, *, limits: UploadLimits, created_by: str, expires_in_s: int, now_s: float
) -> IssuedLink:
    """A new link."""
    link_id = credentials.new_credential_id(tenant)
    token = credentials.new_credential(CredentialKind.UPLOAD_LINK, environment, link_id)
    link = UploadLink(
        link_id=link_id,
        tenant=tenant,
        hash=credentials.sha256_of(token),
        limits=limits,
        created_by=created_by,
        created_at=iso_utc(now_s),
        expires_at=iso_utc(now_s + expires_in_s),
    )
    return IssuedLink(link, token)


def revoke_link(link: UploadLink, *, now_s: float) -> UploadLink:
    """The link, revoked. One that was revoked before keeps its time."""
    return link if link.revoked_at else link.model_copy(update={"revoked_at": iso_utc(now_s)})


def link_state(link: UploadLink, now_s: float) -> LinkState:
    """What the link is good for at a time. A revoked link stays revoked after its expiry."""
    if link.revoked_at is not None:
        return LinkState.REVOKED
    if lasts_s(link, now_s) <= 0:
        return LinkState.EXPIRED
    return LinkState.EXHAUSTED if len(link.file_ids) >= link.limits.max_files else LinkState.ACTIVE


def lasts_s(link: UploadLink, now_s: float) -> float:
    """Seconds until the link expires; not above 0 when it has."""
    return epoch_ms(link.expires_at) / 1000 - now_s


def add_file(link: UploadLink, file_id: str, now_s: float) -> UploadLink:
    """The link with one more file. A file that it has already is not counted again.

    Raises CredentialsRevokedError, CredentialsExpiredError, or UploadLinkExhaustedError when it has as many as it may.
    """
    state = link_state(link, now_s)
    if state is LinkState.REVOKED:
        raise CredentialsRevokedError("The upload link was revoked.")
    if state is LinkState.EXPIRED:
        raise CredentialsExpiredError("The upload link has expired.")
    if file_id in link.file_ids:
        return link
    if state is LinkState.EXHAUSTED:
        count = link.limits.max_files
        raise UploadLinkExhaustedError(f"The upload link was for {count:,} file{'s'[: count > 1]}, which it has.")
    return link.model_copy(update={"file_ids": [*link.file_ids, file_id]})


def allows_type(limits: UploadLimits, media_type: str) -> bool:
    """Whether a file of this type may be uploaded. `media_type` is in lower case and without parameters."""
    group = media_type.partition("/")[0]
    return not limits.media_types or media_type in limits.media_types or f"{group}/*" in limits.media_types
