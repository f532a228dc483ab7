"""Saves when API keys were last used, which otherwise only Redis knows."""

from darkroom.services.redis import key_uses as recent_uses
from darkroom.tenants import key_uses
from functions.sweep.lookups import look_up

#: Seconds after its first use that is not saved at which a tenant's uses are saved. Redis can lose only these.
SAVED_AFTER_S = 900

#: Tenants whose uses are saved in one pass at most.
_TENANTS_AT_ONCE = 500


def save_key_uses(deadline: float) -> int:
    """Saves the uses of the keys of tenants that are due. Returns how many tenants that were."""
    return len(look_up(key_uses.save, recent_uses.unsaved(SAVED_AFTER_S, _TENANTS_AT_ONCE), deadline))
