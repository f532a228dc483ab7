"""Jobs: ask for work, watch it, fetch what came of it."""

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Query, Request, Response

from api import capacity, documents, examples, listing, lookup
from api.deps import IdempotencyKey, JobId, Traceparent
from api.documents import JobDocument, JobPage, job_document
from api.idempotency import meaning, reserve
from api.openapi import problems
from api.responses import document
from api.schemas import JobRequest, job_examples
from darkroom import ids
from darkroom.contracts.base import DEFAULT_TENANT
from darkroom.contracts.jobs import FileSource, Job, JobResult, Status
from darkroom.contracts.operations import Operation, parse_params, spelled_out
from darkroom.errors import (
    CacheUnavailableError,
    EmptyFileError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    IdempotencyKeyReusedError,
    InvalidIdError,
    InvalidRequestError,
    JobAlreadyEndedError,
    JobNotCompletedError,
    JobNotFoundError,
    JobNotRetryableError,
    MediaTypeMismatchError,
    ResultGoneError,
    StorageUnavailableError,
    TooManyJobsError,
    UnknownOperationError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.jobs import ledger, lifecycle
from darkroom.services import s3
from darkroom.services.redis import views
from darkroom.timestamps import utc_now

router = APIRouter(tags=["jobs"])

#: Seconds that a request may be held: API Gateway gives up after 30.
MAX_WAIT_S = 25

_UNFIT_FILE = (
    EmptyFileError,
    FileNotFoundInStoreError,
    FileNotUploadedError,
    MediaTypeMismatchError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "The job is on record.", "content": {"application/json": {"example": examples.QUEUED_JOB}}}
}
_LOOKUP = (CacheUnavailableError, InvalidIdError, JobNotFoundError, StorageUnavailableError)


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobDocument,
    summary="Start a job on a file",
    responses=_ACCEPTED
    | problems(
        *_UNFIT_FILE,
        CacheUnavailableError,
        IdempotencyKeyReusedError,
        InvalidIdError,
        InvalidRequestError,
        StorageUnavailableError,
        TooManyJobsError,
        UnknownOperationError,
    ),
)
async def create_job(
    body: Annotated[JobRequest, Body(discriminator="operation", openapi_examples=job_examples())],
    request: Request,
    traceparent: Traceparent,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Accepts a job. Once this returns, the job is on record and will end, one way or another: ask `Location`."""
    operation = Operation(body.operation)
    file_id = ids.parse_id(body.file_id)
    params = spelled_out(body.params)
    reserved = reserve(idempotency_key, meaning("jobs", file_id, operation, params), 1)
    if not (reserved.repeated and ledger.read_job(reserved.identifiers[0])):
        lookup.require_inputs(operation, body.params, lookup.file_record(file_id))
        capacity.require(operation)
    job = Job(
        job_id=reserved.identifiers[0],
        operation=operation,
        params=params,
        source=FileSource(file_id=file_id),
        created_at=reserved.created_at,
        traceparent=traceparent,
    )
    return _accept(job, request)


@router.get(
    "/jobs/{job_id}",
    response_model=JobDocument,
    summary="Ask for a job",
    response_description="Where the job stands.",
    responses=problems(*_LOOKUP, InvalidRequestError),
)
async def get_job(
    job_id: JobId,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to hold the request until the job has ended.")
    ] = 0,
) -> Response:
    """Says where a job stands. With `wait` the answer comes as soon as the job has ended, at the latest then."""
    view = lookup.job_view(job_id, wait)
    return document(job_document(view, lookup.queue_position(view)))


@router.get(
    "/jobs/{job_id}/download",
    status_code=307,
    response_class=Response,
    summary="Download a job's result",
    responses={
        **problems(*_LOOKUP, InvalidRequestError, JobNotCompletedError, ResultGoneError),
        307: {"description": "The result is at `Location`, a presigned link.", "content": {}},
    },
)
async def download_result(
    job_id: JobId,
    output: Annotated[int, Query(ge=0, description="Which of the job's outputs, counted from 0.")] = 0,
) -> Response:
    """Redirects to the result itself."""
    view = lookup.job_view(job_id)
    if view.status is not Status.COMPLETED or view.result is None:
        raise JobNotCompletedError(f"Job {job_id} is {view.status}: it has no result to download.")
    outputs = view.result.outputs
    if output >= len(outputs):
        raise InvalidRequestError(f"Job {job_id} has {len(outputs)} outputs, counted from 0: there is no {output}.")
    if not s3.exists(outputs[output].key):
        raise ResultGoneError(f"The result of job {job_id} was removed when its retention ended.")
    headers = {"Location": documents.download_link(outputs[output]), "Cache-Control": "no-store"}
    return Response(status_code=307, headers=headers)


@router.get(
    "/jobs",
    response_model=JobPage,
    summary="List jobs, newest first",
    response_description="A page of jobs.",
    responses=problems(CacheUnavailableError, InvalidIdError, InvalidRequestError, UnknownOperationError),
)
async def list_jobs(
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs on a page, at most.")] = 20,
    before: Annotated[
        str | None,
        Query(description="Only jobs older than this one; `next` has it.", examples=[examples.JOB_ID]),
    ] = None,
    status: Annotated[Status | None, Query(description="Only jobs that stand here.")] = None,
    operation: Annotated[Operation | None, Query(description="Only jobs of this operation.")] = None,
) -> Response:
    """Pages through the jobs that have a file. With filters, a page may be short or empty and still have a `next`."""
    page = listing.find(
        DEFAULT_TENANT,
        before=None if before is None else ids.parse_id(before),
        limit=limit,
        wanted=listing.Filter(status=status, operation=operation),
    )
    following = None
    if page.cursor is not None:
        query = {"limit": limit, "before": page.cursor, "status": status, "operation": operation}
        following = "/jobs?" + urlencode({name: value for name, value in query.items() if value is not None})
    return document(JobPage(jobs=[documents.summary(view) for view in page.views], next=following))


@router.delete(
    "/jobs/{job_id}",
    response_model=JobDocument,
    summary="Cancel a job",
    response_description="The job, canceled.",
    responses=problems(*_LOOKUP, JobAlreadyEndedError),
)
async def cancel_job(job_id: JobId) -> Response:
    """Ends a job that is queued, running or waiting for its upload. A run that is under way is stopped soon after."""
    view = lookup.job_view(job_id)
    if view.status.terminal:
        raise JobAlreadyEndedError(f"Job {job_id} is {view.status} already.")
    job = view.job
    if view.awaits_upload:
        # So far the job is only in the upload's form: to be canceled, it must exist.
        ledger.write_job(job)
        views.create(job)
    winning_result = _end(job, lifecycle.canceled_result(job, attempt=view.attempt))
    if winning_result.status is not Status.CANCELED:
        raise JobAlreadyEndedError(f"Job {job_id} is {winning_result.status} already.")
    timeline = [*view.timeline, views.from_ledger(job, winning_result).timeline[-1]]
    shown = replace(view, status=winning_result.status, awaits_upload=False, timeline=timeline, result=winning_result)
    return document(job_document(shown))


def _end(job: Job, result: JobResult) -> JobResult:
    try:
        return lifecycle.end(job, result)
    except CacheUnavailableError:
        winning_result = ledger.read_result(job.job_id)
        if winning_result is None:
            raise
        return winning_result  # the ledger has it, which is what counts; sweep tells Redis later


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobDocument,
    summary="Try a failed or canceled job again",
    responses=_ACCEPTED | problems(*_LOOKUP, *_UNFIT_FILE, InvalidRequestError, JobNotRetryableError, TooManyJobsError),
)
async def retry_job(job_id: JobId, request: Request, traceparent: Traceparent) -> Response:
    """Starts a new job with the same file and parameters; `retry_of` names the old one, which stays as it is."""
    view = lookup.job_view(job_id)
    if view.status not in (Status.FAILED, Status.CANCELED):
        raise JobNotRetryableError(f"Job {job_id} is {view.status}: only a failed or canceled job can be tried again.")
    old = view.job
    capacity.require(old.operation)
    record = lookup.surviving_file(old.source.file_id)
    lookup.require_inputs(old.operation, parse_params(old.operation, old.params), record)
    job = Job(
        job_id=ids.new_id(),
        tenant=old.tenant,
        operation=old.operation,
        params=old.params,
        source=old.source,
        created_at=utc_now(),
        traceparent=traceparent,
        retry_of=old.job_id,
    )
    return _accept(job, request)


def _accept(job: Job, request: Request) -> Response:
    request.state.job_id = job.job_id
    view = views.from_ledger(job, None) if lifecycle.accept(job) else lookup.job_view(job.job_id)
    return document(job_document(view), 202, location=documents.status_url(job.job_id))
