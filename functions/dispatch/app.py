"""Dispatch: starts one asynchronous run per message, within the operation's in-flight limit.

An event source mapping on RabbitMQ runs one environment, whatever the function's concurrency, so dispatch does not
process the jobs itself. While no slot is free it waits: the back-pressure keeps the queue in the broker.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from darkroom.config import settings
from darkroom.contracts.operations import Operation
from darkroom.errors import LambdaUnavailableError, ServiceError
from darkroom.jobs import events
from darkroom.log import logger
from darkroom.services import aws, rabbitmq
from darkroom.services.redis import slots
from darkroom.tracing import continue_trace

#: Milliseconds before Lambda stops this function in which it requeues the rest of the batch.
REQUEUE_RESERVE_MS = 10_000

#: Seconds to wait for a slot before the next attempt to acquire one, and after an outage before the next attempt.
SLOT_WAIT_S = 2.0
OUTAGE_WAIT_S = 1.0

#: The outcome of a message whose run could not be started in time.
_REQUEUED = "requeued"


def handler(event: events.Event, context: events.LambdaContext) -> dict[str, int]:
    """Starts a run for every message of the batch, or requeues it. Returns how many messages had each outcome.

    Raises BrokerUnavailableError when a message can be neither started nor requeued, or cannot be parked.
    """
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - REQUEUE_RESERVE_MS) / 1000
    outcomes: Counter[str] = Counter()
    runs = []
    for delivery in events.deliveries(event):
        try:
            runs.append(_invocation_of(delivery))
        except events.MalformedMessageError as error:
            _park(delivery, str(error))
            outcomes["parked"] += 1
    for run, outcome in zip(runs, _start_all(runs, deadline), strict=True):
        if outcome == _REQUEUED:
            rabbitmq.publish(run.message, run.traceparent)
        outcomes[outcome] += 1
    logger().info("batch dispatched", extra={"outcomes": outcomes})
    return dict(outcomes)


def _invocation_of(delivery: events.Delivery) -> events.Invocation:
    message = events.parse_message(delivery.body)
    return events.Invocation(message=message, traceparent=continue_trace(delivery.headers.get("traceparent")))


def _park(delivery: events.Delivery, reason: str) -> None:
    logger().warning("message parked", extra={"reason": reason, "queue": delivery.queue})
    rabbitmq.park(delivery.body, delivery.message_id, reason)


def _start_all(runs: Sequence[events.Invocation], deadline: float) -> list[str]:
    """Starts the runs in parallel, since each invocation takes 20 to 30 ms. Returns the outcome of each."""
    if len(runs) <= 1:
        return [_start(run, deadline) for run in runs]
    with ThreadPoolExecutor(len(runs)) as threads:
        return list(threads.map(partial(_start, deadline=deadline), runs))


def _start(run: events.Invocation, deadline: float) -> str:
    """Starts a run as soon as there is a slot for it. Returns the outcome.

    It runs in a thread, so it must not use the broker: a connection to RabbitMQ belongs to one thread.
    """
    operation = run.message.operation
    while time.monotonic() < deadline:
        try:
            slot = _try_to_start(run)
            if slot is not slots.Slot.FULL:
                return slot
            slots.wait_until_freed(operation, min(SLOT_WAIT_S, max(0.1, deadline - time.monotonic())))
        except ServiceError as error:
            logger().warning("dependency unavailable", extra={"code": error.code, "job_id": run.message.job_id})
            time.sleep(OUTAGE_WAIT_S)
    return _REQUEUED


def _try_to_start(run: events.Invocation) -> slots.Slot:
    message = run.message
    limit = _in_flight_limit(message.operation)
    slot = slots.acquire(message.job_id, message.operation, message.attempt, limit=limit)
    if slot is slots.Slot.ACQUIRED:
        try:
            _invoke(run)
        except LambdaUnavailableError:
            slots.release(message.job_id, message.operation, message.attempt)
            raise
    return slot


def _in_flight_limit(operation: Operation) -> int:
    limit: int = getattr(settings(), operation.concurrency)
    return limit


def _invoke(run: events.Invocation) -> None:
    name = f"{settings().function_prefix}-{run.message.operation}"
    payload = events.invocation_payload(run)
    try:
        answer = aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)
        answer["Payload"].read()  # empty, but a connection is reused only after the body was read
    except (BotoCoreError, ClientError) as error:
        raise LambdaUnavailableError(f"{name} could not be started: {error}") from error
