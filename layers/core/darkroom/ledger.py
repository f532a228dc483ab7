"""The ledger: two objects in S3 per job, the only truth about it.

A job exists when `ledger/<job>/job.json` does and is over when `ledger/<job>/result.json` does. Both are written once,
by a conditional write, and never change.
"""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError

from darkroom import storage
from darkroom.contracts import Ending, Job
from darkroom.errors import InternalError

PREFIX = "ledger/"
JOB = "job.json"
RESULT = "result.json"
_JSON = "application/json"

Record = TypeVar("Record", Job, Ending)


def job_key(job_id: str) -> str:
    """Where the acceptance of a job is written."""
    return f"{PREFIX}{job_id}/{JOB}"


def result_key(job_id: str) -> str:
    """Where the end of a job is written."""
    return f"{PREFIX}{job_id}/{RESULT}"


def accept(job: Job) -> bool:
    """Writes the job down. Whether it was new."""
    return storage.put_once(job_key(job.job_id), _encode(job), media_type=_JSON)


def end(ending: Ending) -> Ending:
    """Ends the job as `ending` says unless it has ended already; returns the end that holds."""
    if storage.put_once(result_key(ending.job_id), _encode(ending), media_type=_JSON):
        return ending
    return read_ending(ending.job_id) or ending


def read_job(job_id: str) -> Job | None:
    """What was accepted under this id."""
    return _read(Job, job_key(job_id))


def read_ending(job_id: str) -> Ending | None:
    """How the job ended, or None while it is open."""
    return _read(Ending, result_key(job_id))


def jobs_after(job_id: str) -> Iterator[tuple[str, bool]]:
    """Jobs whose id sorts after `job_id`, oldest first, each with whether it has ended."""
    current, names = "", set[str]()
    # '0' is the character after '/', so the listing starts behind everything that belongs to `job_id`.
    for key in storage.keys_after(PREFIX, f"{PREFIX}{job_id}0" if job_id else ""):
        identifier, _, name = key.removeprefix(PREFIX).partition("/")
        if identifier != current:
            if JOB in names:
                yield current, RESULT in names
            current, names = identifier, set()
        names.add(name)
    if JOB in names:
        yield current, RESULT in names


def _read(kind: type[Record], key: str) -> Record | None:
    content = storage.get(key)
    try:
        return None if content is None else kind.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"What is written at {key} cannot be read.") from error


def _encode(record: Job | Ending) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()
