"""Turns the view of a job into the models that clients get."""

from typing import Any

from api.response_models import JobDetails, JobSummary, OutputDetails, TimelineEntry
from darkroom.config import settings
from darkroom.contracts.jobs import Output, Status
from darkroom.services import s3
from darkroom.services.redis.views import TimelineEvent, View
from darkroom.timestamps import iso_utc


def status_url(job_id: str) -> str:
    """The path of a job, from the API's root."""
    return f"/jobs/{job_id}"


def job_summary(view: View) -> JobSummary:
    """A job in a list."""
    return JobSummary(**_common(view))


def job_details(view: View, queue_position: int | None = None) -> JobDetails:
    """A job with all its details. Signs a link per output, which takes CPU time but no request."""
    outputs = [_output(output) for output in view.result.outputs] if view.result else []
    return JobDetails(
        **_common(view),
        params=view.job.params,
        priority=view.job.priority,
        source=view.job.source,
        download_url=outputs[0].download_url if outputs else None,
        outputs=outputs,
        document=view.result.document if view.result else None,
        queue_position=queue_position,
        errors=view.errors,
        timeline=[_entry(event) for event in view.timeline],
    )


def _entry(event: TimelineEvent) -> TimelineEntry:
    return TimelineEntry(event=event.event, at=iso_utc(event.at_ms / 1000), attempt=event.attempt)


def _common(view: View) -> dict[str, Any]:
    job, result = view.job, view.result
    started_at = result.started_at if result else None
    if started_at is None and view.started_ms is not None:
        started_at = iso_utc(view.started_ms / 1000)
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
        "link_id": job.link_id,
        "status_url": status_url(job.job_id),
    }


def remaining_s(view: View) -> float | None:
    """Seconds from the last report of progress to the end at the same pace, or None without such a report."""
    if view.status is not Status.RUNNING or view.started_ms is None or view.progressed_ms is None:
        return None
    taken_s = (view.progressed_ms - view.started_ms) / 1000
    return round(taken_s * (1 - view.progress) / view.progress, 1) if view.progress > 0 else None


def _output(output: Output) -> OutputDetails:
    return OutputDetails(
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
