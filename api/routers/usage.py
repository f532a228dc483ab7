"""What a tenant uses, and how much of it it may."""

from fastapi import APIRouter, Response
from pydantic import Field

from api import examples
from api.openapi import problem_responses
from api.parameters import TenantInPath
from api.principals import Admin, GuardedRoute, Reader
from api.response_models import ResponseModel, with_example
from api.responses import json_response
from api.tenant_access import find_tenant
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Quotas
from darkroom.errors import CacheUnavailableError, InvalidRequestError, StorageUnavailableError, TenantNotFoundError
from darkroom.services.redis import requests, slots
from darkroom.services.redis.requests import BURST_S
from darkroom.services.redis.usage import measure
from darkroom.tenants import records
from darkroom.timestamps import iso_utc, next_month_ms

router = APIRouter(tags=["usage"], route_class=GuardedRoute)

_LIMIT = "What the tenant may use; null is no limit."


class RequestUse(ResponseModel):
    """Requests. The quota is renewed steadily."""

    limit: int | None = Field(description=f"Requests that may be sent within {BURST_S} seconds; null is no limit.")
    used: int | None = Field(description="How many of them were sent and are not renewed yet; null without a limit.")
    window_s: int = Field(BURST_S, description="Seconds in which the whole quota is renewed.")


class QueueUse(ResponseModel):
    """Queued jobs."""

    limit: int | None = Field(description=_LIMIT)
    used: int = Field(description="Jobs that are queued now. Those that wait for their upload are not among them.")


class InFlightUse(ResponseModel):
    """Jobs in flight. The limit is that of one operation."""

    limit: int | None = Field(description="Jobs of one operation that may run at the same time; null is no limit.")
    used: dict[Operation, int] = Field(description="Jobs that run now, by operation. Those without any are left out.")


class UploadUse(ResponseModel):
    """The size of an upload."""

    limit: int | None = Field(description="Bytes that one upload may have; null is the limit of the service.")


class StorageUse(ResponseModel):
    """Stored bytes of uploads and outputs."""

    limit: int | None = Field(description=_LIMIT)
    used: int = Field(description="Bytes that are stored, and those that are reserved.")
    reserved: int = Field(description="Bytes that may still arrive with upload forms that are valid.")
    by_day: dict[str, int] = Field(description="Bytes that are stored, by the day (UTC) on which they were.")


class JobUse(ResponseModel):
    """Jobs of the month."""

    limit: int | None = Field(description=_LIMIT)
    used: int = Field(description="Jobs of this month, by the time at which their ids were made.")
    resets_at: str = Field(description="When the month ends (UTC).")


class VideoUse(ResponseModel):
    """Minutes of video of the month."""

    limit: int | None = Field(description=_LIMIT)
    used: float = Field(description="Minutes of video and audio that the completed jobs of this month have produced.")
    resets_at: str = Field(description="When the month ends (UTC).")


class QuotaUses(ResponseModel):
    """Each quota with its use."""

    requests: RequestUse = Field(description="Requests of the last seconds.")
    queued_jobs: QueueUse = Field(description="Jobs that wait for their run.")
    in_flight_jobs: InFlightUse = Field(description="Jobs that run.")
    upload_bytes: UploadUse = Field(description="Bytes of one upload.")
    stored_bytes: StorageUse = Field(description="Bytes of uploads and outputs.")
    monthly_jobs: JobUse = Field(description="Jobs that were accepted.")
    monthly_video_minutes: VideoUse = Field(description="Video that was produced.")


class UsageDetails(ResponseModel):
    """What a tenant uses."""

    model_config = with_example(examples.USAGE)

    tenant: str = Field(description="Name of the tenant.")
    month: str = Field(description="The current month (UTC).")
    is_complete: bool = Field(
        description="False for some minutes after the status cache lost its data, and after the first job of a tenant: "
        "then what was before may be missing."
    )
    quotas: QuotaUses = Field(description="The quotas, each with its limit and its use.")


@router.get(
    "/usage",
    response_model=UsageDetails,
    summary="Look up your quotas",
    response_description="The quotas and their use.",
    responses=problem_responses(CacheUnavailableError),
)
async def get_usage(principal: Reader) -> Response:
    """Returns each quota of the tenant with its limit and its use."""
    return json_response(describe_usage(principal.tenant, principal.quotas))


@router.get(
    "/tenants/{tenant}/usage",
    response_model=UsageDetails,
    summary="Look up the quotas of a tenant",
    response_description="The quotas and their use.",
    responses=problem_responses(
        CacheUnavailableError, InvalidRequestError, StorageUnavailableError, TenantNotFoundError
    ),
)
async def get_usage_of_tenant(tenant: TenantInPath, principal: Admin) -> Response:
    """Returns each quota of a tenant with its limit and its use. An admin of another tenant can get only its own."""
    find_tenant(principal, tenant)
    return json_response(describe_usage(tenant, records.quotas_of(tenant)))


def describe_usage(tenant: str, quotas: Quotas) -> UsageDetails:
    """What a tenant uses. Raises CacheUnavailableError."""
    usage = measure(tenant)
    rate = quotas.requests_per_s
    resets_at = iso_utc(next_month_ms(usage.now_ms) / 1000)
    return UsageDetails(
        tenant=tenant,
        month=usage.month,
        is_complete=usage.is_complete,
        quotas=QuotaUses(
            requests=RequestUse(
                limit=None if rate is None else rate * BURST_S,
                used=None if rate is None else requests.count_taken(tenant, rate=rate),
            ),
            queued_jobs=QueueUse(limit=quotas.queued_jobs, used=usage.queued_jobs),
            in_flight_jobs=InFlightUse(limit=quotas.in_flight_jobs, used=slots.in_flight_of(tenant)),
            upload_bytes=UploadUse(limit=quotas.upload_bytes),
            stored_bytes=StorageUse(
                limit=quotas.stored_bytes,
                used=usage.stored_bytes,
                reserved=usage.reserved_bytes,
                by_day=usage.stored_by_day,
            ),
            monthly_jobs=JobUse(limit=quotas.jobs_per_month, used=usage.jobs, resets_at=resets_at),
            monthly_video_minutes=VideoUse(
                limit=quotas.video_minutes_per_month, used=round(usage.video_ms / 60_000, 2), resets_at=resets_at
            ),
        ),
    )
