"""Whether new jobs and uploads are accepted: by the capacity of the service, and by the quotas of the tenant.

What there is to know is read from Redis in one round trip. During an outage of Redis it is not known, and everything is
accepted: the ledger, the broker and S3 hold any number.
"""

from collections.abc import Sequence

from api import back_pressure, quotas
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import Principal
from darkroom.errors import CacheFullError, CacheUnavailableError, QuotaExceededError
from darkroom.services.redis.usage import Usage, measure


def check(principal: Principal, operations: Sequence[Operation] = (), *, size_bytes: int = 0) -> None:
    """Raises unless there is room for a job of each of the operations, and for an upload of `size_bytes`.

    Raises TooManyJobsError or CacheFullError for the service, and QuotaExceededError for the tenant. Who has an upload
    link is not told what the tenant uses.
    """
    try:
        _check(principal, operations, size_bytes)
    except QuotaExceededError as error:
        if principal.limits is None:
            raise
        raise type(error)(retry_after_s=error.retry_after_s) from error


def _check(principal: Principal, operations: Sequence[Operation], size_bytes: int) -> None:
    usage = _measure(principal, operations, size_bytes)
    if usage is None:
        return
    if operations:
        for operation, queued in usage.queued_by_operation.items():
            back_pressure.check_queue(operation, queued)
        quotas.check_jobs(principal.quotas, usage, operations)
    if size_bytes:
        quotas.check_storage(principal.quotas, usage, size_bytes)


def _measure(principal: Principal, operations: Sequence[Operation], size_bytes: int) -> Usage | None:
    """The usage, if anything depends on it and Redis responds."""
    is_limited = size_bytes > 0 and principal.quotas.stored_bytes is not None
    if not operations and not is_limited:
        return None
    try:
        if operations:
            back_pressure.check_memory()
        return measure(principal.tenant, sorted(set(operations)))
    except CacheFullError:
        raise
    except CacheUnavailableError:
        return None
