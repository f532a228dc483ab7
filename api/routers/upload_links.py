"""Upload links: tokens with which people without an API key upload files and see the jobs of these files only."""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api import examples, file_records, listing
from api.link_models import (
    IssuedUploadLink,
    UploadLinkDetails,
    UploadLinkPage,
    UploadLinkRequest,
    UploadLinkSummary,
)
from api.openapi import problem_responses
from api.principals import GuardedRoute, Writer
from api.responses import json_response
from api.upload_metadata import checked_metadata, without_defaults
from darkroom import ids
from darkroom.config import settings
from darkroom.contracts.base import MediaKind
from darkroom.contracts.jobs import AttachedJob
from darkroom.contracts.tenants import UploadLimits, UploadLink
from darkroom.errors import (
    CacheUnavailableError,
    ConcurrentChangeError,
    DeploymentOpenError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    FileTooLargeError,
    InvalidRequestError,
    StorageUnavailableError,
    UnknownOperationError,
    UploadLinkNotFoundError,
    WrongMediaKindError,
)
from darkroom.jobs import uploads
from darkroom.log import logger
from darkroom.tenants import credentials, records, upload_links

router = APIRouter(tags=["upload links"], route_class=GuardedRoute)

#: The jobs of a link must leave room for a file name of this many ASCII characters.
_NAME = "n" * 120

_LinkId = Annotated[str, Path(description="Identifier of the link.", examples=[examples.LINK_ID])]


@router.post(
    "/upload-links",
    status_code=201,
    response_model=IssuedUploadLink,
    summary="Create an upload link",
    response_description="The link with its token, which cannot be shown again.",
    responses=problem_responses(
        CacheUnavailableError,
        ConcurrentChangeError,
        DeploymentOpenError,
        FileNotFoundInStoreError,
        FileNotUploadedError,
        FileTooLargeError,
        InvalidRequestError,
        StorageUnavailableError,
        UnknownOperationError,
        WrongMediaKindError,
    ),
)
async def create_upload_link(body: UploadLinkRequest, request: Request, principal: Writer) -> Response:
    """Creates a token for somebody without an API key, such as a visitor of a web page.

    It may request forms with `POST /uploads`, within the limits of the link, and look at the files and jobs that came
    through it: `GET /files/{file_id}`, `GET /jobs/{job_id}` and `GET /jobs/{job_id}/download`. Nothing else. Only a
    hash of it is stored, so `Idempotency-Key` is refused: if the response is lost, create another link.
    """
    if settings().is_open:
        raise DeploymentOpenError("This deployment is open: everybody may upload, and tokens are ignored.")
    if "idempotency-key" in request.headers:
        raise InvalidRequestError("This route takes no Idempotency-Key: the token of a link is returned only once.")
    limits = _limits_of(principal.tenant, body)
    issued = upload_links.issue_link(
        principal.tenant,
        settings().key_environment,
        limits=limits,
        created_by=principal.credential,
        expires_in_s=body.expires_in_s,
        now_s=time.time(),
    )
    link = issued.link
    if not records.create_link(link):
        raise ConcurrentChangeError
    logger().info("upload link created", extra={"link_id": link.link_id, "expires_at": link.expires_at})
    created = IssuedUploadLink(**dict(_details(link)), token=issued.token)
    return json_response(created, 201, location=f"/upload-links/{link.link_id}")


@router.get(
    "/upload-links",
    response_model=UploadLinkPage,
    summary="List upload links",
    response_description="A page of upload links.",
    responses=problem_responses(InvalidRequestError, StorageUnavailableError),
)
async def list_upload_links(
    principal: Writer,
    limit: Annotated[int, Query(ge=1, le=100, description="Most links on a page.")] = 20,
    after: Annotated[
        str, Query(max_length=64, description="Only links after this one. `next` contains it. Default: all.")
    ] = "",
) -> Response:
    """Returns a page of the upload links in the order of their ids, without tokens.

    Those that have expired or were revoked are listed until they are removed, which is days after.
    """
    link_ids, follows = listing.first_page(records.link_ids(principal.tenant, after), limit)
    found = listing.read_all(lambda link_id: records.read_link(principal.tenant, link_id), link_ids)
    following = listing.next_path("/upload-links", link_ids, limit, follows=follows)
    return json_response(UploadLinkPage(links=[_summary(link) for link in found], next=following))


