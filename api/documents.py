"""What clients get: the public shape of jobs and files, apart from how they are kept."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api import examples
from darkroom.config import settings
from darkroom.contracts.base import MediaKind
from darkroom.contracts.jobs import Failure, FileSource, Output, Status
from darkroom.contracts.operations import Operation
from darkroom.services import s3
from darkroom.services.redis.views import TimelineEvent, View


class Document(BaseModel):
    """Base of every model here."""

    model_config = ConfigDict(frozen=True)


def example_of(example: dict[str, Any]) -> ConfigDict:
    """The settings of a document that the API's description shows this example of."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class OutputDocument(Document):
    """One file that a job made."""

    name: str = Field(description="File name to save it under.")
    path: str = Field(description="Where it lies in the bucket.")
    media_type: str
    size_bytes: int
    sha256: str = Field(description="SHA-256 of the bytes, in hexadecimal.")
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None
    download_url: str = Field(description="A presigned GET, valid for a limited time.")


class MomentDocument(Document):
    """One event in a job's life."""

    event: Literal["accepted", "dispatched", "claimed", "attempt_failed", "uploaded", "completed", "failed", "canceled"]
    at: str
    attempt: int = Field(description="The attempt it belongs to, counted from 1; 0 before the first.")


class JobSummary(Document):
    """A job in a list."""

    model_config = example_of(examples.SUMMARY)

    job_id: str
    status: Status
    operation: Operation
    file_id: str = Field(description="The file that the job works on.")
    waiting_for: Literal["upload"] | None = Field(
        None, description="What a queued job waits for: `upload` while its file has not arrived yet."
    )
    attempt: int = Field(description="Attempts begun so far.")
    progress: float = Field(
        description="From 0 to 1; while the job runs, told once a second and never less than before."
    )
    speed: float | None = Field(
        None, description="Of video and sound that is being encoded: seconds of media worked off in a second."
    )
    remaining_s: float | None = Field(
        None, description="While the job runs: seconds until it ends, going by how long it took to get this far."
    )
    created_at: str
    started_at: str | None = Field(None, description="When the latest attempt began.")
    finished_at: str | None = None
    result_path: str | None = Field(None, description="Where the first result lies in the bucket.")
    error: Failure | None = Field(None, description="Why the job failed.")
    retry_of: str | None = Field(None, description="The job that this one tries again.")
    status_url: str = Field(description="Where to ask for the job.")


class JobDocument(JobSummary):
    """A job: where it stands, what it was asked for, what came of it."""

    model_config = example_of(examples.JOB)

    params: dict[str, Any] = Field(description="The operation's parameters, defaults spelled out.")
    source: FileSource
    download_url: str | None = Field(None, description="A presigned GET of the first result, for a limited time.")
    outputs: list[OutputDocument] = []
    document: dict[str, Any] | None = Field(
        None,
        description="The result itself, where it is data and not media; of video_compress with target_ssim what was "
        "chosen (crf) and measured (ssim).",
    )
    queue_position: int | None = Field(
        None, description="While the job is queued: how many of its operation come first, and itself."
    )
    errors: list[Failure] = Field([], description="Attempts that failed before, oldest first.")
    timeline: list[MomentDocument] = Field([], description="What happened to the job and when, oldest first.")


class JobPage(Document):
    """Jobs, newest first."""

    model_config = example_of(examples.JOB_PAGE)

    jobs: list[JobSummary]
    next: str | None = Field(description="Where the next page is; null after the last one.")


class FileDocument(Document):
    """An uploaded file, or one that is expected."""

    model_config = example_of(examples.FILE)

    file_id: str
    name: str
    status: Literal["awaiting", "ready", "rejected"] = Field(
        description="awaiting: nothing was uploaded yet. rejected: what was uploaded cannot be processed."
    )
    size_bytes: int | None = None
    media_type: str | None = Field(
        None, description="What the bytes are; what was declared, while the file is awaited."
    )
    kind: MediaKind | None = Field(None, description="Which operations take it.")
    error: Failure | None = Field(None, description="Why the file was rejected.")
    expires_at: str | None = Field(None, description="Until when the upload form is good, while the file is awaited.")


