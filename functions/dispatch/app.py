"""Dispatch: a batch of messages in, one asynchronous run per job out, within the operation's in-flight limit.

A mapping on RabbitMQ runs one environment whatever the function's concurrency, so it must not do the work itself. While
no slot is free it waits, which holds the queue where it belongs: in the broker.
"""

import time

from botocore.exceptions import BotoCoreError, ClientError

from darkroom import aws, broker, events, store
from darkroom.config import settings
from darkroom.contracts import ACCEPTS, MediaKind, Message, Operation
from darkroom.errors import LambdaUnavailableError, ServiceError
from darkroom.log import logger
from darkroom.trace import continued

#: Milliseconds kept back to give the rest of a batch back to the broker before Lambda stops this function.
RESERVE_MS = 10_000

#: Seconds to wait for a slot before looking again, and before asking a part again that did not answer.
SLOT_WAIT_S = 2.0
TROUBLE_WAIT_S = 1.0


def handler(event: events.Event, context: events.LambdaContext) -> dict[str, int]:
    """Starts every job of the batch, or gives it back. Raises only when the broker cannot take it back either."""
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    outcomes: dict[str, int] = {}
    for delivery in events.deliveries(event):
        outcome = _dispatch(delivery, deadline)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    logger().info("batch dispatched", extra={"outcomes": outcomes})
    return outcomes


def _dispatch(delivery: events.Delivery, deadline: float) -> str:
    try:
        message = events.parse_message(delivery.body)
    except events.MalformedMessageError as error:
        logger().warning("message parked", extra={"reason": str(error), "queue": delivery.queue})
        broker.park(delivery.body, delivery.message_id, str(error))
        return "parked"
    traceparent = continued(delivery.headers.get("traceparent"))
    while time.monotonic() < deadline:
        try:
            slot = _start(message, traceparent)
            if slot is not store.Slot.FULL:
                return slot
            store.wait_for_slot(message.operation, min(SLOT_WAIT_S, max(0.1, deadline - time.monotonic())))
        except ServiceError as error:
            logger().warning("a part does not answer", extra={"code": error.code, "job_id": message.job_id})
            time.sleep(TROUBLE_WAIT_S)
    broker.publish(message, traceparent)
    return "given_back"


def _start(message: Message, traceparent: str) -> store.Slot:
    slot = store.acquire_slot(
        message.job_id, message.operation, message.attempt, limit=_in_flight_limit(message.operation)
    )
    if slot is store.Slot.TAKEN:
        try:
            _invoke(message, traceparent)
        except LambdaUnavailableError:
            store.release_slot(message.job_id, message.operation)
            raise
    return slot


def _in_flight_limit(operation: Operation) -> int:
    config = settings()
    return config.in_flight_image if MediaKind.IMAGE in ACCEPTS[operation] else config.in_flight_video


def _invoke(message: Message, traceparent: str) -> None:
    name = f"{settings().function_prefix}-{message.operation}"
    payload = events.invocation_payload(message, traceparent)
    try:
        aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)
    except (BotoCoreError, ClientError) as error:
        raise LambdaUnavailableError(f"{name} could not be started: {error}") from error
