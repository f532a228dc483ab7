"""Upload links: what clients send to create one, and what they get."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from api import examples
from api.request_models import JOBS_LIMIT, AttachedJobRequest, RequestBody
from api.response_models import ResponseModel, with_example
from darkroom.media.types import is_supported_type
from darkroom.tenants.upload_links import EXPIRES_IN_MAX_S, EXPIRES_IN_S, MAX_FILES, LinkState

#: Most media types that one link names.
MEDIA_TYPES_LIMIT = 50


def _require_supported(media_type: str) -> str:
    if not media_type.endswith("/*") and not is_supported_type(media_type):
        raise ValueError("Input should be a type that Darkroom reads, such as video/mp4, or a group such as image/*")
    return media_type


_AllowedType = Annotated[
    str,
    StringConstraints(max_length=127, pattern=r"^(image|video|audio)/(\*|[a-z0-9][a-z0-9.+-]*)$"),
    AfterValidator(_require_supported),
]


class UploadLinkRequest(RequestBody):
    """What an upload link allows, and for how long."""

    model_config = with_example(examples.UPLOAD_LINK_REQUEST)

    expires_in_s: int = Field(
        EXPIRES_IN_S,
        ge=1,
        le=EXPIRES_IN_MAX_S,
        description="Seconds until the link expires: also the time in which it can show the jobs and their outputs.",
    )
    max_bytes: int | None = Field(
        None, ge=1, description="Largest size of a file in bytes. Default: the service's limit."
    )
    max_files: int = Field(1, ge=1, le=MAX_FILES, description="Most files that may be uploaded over the link's life.")
    media_types: list[_AllowedType] = Field(
        [],
        max_length=MEDIA_TYPES_LIMIT,
        description="Content-Types that are allowed: types such as `video/mp4`, and groups such as `image/*`. Default: "
        "every type that Darkroom reads.",
    )
    jobs: list[AttachedJobRequest] = Field(
        [], max_length=JOBS_LIMIT, description="Jobs that start on each file as soon as it has arrived."
    )


class UploadLinkSummary(ResponseModel):
    """An upload link in a list."""

    model_config = with_example(examples.UPLOAD_LINK_SUMMARY)

    link_id: str = Field(description="Identifier of the link. It is not secret.")
    state: LinkState = Field(
        description="`active`: it issues forms. `exhausted`: it has issued as many as it may, and still shows its "
        "files and jobs. `expired` and `revoked`: its token is refused."
    )
    created_by: str = Field(
        description="Who created the link: the id of an API key, or the subject of a token. It outlives a key that "
        "is revoked."
    )
    created_at: str = Field(description="When the link was created.")
    expires_at: str = Field(description="When the link expires.")
    revoked_at: str | None = Field(None, description="When the link was revoked.")
    max_bytes: int | None = Field(None, description="Largest size of a file in bytes; null is the service's limit.")
    max_files: int = Field(description="Most files that may be uploaded.")
    files_used: int = Field(description="Number of files for which a form was issued.")
    media_types: list[str] = Field([], description="Content-Types that are allowed; empty when all are.")
    jobs: list[dict[str, Any]] = Field([], description="Jobs that start on each file.")


class UploadLinkDetails(UploadLinkSummary):
    """An upload link and its files."""

    model_config = with_example(examples.UPLOAD_LINK)

    file_ids: list[str] = Field(
        [],
        description="Identifiers of the files for which a form was issued, oldest first. Not each need have arrived.",
    )


class IssuedUploadLink(UploadLinkDetails):
    """A new upload link with its token."""

    model_config = with_example(examples.ISSUED_UPLOAD_LINK)

    token: str = Field(
        description="The token, to be sent as `Authorization: Bearer`. It is shown only here, since it is not stored."
    )


class UploadLinkPage(ResponseModel):
    """A page of the list of upload links."""

    model_config = with_example(examples.UPLOAD_LINK_PAGE)

    links: list[UploadLinkSummary] = Field(description="The links on this page.")
    next: str | None = Field(description="Path of the next page; null on the last page.")
