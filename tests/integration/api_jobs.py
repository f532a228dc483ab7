"""Jobs as clients and runs handle them: the requests and the ends that tests of the API share."""

from typing import Any

from darkroom.contracts.jobs import Job, JobRef, JobResult, Output, Status
from darkroom.errors import CorruptMediaError
from darkroom.jobs import ledger, lifecycle
from darkroom.services import s3
from darkroom.timestamps import utc_now
from tests.support.gateway import Reply, call
from tests.support.tenants import TENANT

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 60
MP4 = b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64
OUTPUT = b"RIFF\x24\0\0\0WEBP"


def start(file_id: str, operation: str = "resize", params: Any = None, **headers: str) -> Reply:
    """POST /jobs."""
    params = {"width": 100} if params is None and operation == "resize" else params or {}
    body = {"file_id": file_id, "operation": operation, "params": params}
    return call("POST", "/jobs", json_body=body, headers=headers)


def accepted(job_id: str, tenant: str = TENANT) -> Job:
    """The job in the ledger."""
    job = ledger.read_job(JobRef(tenant, job_id))
    assert job is not None, f"job {job_id} was not accepted"
    return job


def complete(job_id: str, *names: str, document: dict[str, Any] | None = None, tenant: str = TENANT) -> JobResult:
    """Ends a job as its run does, with outputs of these names. Returns the result that won."""
    outputs = []
    for name in names:
        key = f"processed/{tenant}/{job_id}/run/{name}"
        s3.put(key, OUTPUT, media_type="image/webp")
        outputs.append(
            Output(
                name=name,
                key=key,
                media_type="image/webp",
                size_bytes=len(OUTPUT),
                sha256="0" * 64,
                width_px=100,
                height_px=75,
            )
        )
    result = JobResult(
        job_id=job_id,
        status=Status.COMPLETED,
        attempt=1,
        run="run",
        started_at=utc_now(),
        finished_at=utc_now(),
        outputs=outputs,
        document=document,
    )
    return lifecycle.end(accepted(job_id, tenant), result)


def fail(job_id: str, tenant: str = TENANT) -> None:
    """Fails a job as its run does."""
    job, error = accepted(job_id, tenant), CorruptMediaError("The file is incomplete.")
    lifecycle.end(job, lifecycle.failed_result(job, lifecycle.failure_of(error), attempt=1, run="run"))
