"""When each API key was last used. Redis knows it to the minute; S3 keeps it, so that it survives a loss of Redis.

The API notes uses in Redis, and sweep saves them in `tenants/<tenant>/key-uses.json`.
"""

from pydantic import RootModel, ValidationError

from darkroom.errors import CacheUnavailableError
from darkroom.log import logger
from darkroom.services import s3
from darkroom.services.redis import key_uses
from darkroom.tenants import records


class _Uses(RootModel[dict[str, int]]):
    """The document: the last use of each key, in seconds since 1970."""


def last_uses(tenant: str) -> dict[str, int]:
    """The last use of each key of a tenant that was used, in seconds since 1970. Without Redis, what is saved."""
    saved = _saved(tenant)
    try:
        return _merge(saved, key_uses.recent_uses(tenant))
    except CacheUnavailableError as error:
        logger().warning("showing the saved uses of keys", extra={"code": error.code, "reason": error.message})
        return saved


def save(tenant: str) -> None:
    """Adds what Redis knows to what is saved."""
    uses = _merge(_saved(tenant), key_uses.recent_uses(tenant))
    s3.put(_key(tenant), _Uses(uses).model_dump_json().encode(), media_type="application/json")
    key_uses.mark_saved(tenant)


def _saved(tenant: str) -> dict[str, int]:
    content = s3.get(_key(tenant))
    try:
        return {} if content is None else _Uses.model_validate_json(content).root
    except ValidationError:  # only shown to people, so better lost than in the way
        logger().error("ignored uses of keys that cannot be read", extra={"tenant": tenant})
        return {}


def _merge(saved: dict[str, int], recent: dict[str, int]) -> dict[str, int]:
    return {key_id: max(saved.get(key_id, 0), recent.get(key_id, 0)) for key_id in saved | recent}


def _key(tenant: str) -> str:
    return f"{records.tenant_prefix(tenant)}key-uses.json"
