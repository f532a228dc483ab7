"""Ingest: an upload has landed. The file is judged by its bytes, and the jobs that came with it are accepted.

S3 may tell the same upload twice and in any order; everything here may be repeated.
"""

from typing import Any

from darkroom import events, files, ids, lifecycle, store
from darkroom.contracts import FileSource, Job, UploadedJob, utc_now
from darkroom.errors import InvalidIdError, MediaError
from darkroom.log import logger
from darkroom.trace import new_traceparent


def handler(event: events.Event, _context: object) -> dict[str, int]:
    """Takes in every upload that the event announces."""
    accepted = 0
    for key in events.uploaded_keys(event):
        tenant, file_id = files.id_of(key)
        accepted += _ingest(tenant, file_id)
    return {"accepted": accepted}


def _ingest(tenant: str, file_id: str) -> int:
    try:
        ids.parse_id(file_id)
    except InvalidIdError:
        logger().warning("an object that no form of ours made", extra={"file_id": file_id})
        return 0
    file = files.inspect(file_id, tenant)
    if file is None:
        logger().info("the upload is gone again", extra={"file_id": file_id})
        return 0
    store.put_file(file_id, files.record_of(file))
    for uploaded in file.jobs:
        _accept(_job(uploaded, tenant, file_id), file)
    logger().info("upload taken in", extra={"file_id": file_id, "jobs": len(file.jobs)})
    return len(file.jobs)


def _job(uploaded: UploadedJob, tenant: str, file_id: str) -> Job:
    return Job(
        job_id=uploaded.job_id,
        tenant=tenant,
        operation=uploaded.operation,
        params=uploaded.params,
        source=FileSource(file_id=file_id),
        created_at=utc_now(),
        traceparent=new_traceparent(),
    )


def _accept(job: Job, file: files.File) -> None:
    problem: MediaError | Any = file.problem
    if problem is None and file.media is not None:
        try:
            files.check_kind(job.operation, file.media.kind)
        except MediaError as error:
            problem = error
    if problem is None:
        lifecycle.accept(job)
    else:
        lifecycle.refuse(job, problem)
