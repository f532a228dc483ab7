"""The ledger: two objects in S3 per job, the source of truth.

A job exists when `ledger/<tenant>/<job>/job.json` does, and has ended when `result.json` beside it does. Both are
written once, by a conditional write, and never change.
"""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError

from darkroom.contracts.jobs import Job, JobRef, JobResult
from darkroom.errors import InternalError
from darkroom.services import s3

LEDGER_PREFIX = "ledger/"
JOB_FILE = "job.json"
RESULT_FILE = "result.json"
_JSON = "application/json"

_Record = TypeVar("_Record", Job, JobResult)


def prefix_of(tenant: str) -> str:
    """Prefix of the keys of a tenant's jobs."""
    return f"{LEDGER_PREFIX}{tenant}/"


def job_key(job: JobRef) -> str:
    """Key of the object that makes the job exist."""
    return f"{prefix_of(job.tenant)}{job.job_id}/{JOB_FILE}"


def result_key(job: JobRef) -> str:
    """Key of the object that ends the job."""
    return f"{prefix_of(job.tenant)}{job.job_id}/{RESULT_FILE}"


def write_job(job: Job) -> bool:
    """Writes the job. Returns True if it is new."""
    return s3.put_once(job_key(job.ref), _encode(job), media_type=_JSON)


def write_result(job: JobRef, result: JobResult) -> JobResult:
    """Writes the result unless the job has one. Returns the winning result: the first that was written."""
    if s3.put_once(result_key(job), _encode(result), media_type=_JSON):
        return result
    return read_result(job) or result


def read_job(job: JobRef) -> Job | None:
    """The job, or None. Raises InternalError when it cannot be read."""
    return _read(Job, job_key(job))


def read_result(job: JobRef) -> JobResult | None:
    """The result of the job, or None while it has not ended. Raises InternalError when it cannot be read."""
    return _read(JobResult, result_key(job))


def record_pages(tenant: str, key: str) -> Iterator[list[s3.ListedObject]]:
    """The objects of a tenant's jobs whose keys come after `key`, in order, one page per request."""
    yield from s3.pages_after(prefix_of(tenant), key)


def _read(kind: type[_Record], key: str) -> _Record | None:
    content = s3.get(key)
    try:
        return None if content is None else kind.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"The ledger's object {key} cannot be read.") from error


def _encode(record: Job | JobResult) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()
