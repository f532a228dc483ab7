"""What clients get: jobs, files and uploads in their public form, which differs from how they are stored."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api import examples
from darkroom.contracts.base import MediaKind, model_title
from darkroom.contracts.jobs import Failure, FileSource, Priority, Status
from darkroom.contracts.operations import Operation


class ResponseModel(BaseModel):
    """Base of every model here."""

    model_config = ConfigDict(frozen=True, model_title_generator=model_title)


def with_example(example: dict[str, Any]) -> ConfigDict:
    """The configuration of a model with this example in the API's documentation."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class OutputDetails(ResponseModel):
    """A file that a job produced."""

    name: str = Field(description="File name under which a browser saves it.")
    path: str = Field(description="Key of the file in the bucket.")
    media_type: str = Field(description="Media type of the file, such as `image/webp`.")
    size_bytes: int = Field(description="Size in bytes.")
    sha256: str = Field(description="SHA-256 of the content, in hexadecimal.")
    width_px: int | None = Field(None, description="Width in pixels, of an image or video.")
    height_px: int | None = Field(None, description="Height in pixels, of an image or video.")
    duration_s: float | None = Field(None, description="Duration in seconds, of a video, audio or animation.")
    download_url: str = Field(description="Presigned link to the file, valid for a limited time.")


class TimelineEntry(ResponseModel):
    """An event in the life of a job."""

    event: Literal[
        "accepted", "dispatched", "claimed", "attempt_failed", "uploaded", "completed", "failed", "canceled"
    ] = Field(
        description="`accepted`: the job was recorded. `dispatched`: a run was started. `claimed`: the run began its "
        "work. `attempt_failed`: the attempt failed and another one follows. `uploaded`: the outputs were stored. "
        "`completed`, `failed`, `canceled`: the job ended."
    )
    at: str = Field(description="Time of the event.")
    attempt: int = Field(description="Attempt that the event belongs to, counted from 1; 0 before the first.")


class JobSummary(ResponseModel):
    """A job in a list."""

    model_config = with_example(examples.SUMMARY)

    job_id: str = Field(description="Identifier of the job.")
    status: Status = Field(description="`queued` and `running` jobs are open; the other statuses are final.")
    operation: Operation = Field(description="The operation.")
    file_id: str = Field(description="Identifier of the file that the job processes.")
    waiting_for: Literal["upload"] | None = Field(
        None, description="`upload` while a queued job waits for its file to arrive."
    )
    attempt: int = Field(description="Number of attempts started so far.")
    progress: float = Field(
        description="Progress from 0 to 1, updated about once a second while the job runs. Each attempt starts at 0."
    )
    speed: float | None = Field(
        None, description="While video or audio is encoded: seconds of media processed per second."
    )
    remaining_s: float | None = Field(
        None, description="While the job runs: estimated seconds until it ends, extrapolated from its progress."
    )
    created_at: str = Field(description="When the job was created.")
    started_at: str | None = Field(None, description="When the latest attempt started.")
    finished_at: str | None = Field(None, description="When the job ended.")
    result_path: str | None = Field(None, description="Key of the first output in the bucket.")
    error: Failure | None = Field(None, description="Why the job failed.")
    retry_of: str | None = Field(None, description="Identifier of the job that this one retries.")
    link_id: str | None = Field(None, description="Identifier of the upload link that the job came through.")
    status_url: str = Field(description="Path of this job's `GET /jobs/{job_id}`.")


class JobDetails(JobSummary):
    """A job: its status, its request and its outputs."""

    model_config = with_example(examples.JOB)

    params: dict[str, Any] = Field(description="Parameters of the operation, including defaults.")
    source: FileSource = Field(description="What the job processes.")
    priority: Priority = Field(
        description="`batch` if the job waits while normal jobs of the same operation are waiting, else `normal`."
    )
    download_url: str | None = Field(
        None,
        description="Presigned link to the first output, valid for a limited time; every request returns a new one.",
    )
    outputs: list[OutputDetails] = Field([], description="Files that the job produced.")
    document: dict[str, Any] | None = Field(
        None,
        description="Result that is data: the metadata found by `video_metadata`, or the `crf` and `ssim` that "
        "`video_compress` reached with `target_ssim`.",
    )
    queue_position: int | None = Field(
        None,
        description="While the job waits for its turn: its position among your waiting jobs of the same operation, "
        "counted from 1. Null before a retry, and while the job is being started.",
    )
    errors: list[Failure] = Field([], description="Failures of earlier attempts, oldest first.")
    timeline: list[TimelineEntry] = Field([], description="Events in the life of the job, oldest first.")


class JobPage(ResponseModel):
    """A page of the list of jobs, newest first."""

    model_config = with_example(examples.JOB_PAGE)

    jobs: list[JobSummary] = Field(description="The jobs on this page.")
    next: str | None = Field(description="Path of the next page; null on the last page.")


class FileDetails(ResponseModel):
    """A file, uploaded or expected."""

    model_config = with_example(examples.FILE)

    file_id: str = Field(description="Identifier of the file.")
    name: str = Field(description="Name of the file.")
    status: Literal["awaiting", "ready", "rejected"] = Field(
        description="`awaiting`: not uploaded yet. `ready`: jobs can process it. `rejected`: it cannot be processed."
    )
    size_bytes: int | None = Field(None, description="Size in bytes.")
    media_type: str | None = Field(
        None, description="Media type, determined from the content; while the upload is awaited, the declared one."
    )
    kind: MediaKind | None = Field(
        None, description="Kind of media, which decides the operations that accept the file."
    )
    error: Failure | None = Field(None, description="Why the file was rejected.")
    expires_at: str | None = Field(None, description="While the upload is awaited: when its form expires.")
    link_id: str | None = Field(None, description="Identifier of the upload link that the file came through.")


class UploadForm(ResponseModel):
    """A form for an upload: POST `fields` in this order as `multipart/form-data`, then the file as field `file`."""

    method: Literal["POST"] = Field("POST", description="HTTP method of the upload.")
    url: str = Field(description="URL to send the form to.")
    fields: dict[str, str] = Field(description="Form fields to send unchanged, before the file.")
    expires_at: str = Field(description="When the form expires.")
    max_bytes: int = Field(description="Largest accepted size of the file in bytes.")


class PendingJob(ResponseModel):
    """A job that starts when its upload has arrived."""

    job_id: str = Field(description="Identifier of the job.")
    operation: Operation = Field(description="The operation.")
    status: Status = Field(description="Status of the job: `queued`.")
    waiting_for: Literal["upload"] = Field("upload", description="What the job waits for.")
    status_url: str = Field(description="Path of this job's `GET /jobs/{job_id}`.")


class UploadDetails(ResponseModel):
    """An upload: the form to send the file with, and the jobs that start when it has arrived."""

    model_config = with_example(examples.UPLOAD)

    file_id: str = Field(description="Identifier of the file.")
    upload: UploadForm = Field(description="The form to send the file with.")
    jobs: list[PendingJob] = Field([], description="The jobs, in the order of the request.")
