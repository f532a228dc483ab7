"""The slots of each operation: how many of its runs may be in flight at the same time, and whose turn it is.

Each attempt of a job holds a slot of its own. A slot expires with its run's lease, so one that was never released frees
itself.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from darkroom.contracts.jobs import JobRef, Message
from darkroom.contracts.operations import Operation
from darkroom.services.redis import deadlines, keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.script_runner import run_script
from darkroom.timeouts import current_timeouts


class Slot(StrEnum):
    """Whether a message got a slot for the job whose turn it is: acquired now, or held since before.

    Or why not: all are taken, or no job is ready, and that of the message was started or has ended.
    """

    ACQUIRED = "acquired"
    HELD = "held"
    FULL = "full"
    STALE = "stale"
    ENDED = "ended"


@dataclass(frozen=True)
class Turn:
    """What a message got: a slot for an attempt of a job, which `start` names, or none.

    `traceparent` is that of the job, empty if Redis does not know it.
    """

    slot: Slot
    start: Message | None = None
    traceparent: str = ""


def acquire(messages: Sequence[Message], operation: Operation, *, limit: int) -> list[Turn]:
    """Acquires slots of an operation, of which there are `limit`: one per message, for the jobs whose turn it is.

    A message is a permit to start one job of the operation, its own or another one. Returns what each of them got.
    """
    attempts = [[str(message.ref), message.attempt] for message in messages]
    answers = run_script(
        "acquire_slots",
        [
            keys.slots_of(operation),
            keys.freed_slots_of(operation),
            keys.permits_of(operation),
            keys.ready_tenants_of(operation),
            keys.served_tenants_of(operation),
            keys.delayed_jobs_of(operation),
            keys.OPEN_JOBS,
        ],
        [
            json.dumps(attempts),
            limit,
            int(deadlines.START_WITHIN_S * 1000),
            keys.SLOTS_TTL_S * 1000,
            keys.VIEW_PREFIX,
            keys.MOST_IN_FLIGHT_PREFIX,
        ],
    )
    return [_turn(operation, *answer) for answer in answers]


def _turn(operation: Operation, slot: str, job: str = "", attempt: int = 0, traceparent: str = "") -> Turn:
    if not job:
        return Turn(Slot(slot))
    tenant, job_id = JobRef.parse(job)
    start = Message(job_id=job_id, tenant=tenant, operation=operation, attempt=attempt)
    return Turn(Slot(slot), start, traceparent)


def release(job: JobRef, operation: Operation, attempt: int) -> None:
    """Releases the slot of an attempt whose run did not start. A job that is still queued is ready again."""
    run_script(
        "release_slot",
        [
            keys.view_of(job),
            keys.slots_of(operation),
            keys.freed_slots_of(operation),
            keys.permits_of(operation),
            keys.ready_tenants_of(operation),
            keys.served_tenants_of(operation),
            keys.delayed_jobs_of(operation),
        ],
        [str(job), attempt],
    )


def wait_until_freed(operations: Iterable[Operation], timeout_s: float) -> None:
    """Returns when a slot of one of the operations may be free, or a tenant's first job may be ready.

    Returns at the latest after `timeout_s`.
    """
    freed = [keys.freed_slots_of(operation) for operation in operations]
    longest_s = current_timeouts().cache_s / 2  # less than the time that a response may take
    with map_redis_errors():
        redis_client().blpop(freed, timeout=min(timeout_s, longest_s))


def in_flight() -> dict[Operation, int]:
    """How many slots of each operation are taken."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for operation in Operation:
            pipe.zcount(keys.slots_of(operation), int(time.time() * 1000), "+inf")
        return dict(zip(Operation, pipe.execute(), strict=True))


def in_flight_of(tenant: str) -> dict[Operation, int]:
    """How many slots of each operation the jobs of a tenant have taken; only of operations of which it is any."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for operation in Operation:
            pipe.zrangebyscore(keys.slots_of(operation), int(time.time() * 1000), "+inf")
        taken = pipe.execute()
    counts = {
        operation: sum(member.startswith(f"{tenant}/") for member in members)
        for operation, members in zip(Operation, taken, strict=True)
    }
    return {operation: count for operation, count in counts.items() if count}
