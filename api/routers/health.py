"""Whether the parts that the API depends on answer."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api import examples
from api.documents import Document, example_of
from api.openapi import problems
from api.responses import document
from darkroom.jobs import ledger
from darkroom.log import logger
from darkroom.services import rabbitmq, s3
from darkroom.services.redis.client import ping_redis

router = APIRouter(tags=["health"])

#: Seconds that a part has to answer. Parts are asked at the same time.
TIMEOUT_S = 2.0

State = Literal["ok", "down"]


class PartHealth(Document):
    """One part."""

    status: State
    detail: str = Field(description="In a sentence.")
    latency_ms: float = Field(description="How long the answer took.")


class Health(Document):
    """The whole: `ok` when every part is."""

    model_config = example_of(examples.HEALTH)

    status: State
    parts: dict[str, PartHealth]


def _ask_storage() -> None:
    s3.exists(f"{ledger.LEDGER_PREFIX}health")


_PARTS: dict[str, tuple[str, Callable[[], None]]] = {
    "cache": ("The status cache", ping_redis),
    "broker": ("The message broker", rabbitmq.ping),
    "storage": ("The object store", _ask_storage),
}


@router.get(
    "/health",
    response_model=Health,
    summary="Ask whether all parts answer",
    response_description="Every part answers.",
    responses={**problems(), 503: {"model": Health, "description": "A part is down; `parts` says which."}},
)
async def get_health() -> Response:
    """Asks every part and answers within a few seconds, whatever state they are in. 503 when one of them is down."""
    answers = await asyncio.gather(*(_ask(name, check) for name, check in _PARTS.values()))
    healthy = all(answer.status == "ok" for answer in answers)
    health = Health(status="ok" if healthy else "down", parts=dict(zip(_PARTS, answers, strict=True)))
    return document(health, 200 if healthy else 503)


async def _ask(name: str, check: Callable[[], None]) -> PartHealth:
    begun = time.perf_counter()
    status: State = "down"
    try:
        await asyncio.wait_for(asyncio.to_thread(check), TIMEOUT_S)
        status, detail = "ok", f"{name} answers."
    except TimeoutError:
        detail = f"{name} has not answered within {TIMEOUT_S:g} seconds."
    except Exception as error:  # noqa: BLE001 - whatever it is, the part cannot be used, and the answer must say so
        logger().error("a part is down", extra={"part": name, "reason": repr(error)})
        detail = f"{name} does not answer as it should."
    return PartHealth(status=status, detail=detail, latency_ms=round((time.perf_counter() - begun) * 1000, 1))
