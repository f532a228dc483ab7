"""One run, from the invocation to the end of the attempt.

`bind` turns an operation into a Lambda handler. An operation reports an error by raising it; only this module decides
what follows from it.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Any, TypeVar

from darkroom import ids, metrics
from darkroom.config import settings
from darkroom.contracts.base import Params
from darkroom.contracts.jobs import FailedAttempt, Job, JobResult, Message, Output, Status
from darkroom.contracts.operations import Operation, parse_params
from darkroom.errors import (
    CacheUnavailableError,
    DarkroomError,
    InternalError,
    LambdaUnavailableError,
    MediaError,
    ServiceError,
    StorageUnavailableError,
    Superseded,
)
from darkroom.jobs import events, ledger, lifecycle, settlement, uploads
from darkroom.jobs.source import StoredSource
from darkroom.jobs.workdir import run_directory
from darkroom.log import logger
from darkroom.media.task import Limits, Rendition, Task
from darkroom.services import s3
from darkroom.services.redis import leases, slots
from darkroom.timestamps import epoch_ms, utc_now
from darkroom.tracing import trace_id

#: Milliseconds between the operation's deadline and Lambda's, to upload, commit and clean up.
COMMIT_RESERVE_MS = 10_000

#: The share of a run's time for which its claim waits while Redis is unavailable, and the seconds between two attempts.
CLAIM_WAIT_SHARE = 0.25
CLAIM_PAUSE_S = 1.0

_Params = TypeVar("_Params", bound=Params)
_Operate = Callable[[Task, _Params], list[Rendition]]
_Handler = Callable[[events.Event, events.LambdaContext], dict[str, str]]


def bind(operation: Operation, operate: _Operate[Any]) -> _Handler:
    """The Lambda handler that runs `operate` for jobs of `operation`. It returns the run's outcome, for the log."""

    def handler(event: events.Event, context: events.LambdaContext) -> dict[str, str]:
        invocation = events.parse_invocation(event)
        message = invocation.message
        logger().append_keys(
            job_id=message.job_id,
            operation=operation,
            attempt=message.attempt,
            trace_id=trace_id(invocation.traceparent),
        )
        outcome = _run(message, operate, context)
        logger().info("run ended", extra={"outcome": outcome})
        return {"job_id": message.job_id, "outcome": outcome}

    return handler


def _run(message: Message, operate: _Operate[Any], context: events.LambdaContext) -> str:
    run_id = os.urandom(8).hex()
    claim = _claim(message, run_id, context)
    if claim.job is None:
        return claim.outcome
    job, started_at = claim.job, utc_now()
    metrics.count("started", job.operation)
    metrics.duration_ms("queue_wait", time.time() * 1000 - epoch_ms(job.created_at), job.operation)
    began = time.monotonic()
    try:
        outputs, document = _process(job, run_id, message.attempt, operate, context.get_remaining_time_in_millis())
    except Superseded:
        _discard(job, run_id)
        return "superseded"
    except DarkroomError as error:
        return _fail(job, error, message, run_id, started_at)
    except Exception as error:  # noqa: BLE001 - the one place that turns a defect into a job's outcome
        logger().exception("unhandled exception in the operation")
        internal = InternalError(f"An internal error occurred ({type(error).__name__}).")
        return _fail(job, internal, message, run_id, started_at)
    metrics.duration_ms("run_time", (time.monotonic() - began) * 1000, job.operation)
    result = JobResult(
        job_id=job.job_id,
        status=Status.COMPLETED,
        attempt=message.attempt,
        run=run_id,
        started_at=started_at,
        uploaded_at=utc_now(),
        finished_at=utc_now(),
        outputs=outputs,
        document=document,
    )
    # If this raises, the result may have been written, so the outputs stay and settle reads the ledger.
    winning_result = lifecycle.end(job, result)
    if winning_result.run != run_id:
        _discard(job, run_id)
        return "superseded"
    return winning_result.status


def _claim(message: Message, run_id: str, context: events.LambdaContext) -> leases.Claim:
    """Claims the job. Waits while Redis is unavailable, since a new run would only wait as well."""
    give_up = time.monotonic() + context.get_remaining_time_in_millis() / 1000 * CLAIM_WAIT_SHARE
    while True:
        try:
            return _try_to_claim(message, run_id, context)
        except CacheUnavailableError as error:
            if time.monotonic() + CLAIM_PAUSE_S > give_up:
                raise
            logger().warning("waiting for Redis", extra={"reason": error.message})
            time.sleep(CLAIM_PAUSE_S)


def _try_to_claim(message: Message, run_id: str, context: events.LambdaContext) -> leases.Claim:
    def claim_lease() -> leases.Claim:
        remaining_ms = context.get_remaining_time_in_millis()
        return leases.claim(message.ref, message.operation, attempt=message.attempt, run=run_id, lease_ms=remaining_ms)

    claim = claim_lease()
    if claim.outcome != "missing":
        return claim
    job = ledger.read_job(message.ref)
    if job is None:
        slots.release(message.ref, message.operation, message.attempt)
        _report_unknown(message, run_id)
        return claim
    lifecycle.restore(job, ledger.read_result(message.ref))
    return claim_lease()