@router.get(
    "/upload-links/{link_id}",
    response_model=UploadLinkDetails,
    summary="Get an upload link",
    response_description="The upload link.",
    responses=problem_responses(InvalidRequestError, StorageUnavailableError, UploadLinkNotFoundError),
)
async def get_upload_link(link_id: _LinkId, principal: Writer) -> Response:
    """Returns an upload link and the files for which it has issued forms, without its token."""
    link = records.read_link(principal.tenant, link_id)
    if link is None:
        raise UploadLinkNotFoundError(link_id)
    return json_response(_details(link))


@router.delete(
    "/upload-links/{link_id}",
    response_model=UploadLinkDetails,
    summary="Revoke an upload link",
    response_description="The upload link was revoked.",
    responses=problem_responses(
        ConcurrentChangeError, InvalidRequestError, StorageUnavailableError, UploadLinkNotFoundError
    ),
)
async def revoke_upload_link(link_id: _LinkId, principal: Writer) -> Response:
    """Revokes an upload link for good. It issues no form from now on, and its token is refused within a minute.

    A form that was issued before stays valid until it expires. Files and jobs stay as they are.
    """
    now_s = time.time()
    link = records.change_link(principal.tenant, link_id, lambda link: upload_links.revoke_link(link, now_s=now_s))
    if link is None:
        raise UploadLinkNotFoundError(link_id)
    logger().info("upload link revoked", extra={"link_id": link.link_id})
    return json_response(_details(link))


def _limits_of(tenant: str, body: UploadLinkRequest) -> UploadLimits:
    """The limits in a request. Raises what an upload through the link would raise every time."""
    limit_bytes = settings().upload_max_bytes
    if body.max_bytes is not None and body.max_bytes > limit_bytes:
        raise FileTooLargeError(f"max_bytes is {body.max_bytes:,}; the limit of the service is {limit_bytes:,}.")
    _check_kinds(body)
    for wanted in body.jobs:
        file_records.check_overlay(tenant, wanted.params)
    attached = [
        AttachedJob(
            job_id=ids.new_id(),
            operation=wanted.operation,
            params=without_defaults(wanted.params),
            priority=wanted.priority,
        )
        for wanted in body.jobs
    ]
    checked_metadata(_NAME, attached, credentials.new_credential_id(tenant))
    return UploadLimits(
        max_bytes=body.max_bytes,
        max_files=body.max_files,
        media_types=list(dict.fromkeys(body.media_types)),
        jobs=[job.model_dump(mode="json", exclude={"job_id"}) for job in attached],
    )


def _check_kinds(body: UploadLinkRequest) -> None:
    """Raises WrongMediaKindError for a type that a job does not accept, or if no kind of media suits all the jobs."""
    kinds = {MediaKind(media_type.partition("/")[0]) for media_type in body.media_types}
    for wanted in body.jobs:
        for kind in sorted(kinds):
            uploads.check_kind(wanted.operation, kind)
    if not set(MediaKind).intersection(*(wanted.operation.accepts for wanted in body.jobs)):
        raise WrongMediaKindError("No file suits all the jobs, since they accept different kinds of media.")


def _summary(link: UploadLink) -> UploadLinkSummary:
    return UploadLinkSummary(
        link_id=link.link_id,
        state=upload_links.link_state(link, time.time()),
        created_by=link.created_by,
        created_at=link.created_at,
        expires_at=link.expires_at,
        revoked_at=link.revoked_at,
        files_used=len(link.file_ids),
        **dict(link.limits),
    )


def _details(link: UploadLink) -> UploadLinkDetails:
    return UploadLinkDetails(**dict(_summary(link)), file_ids=link.file_ids)
