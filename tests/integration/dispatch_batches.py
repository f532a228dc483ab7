"""Batches of messages for dispatch, as an event source mapping delivers them."""

import base64
from typing import Any

from darkroom.contracts.jobs import Job
from darkroom.jobs import events, lifecycle
from functions.dispatch import app
from tests.support.lambda_context import LambdaContext


def batch(*bodies: bytes, headers: dict[str, Any] | None = None) -> events.Event:
    """An event as an event source mapping sends it."""
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": "arn:aws:mq:us-east-1:000000000000:broker:local:b-0",
        "rmqMessagesByQueue": {
            "darkroom.resize::/": [
                {
                    "basicProperties": {"headers": headers or {}, "messageId": "an-id"},
                    "redelivered": False,
                    "data": base64.b64encode(body).decode(),
                }
                for body in bodies
            ]
        },
    }


def body_of(job: Job, attempt: int = 1) -> bytes:
    """The body of the message for an attempt."""
    return lifecycle.message_for(job, attempt).model_dump_json().encode()


def almost_over(remaining_s: float = 0.3) -> LambdaContext:
    """Leaves dispatch this time before it requeues."""
    return LambdaContext(remaining_ms=app.REQUEUE_RESERVE_MS + int(remaining_s * 1000))