class UploadForm(Document):
    """A form for a POST of `multipart/form-data`: all `fields` in order, then the file as the field `file`."""

    method: Literal["POST"] = "POST"
    url: str
    fields: dict[str, str] = Field(description="Form fields that go before the file, exactly as they are.")
    expires_at: str
    max_bytes: int = Field(description="The store refuses anything larger.")


class AwaitedJob(Document):
    """A job that starts when the upload lands."""

    job_id: str
    operation: Operation
    status: Status
    waiting_for: Literal["upload"] = "upload"
    status_url: str


class UploadDocument(Document):
    """Everything needed to upload a file."""

    model_config = example_of(examples.UPLOAD)

    file_id: str
    upload: UploadForm
    jobs: list[AwaitedJob] = []


def timestamp(at_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_url(job_id: str) -> str:
    """Where to ask for a job, from the API's root."""
    return f"/jobs/{job_id}"


def summary(view: View) -> JobSummary:
    """A job as lists show it."""
    return JobSummary(**_common(view))


def job_document(view: View, queue_position: int | None = None) -> JobDocument:
    """A job with everything that is known of it. Makes the presigned links, which takes CPU but no request."""
    outputs = [_output(output) for output in view.result.outputs] if view.result else []
    return JobDocument(
        **_common(view),
        params=view.job.params,
        source=view.job.source,
        download_url=outputs[0].download_url if outputs else None,
        outputs=outputs,
        document=view.result.document if view.result else None,
        queue_position=queue_position,
        errors=view.errors,
        timeline=[_moment(moment) for moment in view.timeline],
    )


def _moment(moment: TimelineEvent) -> MomentDocument:
    return MomentDocument(event=moment.event, at=timestamp(moment.at_ms / 1000), attempt=moment.attempt)


def _common(view: View) -> dict[str, Any]:
    job, result = view.job, view.result
    started_at = result.started_at if result else None
    if started_at is None and view.started_ms is not None:
        started_at = timestamp(view.started_ms / 1000)
    return {
        "job_id": job.job_id,
        "status": view.status,
        "operation": job.operation,
        "file_id": job.source.file_id,
        "waiting_for": "upload" if view.awaits_upload else None,
        "attempt": result.attempt if result else view.attempt,
        "progress": 1.0 if view.status is Status.COMPLETED else view.progress,
        "speed": view.speed if view.status is Status.RUNNING else None,
        "remaining_s": remaining_s(view),
        "created_at": job.created_at,
        "started_at": started_at,
        "finished_at": result.finished_at if result else None,
        "result_path": result.outputs[0].key if result and result.outputs else None,
        "error": result.error if result else None,
        "retry_of": job.retry_of,
        "status_url": status_url(job.job_id),
    }


def remaining_s(view: View) -> float | None:
    """Seconds from the last report of progress to the end at the same pace; None where nothing is known of it."""
    if view.status is not Status.RUNNING or view.started_ms is None or view.progressed_ms is None:
        return None
    taken_s = (view.progressed_ms - view.started_ms) / 1000
    return round(taken_s * (1 - view.progress) / view.progress, 1) if view.progress > 0 else None


def _output(output: Output) -> OutputDocument:
    return OutputDocument(
        name=output.name,
        path=output.key,
        media_type=output.media_type,
        size_bytes=output.size_bytes,
        sha256=output.sha256,
        width_px=output.width_px,
        height_px=output.height_px,
        duration_s=output.duration_s,
        download_url=download_link(output),
    )


def download_link(output: Output) -> str:
    """A presigned GET that saves the output under its name."""
    return s3.link(output.key, expires_s=settings().link_expiry_s, save_as=output.name)
