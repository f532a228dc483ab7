"""What jobs leave in S3, Redis and the file system, and what they may not leave."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from darkroom import config
from darkroom.contracts.jobs import JobRef, JobResult, Status
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, open_index, uploads
from darkroom.jobs.open_index import Kind
from darkroom.services import aws, s3
from darkroom.services.redis import keys, slots
from darkroom.services.redis.client import redis_client

#: Sorted sets whose scores are times, in milliseconds since 1970, and which are empty when no job is open.
TIMED_SETS = (
    keys.OPEN_JOBS,
    keys.CLEANUPS,
    *map(keys.delayed_jobs_of, Operation),
    *map(keys.ready_tenants_of, Operation),
)


def entries_left() -> list[str]:
    """The entries of the open index that stand for a job or an upload which exists."""
    jobs = (JobRef(entry.tenant, entry.identifier) for page in open_index.pages(Kind.JOBS, "") for entry in page)
    files = (entry for page in open_index.pages(Kind.UPLOADS, "") for entry in page)
    return [
        *(f"job {job}" for job in jobs if ledger.read_job(job)),
        *(f"upload {entry.identifier}" for entry in files if s3.exists(uploads.key_of(entry.tenant, entry.identifier))),
    ]


def leftovers() -> list[str]:
    """Slots, entries of timed sets and of the open index, and directories, which no job may leave behind."""
    redis: Any = redis_client()
    wrong = [f"still in the index: {entry}" for entry in entries_left()]
    wrong += [f"{count} slots of {operation} are taken" for operation, count in slots.in_flight().items() if count]
    for key in TIMED_SETS:
        if redis.exists(key):
            wrong.append(f"still in {key}: {redis.zrange(key, 0, -1, withscores=True)}")
    for operation in Operation:
        ready = redis.keys(keys.ready_jobs_of(operation, "*"))
        wrong += [f"still there: {key}" for key in [*ready, *redis.keys(keys.permits_of(operation))]]
        if redis.exists(keys.queued_jobs_of(operation)):
            wrong.append(f"still queued: {redis.zrange(keys.queued_jobs_of(operation), 0, -1)}")
    wrong += [f"left the directory {path}" for path in Path(tempfile.gettempdir()).glob("darkroom-*")]
    return wrong


def missing_outputs(result: JobResult) -> list[str]:
    """Outputs of a completed job that do not exist, or differ from its result."""
    wrong = []
    for output in result.outputs:
        content = s3.get(output.key)
        if content is None:
            wrong.append(f"{result.job_id} completed without its output {output.key}")
        elif hashlib.sha256(content).hexdigest() != output.sha256:
            wrong.append(f"{result.job_id} completed, but {output.key} has another SHA-256 than its result")
    if result.status is Status.COMPLETED and not result.outputs:
        wrong.append(f"{result.job_id} completed without outputs")
    return wrong


def etag_of(key: str) -> str | None:
    """The ETag and the time of an object's latest version, or None."""
    if not s3.exists(key):
        return None
    answer = aws.client("s3").head_object(Bucket=config.settings().bucket, Key=key)
    return f"{answer['ETag']} {answer['LastModified']}"
