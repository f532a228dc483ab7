"""The quotas of a tenant: whether a request may use more of them.

Two requests at the same time may both pass a check that only one of them should, so a tenant can exceed a quota by what
its requests in flight ask for.
"""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from api import rate_limits
from api.rate_limits import RateLimit
from darkroom.config import settings
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Principal, Quotas
from darkroom.errors import (
    CacheUnavailableError,
    MonthlyJobsQuotaError,
    MonthlyVideoQuotaError,
    QueuedJobsQuotaError,
    RequestQuotaError,
    StorageQuotaError,
    UploadQuotaError,
)
from darkroom.log import logger
from darkroom.services.redis import requests
from darkroom.services.redis.usage import Usage
from darkroom.timestamps import epoch_ms, next_month_ms

#: Seconds after which a tenant whose jobs are all queued may try again.
QUEUE_RETRY_S = 5

_MINUTE_MS = 60_000


def take_request(state: dict[str, Any], principal: Principal) -> None:
    """Counts a request. Raises RequestQuotaError if the tenant sends too many. `state` is that of the request.

    Without Redis there is no limit but that of API Gateway.
    """
    rate = principal.quotas.requests_per_s
    if rate is None:
        return
    try:
        tokens = requests.take(principal.tenant, rate=rate)
    except CacheUnavailableError as error:
        logger().warning("request not counted", extra={"reason": error.message})
        return
    quota = rate * requests.BURST_S
    if not tokens.taken:
        raise RequestQuotaError(
            f"The tenant {principal.tenant} may send {rate:,} requests a second, and {quota:,} at once.",
            limit=quota,
            window_s=requests.BURST_S,
            retry_after_s=max(1, math.ceil(tokens.wait_s)),
        )
    limit = RateLimit("requests", quota, tokens.left, requests.BURST_S, math.ceil(tokens.full_s))
    rate_limits.set_limit(state, limit)


def check_jobs(quotas: Quotas, usage: Usage, operations: Sequence[Operation]) -> None:
    """Raises QuotaExceededError unless the tenant may start a job of each of the operations."""
    count = len(operations)
    _check_queue(quotas.queued_jobs, usage, count)
    _check_storage(quotas.stored_bytes, usage, 1)
    limit = quotas.jobs_per_month
    if limit is not None and usage.jobs + count > limit:
        raise MonthlyJobsQuotaError(
            f"The tenant may start {limit:,} jobs a month and has started {usage.jobs:,}.", **_of_month(limit, usage)
        )
    limit = quotas.video_minutes_per_month
    if limit is not None and any(_is_video(each) for each in operations) and usage.video_ms >= limit * _MINUTE_MS:
        raise MonthlyVideoQuotaError(
            f"The tenant may process {limit:,} minutes of video a month, which it has.", **_of_month(limit, usage)
        )


def check_upload_size(quotas: Quotas, size_bytes: int) -> None:
    """Raises UploadQuotaError if the tenant may not upload a file of this size."""
    limit = quotas.upload_bytes
    if limit is not None and size_bytes > limit:
        raise UploadQuotaError(f"The file has {size_bytes:,} bytes; the tenant may upload {limit:,}.", limit=limit)


def check_storage(quotas: Quotas, usage: Usage, size_bytes: int) -> None:
    """Raises StorageQuotaError unless the tenant may store so many more bytes."""
    _check_storage(quotas.stored_bytes, usage, size_bytes)


def _check_queue(limit: int | None, usage: Usage, count: int) -> None:
    if limit is not None and usage.queued_jobs + count > limit:
        raise QueuedJobsQuotaError(
            f"The tenant may have {limit:,} queued jobs and has {usage.queued_jobs:,}.",
            limit=limit,
            retry_after_s=QUEUE_RETRY_S,
        )


def _check_storage(limit: int | None, usage: Usage, size_bytes: int) -> None:
    if limit is not None and usage.stored_bytes + size_bytes > limit:
        reserved = f", {usage.reserved_bytes:,} of them for open upload forms" if usage.reserved_bytes else ""
        raise StorageQuotaError(
            f"The tenant may store {limit:,} bytes and uses {usage.stored_bytes:,}{reserved}; {size_bytes:,} more do "
            "not fit.",
            limit=limit,
            retry_after_s=_seconds_until_removal(usage),
        )


def _seconds_until_removal(usage: Usage) -> int:
    """Seconds until S3 removes what was stored first: at midnight after the retention period."""
    oldest = next(iter(usage.stored_by_day), None)
    if oldest is None:  # all of it is reserved
        return settings().link_expiry_s
    removed = date.fromisoformat(oldest) + timedelta(days=settings().retention_days + 1)
    return _seconds_until(epoch_ms(f"{removed.isoformat()}T00:00:00Z"), usage)


def _of_month(limit: int, usage: Usage) -> dict[str, int]:
    begin_ms, end_ms = epoch_ms(f"{usage.month}-01T00:00:00Z"), next_month_ms(usage.now_ms)
    return {"limit": limit, "window_s": (end_ms - begin_ms) // 1000, "retry_after_s": _seconds_until(end_ms, usage)}


def _seconds_until(at_ms: int, usage: Usage) -> int:
    return max(1, math.ceil((at_ms - usage.now_ms) / 1000))


def _is_video(operation: Operation) -> bool:
    return operation.concurrency == "in_flight_video"
