"""Saves the usage of tenants in S3, and counts again what Redis has lost."""

from darkroom.jobs import usage
from darkroom.services.redis import recounts
from darkroom.services.redis.usage import measure
from functions.sweep import checkpoints
from functions.sweep.lookups import look_up
from functions.sweep.recounting import recount

#: Tenants that one pass handles at most.
TENANTS_AT_ONCE = 2_000


def keep_usage(deadline: float) -> int:
    """Saves the usage that has changed, and counts again what Redis has lost. Returns how many tenants were saved."""
    recounts.list_saved_tenants(usage.saved_tenants())
    saved = look_up(_save_if_complete, recounts.changed_tenants(TENANTS_AT_ONCE), deadline)
    incomplete = [tenant for tenant, was_complete in saved if not was_complete]
    recount(incomplete, deadline)
    return len(saved) - len(incomplete)


def _save_if_complete(tenant: str) -> bool:
    """Saves the usage of a tenant, unless it lacks what was before Redis began to count. Returns whether it did."""
    current = measure(tenant)
    if not current.is_complete:
        return False
    checkpoint = checkpoints.make_checkpoint(tenant, current)
    for month in checkpoints.changing_months(current):
        usage.save_usage(checkpoint, month)
    recounts.mark_usage_saved(tenant, current, checkpoints.unneeded_fields(current))
    return True
