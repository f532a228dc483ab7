"""Jobs: start them, watch them, download their outputs."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Query, Request, Response

from api import admission, examples, file_records, job_list, job_lookup, job_responses
from api.idempotency import canonical_request, reserve_ids
from api.job_responses import job_details
from api.openapi import problem_responses
from api.parameters import IdempotencyKey, JobIdInPath, Traceparent
from api.principals import GuardedRoute, Reader, ReaderOrLink, Writer
from api.request_models import JobRequest, job_examples
from api.response_models import JobDetails, JobPage
from api.responses import json_response
from darkroom import ids
from darkroom.contracts.jobs import FileSource, Job, JobRef, JobResult, Status
from darkroom.contracts.operations import Operation, parse_params, with_defaults
from darkroom.contracts.tenants import Principal
from darkroom.errors import (
    CacheFullError,
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
    MonthlyJobsQuotaError,
    MonthlyVideoQuotaError,
    QueuedJobsQuotaError,
    ResultGoneError,
    StorageQuotaError,
    StorageUnavailableError,
    TooManyJobsError,
    UnknownOperationError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.jobs import acceptance, ledger, lifecycle
from darkroom.services import s3
from darkroom.services.redis import views

router = APIRouter(tags=["jobs"], route_class=GuardedRoute)

#: Most seconds that a request waits: API Gateway ends it after 30.
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
    202: {"description": "The job was accepted.", "content": {"application/json": {"example": examples.QUEUED_JOB}}}
}
#: What refuses new jobs for what the tenant already uses.
_QUOTAS = (MonthlyJobsQuotaError, MonthlyVideoQuotaError, QueuedJobsQuotaError, StorageQuotaError)
_LOOKUP = (CacheUnavailableError, InvalidIdError, JobNotFoundError, StorageUnavailableError)


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobDetails,
    summary="Start a job on a file",
    responses=_ACCEPTED
    | problem_responses(
        *_QUOTAS,
        *_UNFIT_FILE,
        CacheFullError,
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
    body: Annotated[JobRequest, Body(openapi_examples=job_examples())],
    request: Request,
    principal: Writer,
    traceparent: Traceparent,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Accepts a job and returns it with its path in `Location`. An accepted job always ends, even after a crash."""
    tenant = principal.tenant
    operation = body.operation
    file_id = ids.parse_id(body.file_id)
    params = with_defaults(body.params)
    reserved = reserve_ids(tenant, idempotency_key, _canonical(file_id, body, params), 1)
    if not (reserved.repeated and ledger.read_job(JobRef(tenant, reserved.identifiers[0]))):
        admission.check(principal, [operation])
        record = file_records.find_file_record(tenant, file_id)
        file_records.check_inputs(tenant, operation, body.params, record)
    job = Job(
        job_id=reserved.identifiers[0],
        tenant=tenant,
        operation=operation,
        params=params,
        source=FileSource(file_id=file_id),
        created_at=reserved.created_at,
        traceparent=traceparent,
        priority=body.priority,
    )
    return _accept(job, request, principal)


def _canonical(file_id: str, body: JobRequest, params: dict[str, Any]) -> bytes:
    # The normal priority is left out, so that the request is the same as one to a version that had no other.
    more = () if body.priority == "normal" else (body.priority,)
    return canonical_request("jobs", file_id, body.operation, params, *more)


@router.get(
    "/jobs/{job_id}",
    response_model=JobDetails,
    summary="Get a job",
    response_description="The job.",
    responses=problem_responses(*_LOOKUP, InvalidRequestError),
)
async def get_job(
    job_id: JobIdInPath,
    principal: ReaderOrLink,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for the job to end before responding.")
    ] = 0,
) -> Response:
    """Returns a job. With `wait`, responds as soon as the job has ended, at the latest after that many seconds."""
    found = job_lookup.find_job(JobRef(principal.tenant, job_id), wait, principal.link_id)
    return json_response(job_details(found.view, found.queue_position))


@router.get(
    "/jobs/{job_id}/download",
    status_code=307,
    response_class=Response,
    summary="Download an output of a job",
    responses={
        **problem_responses(*_LOOKUP, InvalidRequestError, JobNotCompletedError, ResultGoneError),
        307: {"description": "`Location` is a presigned link to the output.", "content": {}},
    },
)
async def download_result(
    job_id: JobIdInPath,
    principal: ReaderOrLink,
    output: Annotated[int, Query(ge=0, description="Index of the output in `outputs`, counted from 0.")] = 0,
) -> Response:
    """Redirects to a presigned link to the output.

    The page at /docs cannot follow it, since its policy allows requests to this API only. There, open `download_url`.
    """
    view = job_lookup.find_job_view(JobRef(principal.tenant, job_id), principal.link_id)
    if view.status is not Status.COMPLETED or view.result is None:
        raise JobNotCompletedError(f"Job {job_id} is {view.status}: it has no output to download.")
    outputs = view.result.outputs
    if output >= len(outputs):
        raise InvalidRequestError(
            f"Job {job_id} has {len(outputs)} outputs, counted from 0; output {output} does not exist."
        )
    if not s3.exists(outputs[output].key):
        raise ResultGoneError(f"The output of job {job_id} was removed after its retention period.")
    return Response(status_code=307, headers={"Location": job_responses.download_link(outputs[output])})


