"""Idempotency keys: a request that is sent twice, or twice at the same time, takes effect once.

The first request with a key stores the identifiers that it returns, by a conditional write, which only one of several
concurrent requests can win. The others read those identifiers and repeat the same writes, which changes nothing. They
are stored in S3, since a key in Redis could be lost before its time.
"""

import hashlib
import json

from pydantic import Field

from darkroom import ids
from darkroom.contracts.base import Contract
from darkroom.errors import IdempotencyKeyReusedError
from darkroom.services import s3
from darkroom.timestamps import utc_now

#: Objects below this prefix are removed a day after they were written, which S3 rounds up to midnight.
IDEMPOTENCY_PREFIX = "work/idempotency/"


class Reservation(Contract):
    """The identifiers for the first request with a key. `repeated` means that this request is a later one."""

    fingerprint: str
    identifiers: list[str]
    created_at: str
    repeated: bool = Field(False, exclude=True)


def reserve_ids(tenant: str, key: str | None, request: bytes, count: int, *, link_id: str | None = None) -> Reservation:
    """`count` new identifiers, or those of the tenant's first request with this key.

    Keys that are sent with an upload link are neither those of the tenant nor those of another link. `request` is the
    request in canonical form. Raises IdempotencyKeyReusedError if the key was used before with a different one.
    """
    reservation = Reservation(
        fingerprint=hashlib.sha256(request).hexdigest(),
        identifiers=[ids.new_id() for _ in range(count)],
        created_at=utc_now(),
    )
    if key is None:
        return reservation
    object_key = _object_key(tenant, key, link_id)
    if s3.put_once(object_key, reservation.model_dump_json().encode(), media_type="application/json"):
        return reservation
    first = s3.get(object_key)
    if first is None:  # it expired between the two calls
        return reservation
    reserved = Reservation.model_validate_json(first)
    if reserved.fingerprint != reservation.fingerprint:
        raise IdempotencyKeyReusedError(
            "This Idempotency-Key was used before with another request. Use a new key for a new request."
        )
    return reserved.model_copy(update={"repeated": True})


def _object_key(tenant: str, key: str, link_id: str | None) -> str:
    folder = tenant if link_id is None else f"{tenant}/{link_id}"
    return f"{IDEMPOTENCY_PREFIX}{folder}/{hashlib.sha256(key.encode()).hexdigest()}"


def canonical_request(route: str, *parts: object) -> bytes:
    """A request in canonical form: the route and everything that its effect depends on."""
    return json.dumps([route, *parts], sort_keys=True).encode()
