"""Idempotency keys: a request that is sent again, or twice at once, has its effect once.

The first request with a key writes down the identifiers that it gives out, by a conditional write that only one of
several racing requests can win; every other one takes them from there and does the same work over, which changes
nothing. It is kept in S3 and not in Redis, so that it holds as long as it promises.
"""

import hashlib
import json

from pydantic import Field

from darkroom import ids
from darkroom.contracts.base import DEFAULT_TENANT, Contract
from darkroom.errors import IdempotencyKeyReusedError
from darkroom.services import s3
from darkroom.timestamps import utc_now

#: Objects below this prefix are removed a day after they were written, which S3 rounds up to midnight.
PREFIX = "work/idempotency/"


class Reservation(Contract):
    """What the first request with a key gave out; `repeated` says that this request is not that one."""

    fingerprint: str
    identifiers: list[str]
    created_at: str
    repeated: bool = Field(False, exclude=True)


def reserve(key: str | None, request: bytes, count: int) -> Reservation:
    """`count` new identifiers, or those that the first request with this key got.

    `request` is everything in the request that has a meaning. Raises IdempotencyKeyReusedError when the key was sent
    with another one.
    """
    made = Reservation(
        fingerprint=hashlib.sha256(request).hexdigest(),
        identifiers=[ids.new_id() for _ in range(count)],
        created_at=utc_now(),
    )
    if key is None:
        return made
    place = f"{PREFIX}{DEFAULT_TENANT}/{hashlib.sha256(key.encode()).hexdigest()}"
    if s3.put_once(place, made.model_dump_json().encode(), media_type="application/json"):
        return made
    first = s3.get(place)
    if first is None:  # removed between the two requests: its day is over
        return made
    reserved = Reservation.model_validate_json(first)
    if reserved.fingerprint != made.fingerprint:
        raise IdempotencyKeyReusedError(
            "This Idempotency-Key was sent before with another request. Use a new key for a new request."
        )
    return reserved.model_copy(update={"repeated": True})


def meaning(route: str, *parts: object) -> bytes:
    """A request's meaning as bytes: the route and everything that its effect depends on."""
    return json.dumps([route, *parts], sort_keys=True).encode()
