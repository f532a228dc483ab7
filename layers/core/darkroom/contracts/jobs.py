"""A job, its message and its result."""

import contextlib
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field

from darkroom.contracts.base import Contract
from darkroom.contracts.operations import Operation, parse_params, with_defaults
from darkroom.errors import InvalidRequestError
from darkroom.timestamps import utc_now

#: The most attempts of a job. Only failures of the job itself count: a crash, a defect. After the last one it fails.
#: Those that an outage ended do not count; a job is retried after them until its retention period is over.
MAX_ATTEMPTS = 5


#: Which of a tenant's jobs start first. A `batch` job waits while the tenant has normal ones of its operation waiting.
Priority = Literal["normal", "batch"]


def is_normal(priority: Priority) -> bool:
    """Whether it is the priority of jobs that name none. It is not stored."""
    return priority == "normal"


class Status(StrEnum):
    """Status of a job. `completed`, `failed` and `canceled` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended. It then never changes again."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELED)


class JobRef(NamedTuple):
    """What identifies a job: its tenant and its id. An id alone says nothing, since a tenant sees only its own jobs."""

    tenant: str
    job_id: str

    def __str__(self) -> str:
        """The text form, `<tenant>/<job id>`, in which Redis lists jobs of all tenants."""
        return f"{self.tenant}/{self.job_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that has this text form."""
        tenant, _, job_id = text.partition("/")
        return cls(tenant, job_id)


class FileSource(Contract):
    """An uploaded file as the source of a job."""

    type: Literal["file"] = Field("file", description="Kind of source.")
    file_id: str = Field(description="Identifier of the file.")


class Job(Contract):
    """An accepted job: `job.json` in the ledger. Never changes. `link_id` is the upload link that it came through."""

    job_id: str
    tenant: str
    operation: Operation
    params: dict[str, Any]
    source: FileSource
    created_at: str
    traceparent: str
    retry_of: str | None = None
    link_id: str | None = None
    priority: Priority = Field("normal", exclude_if=is_normal)

    @property
    def ref(self) -> JobRef:
        """What identifies the job."""
        return JobRef(self.tenant, self.job_id)


class Output(Contract):
    """An object that a job produced. `name` is the file name under which a browser saves it."""

    name: str
    key: str
    media_type: str
    size_bytes: int
    sha256: str
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None


class Failure(Contract):
    """Why a job, one of its attempts or an upload failed."""

    code: str = Field(description="Stable code, for programs.")
    message: str = Field(description="A sentence, for people.")


class JobResult(Contract):
    """How a job ended: `result.json` in the ledger, written once. The first write decides.

    `run` is the random id of the run that ended the job, under which its outputs are stored. `document` is a result
    that is data rather than media, or data about the media.
    """

    job_id: str
    status: Status
    attempt: int
    run: str
    started_at: str | None = None
    uploaded_at: str | None = None
    finished_at: str
    outputs: list[Output] = Field(default_factory=list)
    document: dict[str, Any] | None = None
    error: Failure | None = None

    @property
    def video_ms(self) -> int:
        """Milliseconds of video and audio in the outputs, which is what counts as video of the tenant."""
        return round(
            1000
            * sum(
                output.duration_s or 0.0
                for output in self.outputs
                if output.media_type.partition("/")[0] in ("video", "audio")
            )
        )

    @property
    def output_bytes(self) -> int:
        """Bytes of all outputs."""
        return sum(output.size_bytes for output in self.outputs)


class Message(Contract):
    """A message in RabbitMQ: a permit to start a job of its operation, the one whose turn it is.

    It names an attempt (counted from 1) of the job that brought it. Duplicates are harmless: it holds no state.
    """

    job_id: str
    tenant: str
    operation: Operation
    attempt: int = Field(ge=1)

    @property
    def ref(self) -> JobRef:
        """What identifies the job."""
        return JobRef(self.tenant, self.job_id)


class FailedAttempt(Contract):
    """An attempt that failed and may be retried, as its run reports it to settle. An `outage` uses up no attempt."""

    message: Message
    run: str
    failure: Failure
    outage: bool


class AttachedJob(Contract):
    """A job attached to an upload, which starts when the upload has arrived. Stored in the metadata of the S3 object.

    Space is short there, so parameters with default values are left out.
    """

    job_id: str
    operation: Operation
    params: dict[str, Any]
    priority: Priority = Field("normal", exclude_if=is_normal)

    def to_job(self, file_id: str, *, tenant: str, traceparent: str, link_id: str | None = None) -> Job:
        """The job, now that its file is known. `link_id` is the upload link of the file, if it has one."""
        params = self.params
        with contextlib.suppress(InvalidRequestError):  # they were valid once; if they no longer are, the run fails
            params = with_defaults(parse_params(self.operation, params))
        return Job(
            job_id=self.job_id,
            tenant=tenant,
            operation=self.operation,
            params=params,
            source=FileSource(file_id=file_id),
            created_at=utc_now(),
            traceparent=traceparent,
            link_id=link_id,
            priority=self.priority,
        )
