"""A job, its message and its result."""

import contextlib
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from darkroom.contracts.base import DEFAULT_TENANT, Contract
from darkroom.contracts.operations import Operation, parse_params, spelled_out
from darkroom.errors import InvalidRequestError
from darkroom.timestamps import utc_now

#: How often a job may fail by itself: its process dies, or has a defect. The last time fails the job.
MAX_ATTEMPTS = 5

#: How often a job is started at most, outages of parts it needs included: with their delays, some two hours or more.
MAX_STARTS = 40


class Status(StrEnum):
    """Where a job stands. The last three are terminal: a job that has one of them never changes again."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether the job is over."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELED)


class FileSource(Contract):
    """The job works on an uploaded file."""

    type: Literal["file"] = "file"
    file_id: str


class Job(Contract):
    """What was accepted: the ledger's `job.json`. Never changes."""

    job_id: str
    tenant: str = DEFAULT_TENANT
    operation: Operation
    params: dict[str, Any]
    source: FileSource
    created_at: str
    traceparent: str
    retry_of: str | None = None


class Output(Contract):
    """One object that a job made."""

    name: str = Field(description="File name to save it under.")
    key: str = Field(description="Where it lies in the bucket.")
    media_type: str
    size_bytes: int
    sha256: str = Field(description="SHA-256 of the bytes, in hexadecimal.")
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None


class Failure(Contract):
    """Why a job, or one attempt at it, failed."""

    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="A sentence for people.")


class JobResult(Contract):
    """How a job ended: the ledger's `result.json`, written once. Whoever writes it decides the job's end."""

    job_id: str
    status: Status
    attempt: int
    run: str = Field(description="Random id of the run that ended the job; its outputs lie under it.")
    started_at: str | None = None
    uploaded_at: str | None = None
    finished_at: str
    outputs: list[Output] = Field(default_factory=list)
    document: dict[str, Any] | None = Field(
        None,
        description="The result itself, where it is data and not media; of video_compress with target_ssim what was "
        "chosen (crf) and measured (ssim).",
    )
    error: Failure | None = None


class Message(Contract):
    """What travels through the broker. State lives in the record, so a duplicate is harmless."""

    job_id: str
    tenant: str
    operation: Operation
    attempt: int = Field(ge=1, description="The attempt this message is to start, counted from 1.")


class UploadedJob(Contract):
    """A job that came with an upload and starts when the upload lands. Travels in the object's own metadata.

    There is little room there, so parameters that have their defaults are left out.
    """

    job_id: str
    operation: Operation
    params: dict[str, Any]

    def on(self, file_id: str, *, tenant: str, traceparent: str) -> Job:
        """The job itself, once it is known on which file."""
        params = self.params
        with contextlib.suppress(InvalidRequestError):  # they were valid; should they be so no more, the run says it
            params = spelled_out(parse_params(self.operation, params))
        return Job(
            job_id=self.job_id,
            tenant=tenant,
            operation=self.operation,
            params=params,
            source=FileSource(file_id=file_id),
            created_at=utc_now(),
            traceparent=traceparent,
        )
