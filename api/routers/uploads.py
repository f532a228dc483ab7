"""Uploads: small files through the API, larger ones directly to S3."""

import hashlib
import time
from typing import Annotated

from fastapi import APIRouter, File, Response, UploadFile

from api import admission, file_records, link_uploads, quotas
from api.idempotency import canonical_request, reserve_ids
from api.job_responses import status_url
from api.openapi import problem_responses
from api.parameters import IdempotencyKey, Traceparent
from api.principals import GuardedRoute, Writer, WriterOrLink
from api.request_models import UploadRequest
from api.response_models import FileDetails, PendingJob, UploadDetails, UploadForm
from api.responses import json_response
from api.upload_metadata import checked_metadata, without_defaults
from darkroom.config import settings
from darkroom.contracts.base import MediaKind
from darkroom.contracts.jobs import AttachedJob, Status
from darkroom.contracts.tenants import Principal
from darkroom.errors import (
    CacheFullError,
    CacheUnavailableError,
    ConcurrentChangeError,
    EmptyFileError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    FileTooLargeError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    MediaTypeMismatchError,
    MonthlyJobsQuotaError,
    MonthlyVideoQuotaError,
    QueuedJobsQuotaError,
    StorageQuotaError,
    StorageUnavailableError,
    TooManyJobsError,
    UnknownOperationError,
    UnsupportedMediaTypeError,
    UploadLinkExhaustedError,
    UploadQuotaError,
    WrongMediaKindError,
)
from darkroom.jobs import open_index, uploads
from darkroom.media.sniff import HEAD_BYTES
from darkroom.media.types import is_supported_type
from darkroom.services import s3
from darkroom.services.redis import files, views
from darkroom.timestamps import iso_utc

router = APIRouter(tags=["uploads"], route_class=GuardedRoute)