def _report_unknown(message: Message, run_id: str) -> None:
    """Lets settle park the message of a job that is not in the ledger. If it is there after all, the job is retried."""
    logger().warning("unknown job", extra={"reason": lifecycle.UNKNOWN_JOB})
    failure = lifecycle.failure_of(StorageUnavailableError())
    settlement.report(FailedAttempt(message=message, run=run_id, failure=failure, outage=True))


def _process(
    job: Job, run_id: str, attempt: int, operate: _Operate[Any], remaining_ms: int
) -> tuple[list[Output], dict[str, Any] | None]:
    """Runs the operation in a temporary directory and uploads its outputs. Returns them and its document, if any."""
    config = settings()
    params = parse_params(job.operation, job.params)
    ends_at_s = time.monotonic() + remaining_ms / 1000
    with ExitStack() as stack:
        directory = stack.enter_context(run_directory())
        source = StoredSource(job.tenant, job.source.file_id, directory, stack)
        uploads.check_kind(job.operation, source.media.kind)
        logger().info("run started", extra={"run": run_id, "size_bytes": source.size_bytes})
        reporter = _Reporter(job, run_id, attempt, ends_at_s)
        task = Task(
            source=source,
            directory=directory,
            limits=Limits(pixels=config.max_pixels, duration_s=config.max_duration_s),
            deadline=time.monotonic() + max(0, remaining_ms - COMMIT_RESERVE_MS) / 1000,
            fetch=lambda file_id: StoredSource(job.tenant, ids.parse_id(file_id), directory, stack),
            report_progress=reporter.progress,
            report_speed=reporter.set_speed,
        )
        try:
            renditions = operate(task, params)
        except MediaError:
            source.check_unchanged()  # else the job would fail for good because two files were mixed
            raise
        source.check_unchanged()
        outputs = [_upload(job, run_id, rendition, PurePath(source.name).stem) for rendition in renditions]
    document = next((rendition.document for rendition in renditions if rendition.document is not None), None)
    return outputs, document


class _Reporter:
    """Reports the progress of a run to Redis."""

    def __init__(self, job: Job, run_id: str, attempt: int, ends_at_s: float) -> None:
        self._job, self._run_id, self._attempt = job, run_id, attempt
        self._ends_at_s = ends_at_s
        self._speed: float | None = None

    def set_speed(self, speed: float) -> None:
        self._speed = speed

    def progress(self, fraction: float) -> None:
        try:
            owned = leases.report_progress(
                self._job,
                self._run_id,
                fraction,
                self._speed,
                attempt=self._attempt,
                lease_ms=max(0, int((self._ends_at_s - time.monotonic()) * 1000)),
            )
        except CacheUnavailableError:
            return  # only the display of progress is lost; the ledger decides whether the run owns the job
        if not owned:
            raise Superseded("The job was canceled, or another run owns it.")


def _upload(job: Job, run_id: str, rendition: Rendition, stem: str) -> Output:
    content = rendition.content
    key = f"{_run_prefix(job, run_id)}{rendition.file_name(job.operation)}"
    if isinstance(content, Path):
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = content.stat().st_size
        s3.put_file(key, content, media_type=rendition.media_type)
    else:
        digest, size_bytes = hashlib.sha256(content).hexdigest(), len(content)
        s3.put(key, content, media_type=rendition.media_type)
    return Output(
        name=rendition.file_name(f"{stem}-{job.operation}"),
        key=key,
        media_type=rendition.media_type,
        size_bytes=size_bytes,
        sha256=digest,
        width_px=rendition.width_px,
        height_px=rendition.height_px,
        duration_s=rendition.duration_s,
    )


def _fail(job: Job, error: DarkroomError, message: Message, run_id: str, started_at: str) -> str:
    notes = getattr(error, "__notes__", [])
    logger().warning("attempt failed", extra={"code": error.code, "reason": error.message, "notes": notes})
    _discard(job, run_id)
    failure = lifecycle.failure_of(error)
    if error.retryable:
        failed = FailedAttempt(message=message, run=run_id, failure=failure, outage=error.outage)
        try:
            settlement.report(failed)
        except LambdaUnavailableError as unavailable:
            raise error from unavailable  # the on-failure destination tells settle, by the type of this error
        return "failed_attempt"
    attempt = message.attempt
    lifecycle.end(job, lifecycle.failed_result(job, failure, attempt=attempt, run=run_id, started_at=started_at))
    return "failed"


def _discard(job: Job, run_id: str) -> None:
    """Removes the outputs of this run. Sweep removes them when this fails."""
    try:
        s3.delete(list(s3.keys_after(_run_prefix(job, run_id))))
    except ServiceError as error:
        logger().warning("deferred to sweep", extra={"run": run_id, "code": error.code})


def _run_prefix(job: Job, run_id: str) -> str:
    return f"{lifecycle.outputs_prefix(job)}{run_id}/"
