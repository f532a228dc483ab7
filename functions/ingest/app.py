"""Ingest: S3 reports new uploads."""

from darkroom.jobs import events, ingestion, uploads
from darkroom.log import logger


def handler(event: events.Event, _context: object) -> dict[str, int]:
    """Ingests every upload of the event. Returns how many jobs came with them."""
    done = {"accepted": sum(ingestion.ingest(*uploads.parse_key(key)) for key in events.uploaded_keys(event))}
    logger().info("uploads ingested", extra=done)
    return done
