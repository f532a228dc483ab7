"""Health of the service and its dependencies.

`GET /health` needs no credentials, so that load balancers and monitors can ask. Where the deployment is closed, it
tells strangers whether the service works and nothing about its parts.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api import examples
from api.openapi import problem_responses
from api.principals import Admin, GuardedRoute
from api.response_models import ResponseModel, with_example
from darkroom.config import settings
from darkroom.jobs import ledger
from darkroom.log import logger
from darkroom.services import rabbitmq, s3
from darkroom.services.redis.client import ping_redis
from darkroom.services.redis.memory import memory_use

router = APIRouter(tags=["health"], route_class=GuardedRoute)

#: Seconds that a dependency has to respond. All are checked at the same time.
TIMEOUT_S = 2.0

#: Seconds for which strangers get the result of one check again, since a check opens a connection to the broker.
REMEMBERED_S = 2.0

HealthStatus = Literal["ok", "down"]


class PartHealth(ResponseModel):
    """Health of one dependency."""

    status: HealthStatus = Field(description="`ok` or `down`.")
    detail: str = Field(description="The status in a sentence.")
    latency_ms: float = Field(description="Duration of the check in milliseconds.")


class Health(ResponseModel):
    """Health of the service."""

    model_config = with_example(examples.HEALTH)

    status: HealthStatus = Field(description="`ok` if every part is.")
    parts: dict[str, PartHealth] | None = Field(
        None,
        description="The dependencies: `cache`, `broker` and `storage`. `GET /health` leaves them out where the "
        "deployment is closed.",
    )


def _check_cache() -> str:
    ping_redis()
    use = memory_use()
    return f"{use.share:.0%} of its memory is used." if use.max_bytes else ""


def _check_storage() -> None:
    s3.exists(f"{ledger.LEDGER_PREFIX}health")


#: The parts: what each is called, and its check, which may return another sentence.
_PARTS: dict[str, tuple[str, Callable[[], str | None]]] = {
    "cache": ("The status cache", _check_cache),
    "broker": ("The message broker", rabbitmq.ping),
    "storage": ("The object store", _check_storage),
}


_UNHEALTHY = {"model": Health, "description": "A part is down; `parts`, if present, shows which."}
_PROBLEMS = problem_responses()


@router.get(
    "/health",
    response_model=Health,
    summary="Check the health of the service",
    response_description="All parts are available.",
    responses=problem_responses(public=True) | {503: _UNHEALTHY},
)
async def get_health() -> Response:
    """Checks the status cache, the message broker and the object store, and responds within a few seconds."""
    return _respond(await _examine() if settings().is_open else Health(status=await _status_for_strangers()))


@router.get(
    "/health/parts",
    response_model=Health,
    summary="Check the health of each part",
    response_description="All parts are available.",
    responses=_PROBLEMS | {503: _PROBLEMS[503] | _UNHEALTHY},
)
async def get_health_of_parts(_principal: Admin) -> Response:
    """Like `GET /health`, and shows each part with its latency."""
    return _respond(await _examine())


@dataclass
class _Recent:
    """The status that was found last, and until when it is told (seconds, monotonic)."""

    status: HealthStatus = "down"
    until_s: float = 0.0


@lru_cache(maxsize=1)
def _recent() -> _Recent:
    return _Recent()


async def _status_for_strangers() -> HealthStatus:
    recent = _recent()
    if time.monotonic() >= recent.until_s:
        recent.status = (await _examine()).status
        recent.until_s = time.monotonic() + REMEMBERED_S
    return recent.status


def _respond(health: Health) -> Response:
    status = 200 if health.status == "ok" else 503
    return Response(health.model_dump_json(exclude_none=True), status, media_type="application/json")


async def _examine() -> Health:
    parts = await asyncio.gather(*(_check(name, check) for name, check in _PARTS.values()))
    healthy = all(part.status == "ok" for part in parts)
    return Health(status="ok" if healthy else "down", parts=dict(zip(_PARTS, parts, strict=True)))


async def _check(name: str, check: Callable[[], str | None]) -> PartHealth:
    started = time.perf_counter()
    status: HealthStatus = "down"
    try:
        more = await asyncio.wait_for(asyncio.to_thread(check), TIMEOUT_S)
        status, detail = "ok", " ".join(filter(None, [f"{name} is available.", more]))
    except TimeoutError:
        detail = f"{name} did not respond within {TIMEOUT_S:g} seconds."
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency cannot be used
        logger().error("dependency unavailable", extra={"part": name, "reason": repr(error)})
        detail = f"{name} is unavailable."
    return PartHealth(status=status, detail=detail, latency_ms=round((time.perf_counter() - started) * 1000, 1))
