"""Finds files and jobs: in Redis, which is quick, else in S3, which is the truth."""

from typing import Any

from darkroom import ids
from darkroom.contracts.base import MediaKind
from darkroom.contracts.image_params import WatermarkParams
from darkroom.contracts.jobs import JobResult, Status
from darkroom.contracts.operations import Operation, Params
from darkroom.errors import (
    CacheUnavailableError,
    DarkroomError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    JobNotFoundError,
    MediaError,
    StorageUnavailableError,
    WrongMediaKindError,
)
from darkroom.jobs import ledger, lifecycle, uploads
from darkroom.log import logger
from darkroom.services.redis import files, views
from darkroom.services.redis.views import View

AWAITING = "awaiting"
REJECTED = "rejected"

_MEDIA_ERRORS = {error.code: error for error in MediaError.__subclasses__()}


def file_record(file_id: str) -> dict[str, Any]:
    """What is known of a file. Raises FileNotFoundInStoreError.

    A file that is still awaited may have landed a moment ago, before its event was worked off: S3 knows.
    """
    silence: DarkroomError = FileNotFoundInStoreError(file_id)
    record = None
    try:
        record = files.find_record(file_id)
    except CacheUnavailableError as error:
        silence = error  # what S3 does not have may still be awaited, which only Redis knows
    if record is None or record["status"] == AWAITING:
        record = stored_file(file_id) or record
    if record is None:
        raise silence
    return record


def surviving_file(file_id: str) -> dict[str, Any]:
    """Like `file_record`, but a file that Redis still knows while S3 has removed it is not found."""
    record = stored_file(file_id)
    if record is not None:
        return record
    record = file_record(file_id)
    if record["status"] != AWAITING:
        raise FileNotFoundInStoreError(file_id)
    return record


def stored_file(file_id: str) -> dict[str, Any] | None:
    """What lies in S3 under this id, noted in Redis as well."""
    file = uploads.inspect(file_id)
    if file is None:
        return None
    record = uploads.record_of(file)
    remember_file(record)
    return record


def remember_file(record: dict[str, Any]) -> None:
    """Notes a file in Redis; without Redis, S3 answers."""
    try:
        files.save_record(record["file_id"], record)
    except CacheUnavailableError as error:
        logger().warning("file not noted", extra={"file_id": record["file_id"], "reason": error.message})


def require_inputs(operation: Operation, params: Params, record: dict[str, Any]) -> None:
    """Raises unless the file and, for a watermark, the image to lay over it are there and fit for the operation."""
    uploads.check_kind(operation, kind_of(record))
    require_overlay(params)


def require_overlay(params: Params) -> None:
    """Raises unless the image that a watermark lays over, if it is one, is there and an image."""
    if not isinstance(params, WatermarkParams) or params.image_file_id is None:
        return
    kind = kind_of(file_record(ids.parse_id(params.image_file_id)))
    if kind is not MediaKind.IMAGE:
        raise WrongMediaKindError(f"image_file_id names a file of kind {kind}; a watermark is a text or an image.")


def kind_of(record: dict[str, Any]) -> MediaKind:
    """The kind of a file that is ready. Raises what stands in the way otherwise."""
    if record["status"] == AWAITING:
        raise FileNotUploadedError(record["file_id"])
    if record["status"] == REJECTED:
        problem = record["error"]
        raise _MEDIA_ERRORS[problem["code"]](problem["message"])
    return MediaKind(record["kind"])


def job_view(job_id: str, wait_s: float = 0) -> View:
    """What is known of a job, held until it has ended or `wait_s` is over. Raises JobNotFoundError.

    Without Redis, the ledger tells whether the job has ended; an open job then counts as queued. With it, a job that
    Redis has as open is looked up in the ledger as well: its end may not have reached Redis, and whoever has been told
    of an end must never hear otherwise.
    """
    try:
        return _seen(job_id, wait_s) or _restored(job_id, wait_s)
    except CacheUnavailableError as error:
        logger().warning("asking the ledger instead", extra={"job_id": job_id, "reason": error.message})
        job = ledger.read_job(job_id)
        if job is None:
            raise  # it may still await its upload, which only Redis knows
    return views.from_ledger(job, ledger.read_result(job_id))


def _seen(job_id: str, wait_s: float) -> View | None:
    view = views.fetch(job_id)
    if view is None or view.status.terminal:
        return view
    result = read_result(job_id)
    if result is not None:
        lifecycle.restore(view.job, result)
        return views.from_ledger(view.job, result)
    return views.wait_for_end(job_id, wait_s) if wait_s > 0 else view


def read_result(job_id: str) -> JobResult | None:
    """The ledger's end of a job; without S3, Redis alone must do."""
    try:
        return ledger.read_result(job_id)
    except StorageUnavailableError as error:
        logger().warning("asking Redis alone", extra={"job_id": job_id, "reason": error.message})
        return None


def _restored(job_id: str, wait_s: float) -> View:
    """A job that Redis has lost, brought back from the ledger."""
    job = ledger.read_job(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    result = ledger.read_result(job_id)
    lifecycle.restore(job, result)
    return _seen(job_id, wait_s) or views.from_ledger(job, result)


def queue_position(view: View) -> int | None:
    """A queued job's place, counted from 1; None where it has none or nobody knows it."""
    if view.status is not Status.QUEUED or view.awaits_upload:
        return None
    try:
        return views.position_in_queue(view.job.job_id, view.job.operation)
    except CacheUnavailableError:
        return None
