"""Jobs of several tenants that wait for their turn, and messages that start them."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from darkroom import ids
from darkroom.contracts.jobs import FileSource, Job, Message, Priority
from darkroom.contracts.operations import Operation
from darkroom.contracts.tenants import UNLIMITED
from darkroom.services.redis import keys, slots, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.slots import Turn
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from tests.integration.redis_jobs import finish

RESIZE = Operation.RESIZE

EXAMPLES = int(os.environ.get("DARKROOM_MODEL_EXAMPLES", "50"))

MANY = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    derandomize="DARKROOM_MODEL_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


def new_job(tenant: str, priority: Priority = "normal") -> Job:
    return Job(
        job_id=ids.new_id(),
        tenant=tenant,
        operation=RESIZE,
        params={"width": 10},
        source=FileSource(file_id=ids.new_id()),
        created_at=utc_now(),
        traceparent=new_traceparent(),
        priority=priority,
    )


def message_of(job: Job, attempt: int = 1) -> Message:
    return Message(job_id=job.job_id, tenant=job.tenant, operation=job.operation, attempt=attempt)


def permits(count: int) -> list[Message]:
    """Messages of a job that has ended, so that they start jobs of others only."""
    ended = new_job("ended")
    create(ended)
    finish(ended)
    return [message_of(ended, attempt) for attempt in range(1, count + 1)]


def acquire(*messages: Message, limit: int = 1000) -> list[Turn]:
    return slots.acquire(messages, RESIZE, limit=limit)


def started(turns: list[Turn]) -> list[str]:
    """The ids of the jobs that messages got."""
    return [turn.start.job_id for turn in turns if turn.start]


def create(*jobs: Job, most_in_flight: int | None = None) -> None:
    for job in jobs:
        views.create(job, quotas=UNLIMITED.model_copy(update={"in_flight_jobs": most_in_flight}))


def move_time(ms: float) -> None:
    """Makes everything that Redis has of the operation's waiting jobs this much older."""
    redis: Any = redis_client()
    timed = [keys.ready_tenants_of(RESIZE), keys.served_tenants_of(RESIZE), keys.delayed_jobs_of(RESIZE)]
    for key in timed:
        for member in redis.zrange(key, 0, -1):
            redis.zincrby(key, -ms, member)