@router.post(
    "/upload",
    status_code=201,
    response_model=FileDetails,
    summary="Upload a small file",
    response_description="The file was stored.",
    responses=problem_responses(
        EmptyFileError,
        FileTooLargeError,
        IdempotencyKeyReusedError,
        InvalidRequestError,
        MediaTypeMismatchError,
        StorageQuotaError,
        StorageUnavailableError,
        UnsupportedMediaTypeError,
        UploadQuotaError,
    ),
)
async def upload_file(
    file: Annotated[UploadFile, File(description="The file. Its media type is determined from its content.")],
    principal: Writer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Stores a file of up to 4 MiB and returns its media type. For larger files use `POST /uploads`."""
    tenant = principal.tenant
    content = await file.read()
    limit_bytes = settings().direct_upload_max_bytes
    if len(content) > limit_bytes:
        raise FileTooLargeError(
            f"The file has {len(content):,} bytes; this route accepts up to {limit_bytes:,}. "
            "Use POST /uploads, whose form accepts larger files."
        )
    quotas.check_upload_size(principal.quotas, len(content))
    media = uploads.identify(content[:HEAD_BYTES], len(content), file.content_type)
    name = uploads.clean_name(file.filename or "")
    request = canonical_request("upload", name, media.name, hashlib.sha256(content).hexdigest())
    reserved = reserve_ids(tenant, idempotency_key, request, 1)
    [file_id] = reserved.identifiers
    if not (reserved.repeated and s3.exists(uploads.key_of(tenant, file_id))):
        admission.check(principal, size_bytes=len(content))
    s3.put(uploads.key_of(tenant, file_id), content, media_type=media.name, metadata=uploads.metadata_of(name, []))
    record = uploads.record_of(uploads.File(file_id, name, len(content), media, None, []))
    file_records.save_in_cache(tenant, record)
    return json_response(FileDetails(**record), 201, location=f"/files/{file_id}")


@router.post(
    "/uploads",
    status_code=201,
    response_model=UploadDetails,
    summary="Get a form to upload a large file",
    response_description="The form, and the jobs that start when the file has arrived.",
    responses=problem_responses(
        CacheFullError,
        CacheUnavailableError,
        ConcurrentChangeError,
        FileNotFoundInStoreError,
        FileNotUploadedError,
        FileTooLargeError,
        IdempotencyKeyReusedError,
        InvalidRequestError,
        MonthlyJobsQuotaError,
        MonthlyVideoQuotaError,
        QueuedJobsQuotaError,
        StorageQuotaError,
        StorageUnavailableError,
        TooManyJobsError,
        UnknownOperationError,
        UnsupportedMediaTypeError,
        UploadLinkExhaustedError,
        UploadQuotaError,
        WrongMediaKindError,
    ),
)
async def create_upload(
    body: UploadRequest, principal: WriterOrLink, traceparent: Traceparent, idempotency_key: IdempotencyKey = None
) -> Response:
    """Returns a presigned form that uploads a file of up to `max_bytes` directly to the object store.

    The `jobs` start as soon as the file has arrived. Their parameters are validated now, the file when it arrives.
    With the token of an upload link, the limits and the jobs of the link apply, and the request must have no `jobs`.
    """
    tenant, limits = principal.tenant, principal.limits
    kind = _declared_kind(body.media_type)
    max_bytes = _max_bytes(principal, body.size_bytes)
    if limits is not None:
        link_uploads.check_request(limits, body)
    all_wanted = body.jobs if limits is None else link_uploads.link_jobs(limits)
    for wanted in all_wanted:
        uploads.check_kind(wanted.operation, kind)
        file_records.check_overlay(tenant, wanted.params)
    request = canonical_request("uploads", body.model_dump(mode="json"))
    reserved = reserve_ids(tenant, idempotency_key, request, 1 + len(all_wanted), link_id=principal.link_id)
    file_id, *job_ids = reserved.identifiers
    if not (reserved.repeated and file_records.is_known(tenant, file_id)):
        admission.check(principal, [wanted.operation for wanted in all_wanted], size_bytes=max_bytes)
    jobs = [
        AttachedJob(
            job_id=job_id,
            operation=wanted.operation,
            params=without_defaults(wanted.params),
            priority=wanted.priority,
        )
        for job_id, wanted in zip(job_ids, all_wanted, strict=True)
    ]
    metadata = checked_metadata(body.name, jobs, principal.link_id)
    expires_s = link_uploads.form_expiry_s(principal, file_id)
    form = s3.upload_form(
        uploads.key_of(tenant, file_id),
        media_type=body.media_type,
        metadata=metadata,
        max_bytes=max_bytes,
        expires_s=expires_s,
    )
    expires_at = iso_utc(time.time() + expires_s)
    expected = {"status": file_records.AWAITING, "media_type": body.media_type, "expires_at": expires_at}
    record = {"file_id": file_id, "name": uploads.clean_name(body.name), "link_id": principal.link_id, **expected}
    reserved_bytes = 0 if principal.quotas.stored_bytes is None else max_bytes
    files.expect_file(tenant, file_id, record, expires_s=expires_s, reserved_bytes=reserved_bytes)
    if jobs:
        open_index.add_upload(tenant, file_id)
    for job in jobs:
        waiting = job.to_job(file_id, tenant=tenant, traceparent=traceparent, link_id=principal.link_id)
        views.await_upload(waiting, expires_s=expires_s, quotas=principal.quotas)
    link_uploads.count_file(principal, file_id)
    upload = UploadForm(url=form["url"], fields=form["fields"], expires_at=expires_at, max_bytes=max_bytes)
    details = UploadDetails(file_id=file_id, upload=upload, jobs=[_pending(job) for job in jobs])
    return json_response(details, 201, location=f"/files/{file_id}")


def _declared_kind(media_type: str) -> MediaKind:
    name = media_type.partition(";")[0].strip().lower()
    group = name.partition("/")[0]
    if group not in set(MediaKind) or not is_supported_type(name):
        raise UnsupportedMediaTypeError(
            f"The media type {name} is not supported. Darkroom accepts images, video and audio."
        )
    return MediaKind(group)


def _max_bytes(principal: Principal, size_bytes: int | None) -> int:
    """The largest size that the form accepts: the declared one, or else the limit of the service, tenant or link."""
    limit_bytes, own_bytes = settings().upload_max_bytes, principal.quotas.upload_bytes
    if principal.limits is not None and principal.limits.max_bytes is not None:
        limit_bytes = min(limit_bytes, principal.limits.max_bytes)
    if size_bytes is None:
        return limit_bytes if own_bytes is None else min(limit_bytes, own_bytes)
    quotas.check_upload_size(principal.quotas, size_bytes)
    if size_bytes > limit_bytes:
        raise FileTooLargeError(f"The file has {size_bytes:,} bytes; the limit is {limit_bytes:,}.")
    return size_bytes


def _pending(job: AttachedJob) -> PendingJob:
    return PendingJob(
        job_id=job.job_id, operation=job.operation, status=Status.QUEUED, status_url=status_url(job.job_id)
    )
