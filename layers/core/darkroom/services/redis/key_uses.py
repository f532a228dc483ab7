"""When each API key was last used, since the last loss of Redis. `tenants.key_uses` has what came before."""

from typing import cast

from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, now_ms, redis_client
from darkroom.services.redis.script_runner import run_script


def note(tenant: str, key_id: str) -> None:
    """Records that a key is used now."""
    run_script("note_key_use", [keys.key_uses_of(tenant), keys.UNSAVED_KEY_USES], [tenant, key_id, keys.KEY_USES_TTL_S])


def recent_uses(tenant: str) -> dict[str, int]:
    """The last use of each key of a tenant that was used, in seconds since 1970."""
    with map_redis_errors():
        found = cast(dict[str, str], redis_client().hgetall(keys.key_uses_of(tenant)))
    return {key_id: int(text) for key_id, text in found.items()}


def unsaved(older_than_s: float, limit: int) -> list[str]:
    """Tenants with uses that have not been saved for so long, longest first."""
    latest_ms = now_ms() - int(older_than_s * 1000)
    with map_redis_errors():
        found = redis_client().zrangebyscore(keys.UNSAVED_KEY_USES, "-inf", latest_ms, start=0, num=limit)
    return cast(list[str], found)


def mark_saved(tenant: str) -> None:
    """Records that the uses of a tenant's keys are saved."""
    with map_redis_errors():
        redis_client().zrem(keys.UNSAVED_KEY_USES, tenant)
