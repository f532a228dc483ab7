"""What sweep compares the open index with: which jobs have a view, what it looked up before, and how far it has got."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, cast

from darkroom.contracts.jobs import JobRef, Status
from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.script_runner import run_script

_Written = TypeVar("_Written", bound="Written")


class Presence(StrEnum):
    """Whether a job has a view, whether the view shows its end, and whether its outputs are still to be cleaned up."""

    UNKNOWN = "unknown"
    OPEN = "open"
    ENDED = "ended"
    NOT_CLEANED = "not_cleaned"


def presences(jobs: Sequence[JobRef]) -> list[Presence]:
    """The presence of each job, in one round trip. A job whose view awaits its upload is unknown."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hmget(keys.view_of(job), "status", "awaits_upload")
            pipe.zscore(keys.CLEANUPS, str(job))
        answers = pipe.execute()
    return [_presence(fields, due) for fields, due in zip(answers[::2], answers[1::2], strict=True)]


def _presence(fields: list[str | None], cleanup_due: float | None) -> Presence:
    status, awaits_upload = fields
    if not status or awaits_upload:
        return Presence.UNKNOWN
    if not Status(status).terminal:
        return Presence.OPEN
    return Presence.ENDED if cleanup_due is None else Presence.NOT_CLEANED


@dataclass(frozen=True)
class Written:
    """What was written to S3 for a tenant: its id, the time (seconds since 1970) and its age, both on S3's clock."""

    tenant: str
    identifier: str
    written_s: int
    age_s: float


def due_for_lookup(candidates: Sequence[_Written], *, first_s: float) -> list[_Written]:
    """Those of the candidates that are due to be looked up, in one round trip.

    The first time is at the age of `first_s`, and each further time when the age has doubled since `mark_looked_up`.
    What was written again starts anew.
    """
    old_enough = [candidate for candidate in candidates if candidate.age_s >= first_s]
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for candidate in old_enough:
            pipe.exists(keys.lookup_of(candidate.tenant, candidate.identifier, candidate.written_s))
        return [candidate for candidate, marked in zip(old_enough, pipe.execute(), strict=True) if not marked]


def mark_looked_up(candidates: Sequence[_Written]) -> None:
    """Records that the candidates were looked up without success."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for candidate in candidates:
            expires_s = min(max(int(candidate.age_s), 1), keys.LOOKUP_TTL_S)
            pipe.set(keys.lookup_of(candidate.tenant, candidate.identifier, candidate.written_s), 1, ex=expires_s)
        pipe.execute()


@dataclass(frozen=True)
class Cursor:
    """How far the open index of one kind was read. `cycle` counts how often it was read to its end."""

    kind: str
    cycle: int
    position: str
    dataset_id: str

    @property
    def text(self) -> str:
        """The value in Redis; empty where every data set begins."""
        return f"{self.cycle} {self.position}" if self.cycle or self.position else ""


def read_cursor(kind: str) -> Cursor:
    """Where the reading of one kind continues: at the beginning after Redis lost its data."""
    with map_redis_errors():
        dataset_id, text = _values(keys.DATASET_ID, keys.cursor_of(kind))
        if dataset_id is None:
            redis_client().set(keys.DATASET_ID, uuid.uuid4().hex, nx=True)
            dataset_id, text = _values(keys.DATASET_ID, keys.cursor_of(kind))
    cycle, _, position = (text or "0 ").partition(" ")
    return Cursor(kind, int(cycle), position, str(dataset_id))


def _values(*names: str) -> list[str | None]:
    return cast(list[str | None], redis_client().mget(*names))


def move_cursor(cursor: Cursor, *, to: str, new_cycle: bool = False) -> Cursor | None:
    """Moves the cursor on, to a later position or the beginning of the next cycle. Returns where it is then.

    Returns None if another pass has moved it, which then continues from there, or if Redis has lost its data.
    """
    moved = Cursor(cursor.kind, cursor.cycle + new_cycle, to, cursor.dataset_id)
    arguments = [cursor.text, moved.text, cursor.dataset_id]
    return moved if run_script("move_cursor", [keys.cursor_of(cursor.kind), keys.DATASET_ID], arguments) else None
