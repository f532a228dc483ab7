"""Ingest: an upload has landed, says S3."""

from darkroom.jobs import events, ingestion, uploads
from darkroom.log import logger


def handler(event: events.Event, _context: object) -> dict[str, int]:
    """Takes in every upload that the event announces."""
    done = {"accepted": sum(ingestion.take_in(*uploads.id_of(key)) for key in events.uploaded_keys(event))}
    logger().info("uploads announced", extra=done)
    return done
