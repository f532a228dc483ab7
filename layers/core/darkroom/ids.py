"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which sort in order of creation.

The first 48 bits are milliseconds since 1970, so S3 lists jobs and files in order of time, from a given time on.
"""

import os
import time
import uuid

from darkroom.errors import InvalidIdError

_TIMESTAMP_SHIFT = 80
_RANDOM_BITS = 80


def new_id(at_ms: int | None = None) -> str:
    """A new identifier of the time `at_ms` (milliseconds since 1970, by default now), as 36 lower-case characters."""
    at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    value = at_ms << _TIMESTAMP_SHIFT | int.from_bytes(os.urandom(_RANDOM_BITS // 8))
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=value))


def first_id(at_ms: int) -> str:
    """The smallest identifier of the millisecond `at_ms`, where a listing starts."""
    return str(uuid.UUID(int=at_ms << _TIMESTAMP_SHIFT | 0x7 << 76 | 0x2 << 62))


def parse_id(text: str) -> str:
    """`text` in canonical form. Raises InvalidIdError unless it is a UUID of version 7."""
    try:
        value = uuid.UUID(text)
    except ValueError as error:
        raise InvalidIdError(text) from error
    if value.version != 7:
        raise InvalidIdError(text)
    return str(value)


def created_ms(identifier: str) -> int:
    """The time at which an identifier was created, in milliseconds since 1970."""
    return uuid.UUID(identifier).int >> _TIMESTAMP_SHIFT
