"""Ingests awaited uploads whose event was lost, or whose ingestion was interrupted."""

import time

from darkroom.config import settings
from darkroom.errors import InternalError
from darkroom.jobs import ingestion, open_index, uploads
from darkroom.jobs.open_index import Entry, Kind
from darkroom.log import logger
from darkroom.services import s3
from darkroom.services.redis import files, reconciliation
from functions.sweep.lookups import look_up, read_index

#: Seconds after which S3 should have reported an upload.
EVENT_WITHIN_S = 60

#: Seconds after the expiry of a form for which its upload is awaited: one that began in time may take hours.
UPLOADING_S = 86_400


def ingest_missed_uploads(deadline: float) -> int:
    """Looks for awaited uploads that have arrived. Returns how many were ingested."""
    return read_index(Kind.UPLOADS, _ingest_arrived, deadline)


def _ingest_arrived(page: list[Entry], deadline: float) -> int:
    waiting = files.not_ingested(page)
    finished = [entry for entry in page if entry not in waiting]
    found = look_up(_has_arrived, reconciliation.due_for_lookup(waiting, first_s=EVENT_WITHIN_S), deadline)
    absent = [entry for entry, arrived in found if not arrived]
    finished += [entry for entry in absent if entry.age_s > settings().link_expiry_s + UPLOADING_S]
    ingested = 0
    for entry, arrived in found:
        if arrived and time.monotonic() < deadline:
            ingested += _ingest(entry)
    reconciliation.mark_looked_up(absent)
    open_index.remove(Kind.UPLOADS, finished)
    return ingested


def _has_arrived(entry: Entry) -> bool:
    return s3.exists(uploads.key_of(entry.tenant, entry.identifier))


def _ingest(entry: Entry) -> int:
    try:
        ingestion.ingest(entry.tenant, entry.identifier)
    except InternalError as error:
        context = {"file_id": entry.identifier, "reason": error.message}
        logger().error("skipped unreadable record", extra=context)
        return 0
    return 1
