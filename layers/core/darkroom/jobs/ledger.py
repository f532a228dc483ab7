"""The ledger: two objects in S3 per job, the only truth about it.

A job exists when `ledger/<job>/job.json` does and is over when `ledger/<job>/result.json` does. Both are written once,
by a conditional write, and never change.
"""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError

from darkroom.contracts.jobs import Job, JobResult
from darkroom.errors import InternalError
from darkroom.services import s3

PREFIX = "ledger/"
JOB = "job.json"
RESULT = "result.json"
_JSON = "application/json"

Record = TypeVar("Record", Job, JobResult)


def job_key(job_id: str) -> str:
    """Where the acceptance of a job is written."""
    return f"{PREFIX}{job_id}/{JOB}"


def result_key(job_id: str) -> str:
    """Where the end of a job is written."""
    return f"{PREFIX}{job_id}/{RESULT}"


def accept(job: Job) -> bool:
    """Writes the job down. Whether it was new."""
    return s3.put_once(job_key(job.job_id), _encode(job), media_type=_JSON)


def end(result: JobResult) -> JobResult:
    """Ends the job as `result` says unless it has ended already; returns the end that holds."""
    if s3.put_once(result_key(result.job_id), _encode(result), media_type=_JSON):
        return result
    return read_result(result.job_id) or result


def read_job(job_id: str) -> Job | None:
    """What was accepted under this id."""
    return _read(Job, job_key(job_id))


def read_result(job_id: str) -> JobResult | None:
    """How the job ended, or None while it is open."""
    return _read(JobResult, result_key(job_id))


def jobs_after(job_id: str) -> Iterator[tuple[str, bool]]:
    """Jobs whose id sorts after `job_id`, oldest first, each with whether it has ended."""
    current, names = "", set[str]()
    # '0' is the character after '/', so the listing starts behind everything that belongs to `job_id`.
    for key in s3.keys_after(PREFIX, f"{PREFIX}{job_id}0" if job_id else ""):
        identifier, _, name = key.removeprefix(PREFIX).partition("/")
        if identifier != current:
            if JOB in names:
                yield current, RESULT in names
            current, names = identifier, set()
        names.add(name)
    if JOB in names:
        yield current, RESULT in names


def _read(kind: type[Record], key: str) -> Record | None:
    content = s3.get(key)
    try:
        return None if content is None else kind.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"What is written at {key} cannot be read.") from error


def _encode(record: Job | JobResult) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()
