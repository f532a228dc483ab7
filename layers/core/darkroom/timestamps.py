"""Times as ISO 8601 text and as milliseconds since 1970."""

import time
from datetime import UTC, datetime, timedelta


def epoch_ms(timestamp: str) -> int:
    """An ISO 8601 time in milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def has_offset(text: str) -> bool:
    """Whether `text` is an ISO 8601 time with an offset from UTC, so that it means the same everywhere."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def utc_now() -> str:
    """The current time in UTC as ISO 8601, to the millisecond."""
    return iso_utc(time.time())


def iso_utc(epoch_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_of(epoch_ms: float) -> str:
    """The day in UTC of a time in milliseconds since 1970, as `2026-11-30`."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).date().isoformat()


def month_of(epoch_ms: float) -> str:
    """The month in UTC of a time in milliseconds since 1970, as `2026-11`."""
    return day_of(epoch_ms)[:7]


def next_month_ms(epoch_ms: float) -> int:
    """When the month in UTC of a time ends. Both are in milliseconds since 1970."""
    month = datetime.fromisoformat(f"{month_of(epoch_ms)}-01T00:00:00+00:00")
    following = (month + timedelta(days=31)).replace(day=1)
    return round(following.timestamp() * 1000)
