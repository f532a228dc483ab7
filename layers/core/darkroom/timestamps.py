"""Points in time as ISO 8601 text and as milliseconds since 1970."""

from datetime import UTC, datetime


def epoch_ms(timestamp: str) -> int:
    """A time as `utc_now` writes it in milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def utc_now() -> str:
    """The present as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
