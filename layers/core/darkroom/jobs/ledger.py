"""The ledger: two objects in S3 per job, the source of truth.

A job exists when `ledger/<job>/job.json` does, and has ended when `ledger/<job>/result.json` does. Both are written
once, by a conditional write, and never change.
"""

from typing import TypeVar

from pydantic import ValidationError

from darkroom.contracts.jobs import Job, JobResult
from darkroom.errors import InternalError
from darkroom.services import s3

LEDGER_PREFIX = "ledger/"
JOB_FILE = "job.json"
RESULT_FILE = "result.json"
_JSON = "application/json"

_Record = TypeVar("_Record", Job, JobResult)


def job_key(job_id: str) -> str:
    """Key of the object that makes the job exist."""
    return f"{LEDGER_PREFIX}{job_id}/{JOB_FILE}"


def result_key(job_id: str) -> str:
    """Key of the object that ends the job."""
    return f"{LEDGER_PREFIX}{job_id}/{RESULT_FILE}"


def write_job(job: Job) -> bool:
    """Writes the job. Returns True if it is new."""
    return s3.put_once(job_key(job.job_id), _encode(job), media_type=_JSON)


def write_result(result: JobResult) -> JobResult:
    """Writes the result unless the job has one. Returns the winning result: the first that was written."""
    if s3.put_once(result_key(result.job_id), _encode(result), media_type=_JSON):
        return result
    return read_result(result.job_id) or result


def read_job(job_id: str) -> Job | None:
    """The job, or None. Raises InternalError when it cannot be read."""
    return _read(Job, job_key(job_id))


def read_result(job_id: str) -> JobResult | None:
    """The result of the job, or None while it has not ended. Raises InternalError when it cannot be read."""
    return _read(JobResult, result_key(job_id))


def _read(kind: type[_Record], key: str) -> _Record | None:
    content = s3.get(key)
    try:
        return None if content is None else kind.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"The ledger's object {key} cannot be read.") from error


def _encode(record: Job | JobResult) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()
