"""Uploads through an upload link: its limits, its jobs, and the number of its files."""

import time

from pydantic import ValidationError

from api.request_models import AttachedJobRequest, UploadRequest
from darkroom.config import settings
from darkroom.contracts.tenants import Principal, Scope, UploadLimits
from darkroom.errors import (
    CredentialsExpiredError,
    CredentialsInvalidError,
    InvalidRequestError,
    ScopeMissingError,
    UnsupportedMediaTypeError,
)
from darkroom.tenants import records, upload_links


def check_request(limits: UploadLimits, body: UploadRequest) -> None:
    """Raises ScopeMissingError for a request with jobs, and UnsupportedMediaTypeError for a type that is not allowed.

    The size is checked with that of other uploads, and by the form.
    """
    if body.jobs:
        raise ScopeMissingError(
            "An upload link starts its own jobs. A request with other ones needs the scope 'write'.",
            scopes=(Scope.WRITE,),
        )
    media_type = body.media_type.partition(";")[0].strip().lower()
    if not upload_links.allows_type(limits, media_type):
        allowed = ", ".join(limits.media_types)
        raise UnsupportedMediaTypeError(f"This upload link accepts {allowed}, and not {media_type}.")


def link_jobs(limits: UploadLimits) -> list[AttachedJobRequest]:
    """The jobs of a link. Raises InvalidRequestError if this version of the service no longer accepts one of them."""
    try:
        return [AttachedJobRequest.model_validate(job) for job in limits.jobs]
    except ValidationError as error:
        raise InvalidRequestError("The jobs of this upload link are no longer valid. Ask for a new link.") from error


def form_expiry_s(principal: Principal, file_id: str) -> int:
    """Seconds for which the form of a file is valid: never beyond the life of the link, if it is for one.

    Raises what `count_file` would raise, before anything is written for the file.
    """
    expiry_s = settings().link_expiry_s
    if principal.link_id is None:
        return expiry_s
    now_s = time.time()
    link = records.read_link(principal.tenant, principal.link_id)
    if link is None:
        raise _gone()
    upload_links.add_file(link, file_id, now_s)
    remaining_s = int(upload_links.lasts_s(link, now_s))
    if remaining_s < 1:
        raise CredentialsExpiredError("The upload link has expired.")
    return min(expiry_s, remaining_s)


def count_file(principal: Principal, file_id: str) -> None:
    """Counts a file against the limit of its link, if it is for one, before its form is handed out.

    This is the last step of a request, so one that fails before uses up no file. Of requests at the same time, as many
    succeed as the link has files left. Raises UploadLinkExhaustedError, ConcurrentChangeError or an AccessError.
    """
    if principal.link_id is None:
        return
    counted = records.change_link(
        principal.tenant, principal.link_id, lambda link: upload_links.add_file(link, file_id, time.time())
    )
    if counted is None:
        raise _gone()


def _gone() -> CredentialsInvalidError:
    return CredentialsInvalidError("The upload link does not exist any more.")
