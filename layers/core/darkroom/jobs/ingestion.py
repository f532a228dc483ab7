"""Ingests an upload: identifies the file by its bytes and accepts the jobs that came with it.

S3 may report an upload twice, out of order, or never. So every step can be repeated and can be interrupted anywhere.
"""

from darkroom import ids
from darkroom.contracts.jobs import Job
from darkroom.errors import CacheUnavailableError, InvalidIdError, MediaError
from darkroom.jobs import acceptance, uploads
from darkroom.log import logger
from darkroom.services import s3
from darkroom.services.redis import files
from darkroom.tenants import deletions
from darkroom.tracing import new_traceparent


def ingest(tenant: str, file_id: str) -> int:
    """Ingests one upload. Returns how many jobs came with it.

    That of a tenant which is being deleted, or was, is removed: a form is valid longer than the tenant.
    """
    try:
        ids.parse_id(file_id)
    except InvalidIdError:
        logger().warning("ignored an object that was not uploaded with a form", extra={"file_id": file_id})
        return 0
    file = uploads.inspect(tenant, file_id)
    if file is None:
        logger().info("ignored an upload that no longer exists", extra={"file_id": file_id})
        return 0
    if deletions.is_deleted(tenant):
        s3.delete([uploads.key_of(tenant, file_id)])
        logger().info("removed an upload of a deleted tenant", extra={"file_id": file_id, "tenant": tenant})
        return 0
    for attached in file.jobs:
        job = attached.to_job(file_id, tenant=tenant, traceparent=new_traceparent(), link_id=file.link_id)
        _accept(job, file)
    try:
        files.save_record(tenant, file_id, uploads.record_of(file))
        # Last, so that sweep repeats an ingestion that was interrupted.
        files.mark_ingested(tenant, file_id, size_bytes=file.size_bytes, written_s=file.written_s)
    except CacheUnavailableError as error:
        logger().warning("file record not saved", extra={"file_id": file_id, "reason": error.message})
    logger().info("upload ingested", extra={"file_id": file_id, "jobs": len(file.jobs)})
    return len(file.jobs)


def _accept(job: Job, file: uploads.File) -> None:
    error = _rejection(job, file)
    if error is None:
        acceptance.accept(job)
    else:
        acceptance.refuse(job, error)


def _rejection(job: Job, file: uploads.File) -> MediaError | None:
    """Why the job cannot process the file, or None."""
    if file.media is None:
        return file.problem
    try:
        uploads.check_kind(job.operation, file.media.kind)
    except MediaError as error:
        return error
    return None
