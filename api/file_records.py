"""The record of an uploaded file: from Redis, which is fast, otherwise from S3, which decides."""

from typing import Any

from darkroom import ids
from darkroom.contracts.base import MediaKind, Params
from darkroom.contracts.image_params import WatermarkParams
from darkroom.contracts.operations import Operation
from darkroom.errors import (
    CacheUnavailableError,
    DarkroomError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    MediaError,
    WrongMediaKindError,
)
from darkroom.jobs import uploads
from darkroom.log import logger
from darkroom.services.redis import files

AWAITING = "awaiting"
REJECTED = "rejected"

_MEDIA_ERRORS = {error.code: error for error in MediaError.__subclasses__()}


def find_file_record(tenant: str, file_id: str, link_id: str | None = None) -> dict[str, Any]:
    """The record of a file. Raises FileNotFoundInStoreError, also if it did not come through the link `link_id`.

    S3 is read for a file that Redis still expects: it may have arrived although its event was not processed yet.
    """
    failure: DarkroomError = FileNotFoundInStoreError(file_id)
    record = None
    try:
        record = files.find_record(tenant, file_id)
    except CacheUnavailableError as error:
        failure = error  # only Redis knows a file that has a form and is not in S3 yet
    if record is None or record["status"] == AWAITING:
        record = _read_from_store(tenant, file_id) or record
    if record is None or link_id not in (None, record.get("link_id")):
        raise failure
    return record


def require_stored_file(tenant: str, file_id: str) -> dict[str, Any]:
    """Like `find_file_record`, but also raises for a file that Redis still lists after S3 has removed it."""
    record = _read_from_store(tenant, file_id)
    if record is not None:
        return record
    record = find_file_record(tenant, file_id)
    if record["status"] != AWAITING:
        raise FileNotFoundInStoreError(file_id)
    return record


def is_known(tenant: str, file_id: str) -> bool:
    """Whether a form was issued for a file, or the file has arrived."""
    try:
        find_file_record(tenant, file_id)
    except FileNotFoundInStoreError:
        return False
    return True


def _read_from_store(tenant: str, file_id: str) -> dict[str, Any] | None:
    file = uploads.inspect(tenant, file_id)
    if file is None:
        return None
    record = uploads.record_of(file)
    save_in_cache(tenant, record)
    return record


def save_in_cache(tenant: str, record: dict[str, Any]) -> None:
    """Stores the record in Redis. An outage is only logged, since S3 has the file."""
    try:
        files.save_record(tenant, record["file_id"], record)
    except CacheUnavailableError as error:
        logger().warning("file record not cached", extra={"file_id": record["file_id"], "reason": error.message})


def check_inputs(tenant: str, operation: Operation, params: Params, record: dict[str, Any]) -> None:
    """Raises unless the file, and the image that a watermark places over it, are uploaded and accepted."""
    uploads.check_kind(operation, media_kind(record))
    check_overlay(tenant, params)


def check_overlay(tenant: str, params: Params) -> None:
    """Raises unless the image that a watermark places over another, if any, is the tenant's, uploaded and an image."""
    if not isinstance(params, WatermarkParams) or params.image_file_id is None:
        return
    kind = media_kind(find_file_record(tenant, ids.parse_id(params.image_file_id)))
    if kind is not MediaKind.IMAGE:
        raise WrongMediaKindError(f"image_file_id names a file of kind {kind}; a watermark is a text or an image.")


def media_kind(record: dict[str, Any]) -> MediaKind:
    """The kind of an uploaded file. Raises FileNotUploadedError, or the MediaError for which it was rejected."""
    if record["status"] == AWAITING:
        raise FileNotUploadedError(record["file_id"])
    if record["status"] == REJECTED:
        problem = record["error"]
        raise _MEDIA_ERRORS[problem["code"]](problem["message"])
    return MediaKind(record["kind"])
