"""Takes in what was uploaded: the file is judged by its bytes, and the jobs that came with it are accepted.

S3 may tell of an upload twice, in any order, or never; everything here may be repeated and may be cut short anywhere.
"""

from darkroom import ids
from darkroom.contracts.jobs import Job
from darkroom.errors import CacheUnavailableError, InvalidIdError, MediaError
from darkroom.jobs import lifecycle, uploads
from darkroom.log import logger
from darkroom.services.redis import files
from darkroom.tracing import new_traceparent


def take_in(tenant: str, file_id: str) -> int:
    """Takes in one upload. Returns how many jobs came with it."""
    try:
        ids.parse_id(file_id)
    except InvalidIdError:
        logger().warning("an object that no form of ours made", extra={"file_id": file_id})
        return 0
    file = uploads.inspect(file_id, tenant)
    if file is None:
        logger().info("the upload is gone again", extra={"file_id": file_id})
        return 0
    for uploaded in file.jobs:
        _accept(uploaded.on(file_id, tenant=tenant, traceparent=new_traceparent()), file)
    try:
        files.save_record(file_id, uploads.record_of(file))
        files.mark_ingested(file_id)  # last, so that sweep repeats what was cut short
    except CacheUnavailableError as error:
        logger().warning("file not noted", extra={"file_id": file_id, "reason": error.message})
    logger().info("upload taken in", extra={"file_id": file_id, "jobs": len(file.jobs)})
    return len(file.jobs)


def _accept(job: Job, file: uploads.File) -> None:
    problem = _problem(job, file)
    if problem is None:
        lifecycle.accept(job)
    else:
        lifecycle.refuse(job, problem)


def _problem(job: Job, file: uploads.File) -> MediaError | None:
    """Why the file is not fit for the job, if it is not."""
    if file.media is None:
        return file.problem
    try:
        uploads.check_kind(job.operation, file.media.kind)
    except MediaError as error:
        return error
    return None
