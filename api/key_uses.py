"""Notes when an API key is used: at most once a minute per key and process, since every note is a request to Redis."""

import time
from functools import lru_cache

from darkroom.contracts.tenants import Principal
from darkroom.errors import CacheUnavailableError
from darkroom.log import logger
from darkroom.services.redis import key_uses
from darkroom.tenants import credentials

#: Seconds between two notes of a key, and after a failure of Redis.
NOTED_EVERY_S = 60

#: Keys that a process remembers.
_REMEMBERED = 10_000

#: Under this name a process remembers when Redis failed.
_FAILURE = ""


def note_use(principal: Principal) -> None:
    """Notes that a request came with a key. Does nothing for tokens, upload links and open deployments."""
    key_id = principal.credential
    if principal.limits is not None or not credentials.is_id_of(principal.tenant, key_id):
        return
    noted, now_s = _noted(), time.monotonic()
    if now_s < max(noted.get(key_id, 0.0), noted.get(_FAILURE, 0.0)):
        return
    if len(noted) >= _REMEMBERED:
        noted.clear()
    noted[key_id] = now_s + NOTED_EVERY_S
    try:
        key_uses.note(principal.tenant, key_id)
    except CacheUnavailableError as error:  # the request itself may not need Redis
        noted[_FAILURE] = now_s + NOTED_EVERY_S
        logger().warning("use of a key not noted", extra={"code": error.code, "reason": error.message})


@lru_cache(maxsize=1)
def _noted() -> dict[str, float]:
    """The time (monotonic) until which a key need not be noted again."""
    return {}
