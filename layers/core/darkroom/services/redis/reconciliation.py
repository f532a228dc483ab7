"""Compares the views with the ledger: which jobs have none, and how far the last comparison got."""

import uuid
from collections.abc import Sequence
from enum import StrEnum

from darkroom.contracts.jobs import Status
from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.script_runner import run_script


class Presence(StrEnum):
    """Whether a job in the ledger has a view, and whether the view shows its end."""

    UNKNOWN = "unknown"
    OPEN = "open"
    ENDED = "ended"


def presences(job_ids: Sequence[str]) -> list[Presence]:
    """The presence of each job, in one round trip. A job whose view awaits its upload is unknown."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hmget(keys.view_of(job_id), "status", "awaits_upload")
        return [_presence(status, awaits_upload) for status, awaits_upload in pipe.execute()]


def _presence(status: str | None, awaits_upload: str | None) -> Presence:
    if not status or awaits_upload:
        return Presence.UNKNOWN
    return Presence.ENDED if Status(status).terminal else Presence.OPEN


def cursor() -> str:
    """The job id up to which every job in the ledger has a view; empty after Redis lost its data."""
    with map_redis_errors():
        return str(redis_client().get(keys.CURSOR) or "")


def dataset_id() -> str:
    """A random id of the data in Redis. It changes when Redis loses its data."""
    with map_redis_errors():
        redis_client().set(keys.DATASET_ID, uuid.uuid4().hex, nx=True)
        return str(redis_client().get(keys.DATASET_ID))


def advance_cursor(job_id: str, dataset: str) -> bool:
    """Records that every job in the ledger up to this one has a view. Returns whether it did.

    It does not if Redis has lost the data that `dataset` identifies: the earlier views are then lost too.
    """
    return bool(run_script("advance_cursor", [keys.CURSOR, keys.DATASET_ID], [job_id, dataset]))
