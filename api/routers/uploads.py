"""Ways in for files: through the API while they are small, straight to S3 otherwise."""

import hashlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, File, Response, UploadFile

from api import capacity, lookup
from api.deps import IdempotencyKey, Traceparent
from api.documents import AwaitedJob, FileDocument, UploadDocument, UploadForm, status_url, timestamp
from api.idempotency import meaning, reserve
from api.openapi import problems
from api.responses import document
from api.schemas import UploadRequest
from darkroom.config import settings
from darkroom.contracts.base import DEFAULT_TENANT, MediaKind
from darkroom.contracts.jobs import Status, UploadedJob
from darkroom.contracts.operations import Operation, Params
from darkroom.errors import (
    CacheUnavailableError,
    EmptyFileError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    FileTooLargeError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    MediaTypeMismatchError,
    StorageUnavailableError,
    TooManyJobsError,
    UnknownOperationError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.jobs import uploads
from darkroom.media.sniff import HEAD_BYTES
from darkroom.media.types import is_supported_type
from darkroom.services import s3
from darkroom.services.redis import files, views

router = APIRouter(tags=["uploads"])


@router.post(
    "/upload",
    status_code=201,
    response_model=FileDocument,
    summary="Upload a small file",
    response_description="The file is stored.",
    responses=problems(
        EmptyFileError,
        FileTooLargeError,
        IdempotencyKeyReusedError,
        InvalidRequestError,
        MediaTypeMismatchError,
        StorageUnavailableError,
        UnsupportedMediaTypeError,
    ),
)
async def upload_file(
    file: Annotated[UploadFile, File(description="The file. Its bytes decide what it is, not its name.")],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Takes a file of up to 4 MB through the API itself and says what it is. Larger ones: `POST /uploads`."""
    content = await file.read()
    limit_bytes = settings().direct_upload_max_bytes
    if len(content) > limit_bytes:
        raise FileTooLargeError(
            f"The file has {len(content):,} bytes; {limit_bytes:,} may go through the API. "
            "Ask POST /uploads for a form and send it straight to the store."
        )
    media = uploads.identify(content[:HEAD_BYTES], len(content), file.content_type)
    name = uploads.clean_name(file.filename or "")
    request = meaning("upload", name, media.name, hashlib.sha256(content).hexdigest())
    [file_id] = reserve(idempotency_key, request, 1).identifiers
    s3.put(uploads.key_of(file_id), content, media_type=media.name, metadata=uploads.metadata_of(name, []))
    record = uploads.record_of(uploads.File(file_id, name, len(content), media, None, []))
    lookup.remember_file(record)
    return document(FileDocument(**record), 201, location=f"/files/{file_id}")


@router.post(
    "/uploads",
    status_code=201,
    response_model=UploadDocument,
    summary="Get a form to upload a file of any size",
    response_description="The form, and the jobs that its file will start.",
    responses=problems(
        CacheUnavailableError,
        FileNotFoundInStoreError,
        FileNotUploadedError,
        FileTooLargeError,
        IdempotencyKeyReusedError,
        InvalidRequestError,
        TooManyJobsError,
        UnknownOperationError,
        UnsupportedMediaTypeError,
        WrongMediaKindError,
    ),
)
async def create_upload(
    body: UploadRequest, traceparent: Traceparent, idempotency_key: IdempotencyKey = None
) -> Response:
    """Gives out a presigned form that sends a file straight to the store, past the API and its size limit.

    `jobs` start by themselves when the file has arrived; ask for them by the ids returned here. Their parameters are
    checked now; the file itself is checked when it arrives.
    """
    kind = _declared_kind(body.media_type)
    max_bytes = _max_bytes(body.size_bytes)
    for work in body.jobs:
        uploads.check_kind(Operation(work.operation), kind)
        lookup.require_overlay(work.params)
        capacity.require(Operation(work.operation))
    reserved = reserve(idempotency_key, meaning("uploads", body.model_dump(mode="json")), 1 + len(body.jobs))
    file_id, *job_ids = reserved.identifiers
    jobs = [
        UploadedJob(job_id=job_id, operation=Operation(work.operation), params=_concise(work.params))
        for job_id, work in zip(job_ids, body.jobs, strict=True)
    ]
    metadata = uploads.metadata_of(body.name, jobs)
    _check_metadata(metadata)
    expires_s = settings().link_expiry_s
    form = s3.upload_form(
        uploads.key_of(file_id), media_type=body.media_type, metadata=metadata, max_bytes=max_bytes, expires_s=expires_s
    )
    expires_at = timestamp(time.time() + expires_s)
    awaited = {"status": lookup.AWAITING, "media_type": body.media_type, "expires_at": expires_at}
    files.expect_file(
        file_id, {"file_id": file_id, "name": uploads.clean_name(body.name), **awaited}, expires_s=expires_s
    )
    for job in jobs:
        awaited_job = job.on(file_id, tenant=DEFAULT_TENANT, traceparent=traceparent)
        views.await_upload(awaited_job, expires_s=expires_s)
    upload = UploadForm(url=form["url"], fields=form["fields"], expires_at=expires_at, max_bytes=max_bytes)
    made = UploadDocument(file_id=file_id, upload=upload, jobs=[_announced(job) for job in jobs])
    return document(made, 201, location=f"/files/{file_id}")


def _declared_kind(media_type: str) -> MediaKind:
    name = media_type.partition(";")[0].strip().lower()
    group = name.partition("/")[0]
    if group not in set(MediaKind) or not is_supported_type(name):
        raise UnsupportedMediaTypeError(f"Darkroom reads no files of type {name}. It takes images, video and sound.")
    return MediaKind(group)


def _max_bytes(size_bytes: int | None) -> int:
    """The form's upper limit: the size that was announced, else the largest that is allowed."""
    limit_bytes = settings().upload_max_bytes
    if size_bytes is None:
        return limit_bytes
    if size_bytes > limit_bytes:
        raise FileTooLargeError(f"The file would have {size_bytes:,} bytes; the limit is {limit_bytes:,}.")
    return size_bytes


def _check_metadata(metadata: dict[str, str]) -> None:
    size_bytes = sum(len(name) + len(value) for name, value in metadata.items())
    if size_bytes > uploads.METADATA_LIMIT_BYTES:
        raise InvalidRequestError(
            f"The name and the jobs take {size_bytes:,} bytes; an upload can carry {uploads.METADATA_LIMIT_BYTES:,}. "
            "Attach fewer jobs, and start the others with POST /jobs once the file is there."
        )


def _concise(params: Params) -> dict[str, Any]:
    return params.model_dump(mode="json", exclude_defaults=True)


def _announced(job: UploadedJob) -> AwaitedJob:
    return AwaitedJob(
        job_id=job.job_id, operation=job.operation, status=Status.QUEUED, status_url=status_url(job.job_id)
    )