@router.get(
    "/jobs",
    response_model=JobPage,
    summary="List jobs, newest first",
    response_description="A page of jobs.",
    responses=problem_responses(InvalidIdError, InvalidRequestError, StorageUnavailableError, UnknownOperationError),
)
async def list_jobs(
    principal: Reader,
    limit: Annotated[int, Query(ge=1, le=100, description="Most jobs on a page.")] = 20,
    before: Annotated[
        str | None,
        Query(
            description="Only jobs older than the one with this id. `next` contains it. Default: all jobs.",
            examples=[examples.JOB_ID],
        ),
    ] = None,
    status: Annotated[Status | None, Query(description="Only jobs with this status. Default: any.")] = None,
    operation: Annotated[Operation | None, Query(description="Only jobs of this operation. Default: any.")] = None,
) -> Response:
    """Returns a page of the jobs whose file has arrived. A page can be short or empty although `next` is set."""
    page = job_list.find_jobs(
        principal.tenant,
        before=None if before is None else ids.parse_id(before),
        limit=limit,
        wanted=job_list.JobFilter(status=status, operation=operation),
    )
    following = None
    if page.cursor is not None:
        query = {"limit": limit, "before": page.cursor, "status": status, "operation": operation}
        following = "/jobs?" + urlencode({name: value for name, value in query.items() if value is not None})
    return json_response(JobPage(jobs=[job_responses.job_summary(view) for view in page.views], next=following))


@router.delete(
    "/jobs/{job_id}",
    response_model=JobDetails,
    summary="Cancel a job",
    response_description="The job was canceled.",
    responses=problem_responses(*_LOOKUP, JobAlreadyEndedError),
)
async def cancel_job(job_id: JobIdInPath, principal: Writer) -> Response:
    """Cancels a job that is queued, running or waiting for its upload. A run in progress is stopped soon after."""
    view = job_lookup.find_job_view(JobRef(principal.tenant, job_id))
    if view.status.terminal:
        raise JobAlreadyEndedError(f"Job {job_id} is {view.status} already.")
    canceled = lifecycle.canceled_result(view.job, attempt=view.attempt)
    # A job is not in the ledger until its upload has arrived.
    final = acceptance.accept_ended(view.job, canceled) if view.awaits_upload else _end(view.job, canceled)
    if final.status is not Status.CANCELED:
        raise JobAlreadyEndedError(f"Job {job_id} is {final.status} already.")
    return json_response(job_details(views.with_result(view, final)))


def _end(job: Job, result: JobResult) -> JobResult:
    try:
        return lifecycle.end(job, result)
    except CacheUnavailableError:
        recorded = ledger.read_result(job.ref)
        if recorded is None:
            raise
        return recorded  # the ledger has it, which is what counts; sweep updates Redis later


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobDetails,
    summary="Retry a failed or canceled job",
    responses=_ACCEPTED
    | problem_responses(
        *_LOOKUP,
        *_QUOTAS,
        *_UNFIT_FILE,
        CacheFullError,
        IdempotencyKeyReusedError,
        InvalidRequestError,
        JobNotRetryableError,
        TooManyJobsError,
    ),
)
async def retry_job(
    job_id: JobIdInPath,
    request: Request,
    principal: Writer,
    traceparent: Traceparent,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Starts a new job with the same file and parameters. Its `retry_of` is the old job, which does not change."""
    tenant = principal.tenant
    view = job_lookup.find_job_view(JobRef(tenant, job_id))
    if view.status not in (Status.FAILED, Status.CANCELED):
        raise JobNotRetryableError(f"Job {job_id} is {view.status}: only a failed or canceled job can be retried.")
    old = view.job
    reserved = reserve_ids(tenant, idempotency_key, canonical_request("retry", old.job_id), 1)
    if not (reserved.repeated and ledger.read_job(JobRef(tenant, reserved.identifiers[0]))):
        admission.check(principal, [old.operation])
        record = file_records.require_stored_file(tenant, old.source.file_id)
        file_records.check_inputs(tenant, old.operation, parse_params(old.operation, old.params), record)
    job = Job(
        job_id=reserved.identifiers[0],
        tenant=tenant,
        operation=old.operation,
        params=old.params,
        source=old.source,
        created_at=reserved.created_at,
        traceparent=traceparent,
        retry_of=old.job_id,
        priority=old.priority,
    )
    return _accept(job, request, principal)


def _accept(job: Job, request: Request, principal: Principal) -> Response:
    request.state.job_id = job.job_id
    new = acceptance.accept(job, principal.quotas)
    view = views.from_ledger(job, None) if new else job_lookup.find_job_view(job.ref)
    return json_response(job_details(view), 202, location=job_responses.status_url(job.job_id))
