"""Dispatch: starts one asynchronous run per message, within the operation's in-flight limit.

A message is a permit to start one job of its operation. Redis decides which: the one whose turn it is, so that a tenant
with thousands of jobs does not delay the job of another one, which came later. As long as there are as many messages as
ready jobs, all are started.

An event source mapping on RabbitMQ runs one environment, whatever the function's concurrency, so dispatch does not
process the jobs itself. While no slot is free it waits: the back-pressure keeps the queue in the broker.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from darkroom.config import settings
from darkroom.contracts.jobs import Message
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError, CacheUnavailableError
from darkroom.jobs import events
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import slots
from darkroom.services.redis.slots import Slot, Turn
from darkroom.tracing import continue_trace
from functions.dispatch.invoker import Answer, Batch, Start, invoker

#: Milliseconds before Lambda stops this function in which it requeues the rest of the batch and releases slots. A
#: request to Redis that has just begun may take a third of them.
REQUEUE_RESERVE_MS = 30_000

#: Seconds to wait for a slot before the next attempt to acquire one, and after a failure of Redis.
SLOT_WAIT_S = 2.0
OUTAGE_WAIT_S = 1.0

#: Delay of a message whose run could not be started because of an outage, in seconds.
OUTAGE_DELAY_S = rabbitmq.RETRY_DELAYS_S[0]

#: The outcomes of messages that are not acquired slots, stale or ended.
_STARTED, _REQUEUED, _DELAYED, _PARKED = "started", "requeued", "delayed", "parked"


@dataclass
class _Dispatch:
    """One message of the batch.

    `turn` is None while Redis has not answered, `start` while the calls go on, `outcome` while the message is not done.
    """

    message: Message
    traceparent: str
    turn: Turn | None = None
    calls: Future[Start] | None = None
    start: Start | None = None
    is_released: bool = False
    outcome: str | None = None

    @property
    def slot(self) -> Slot | None:
        return self.turn.slot if self.turn else None


def handler(event: events.Event, context: events.LambdaContext) -> dict[str, int]:
    """Starts a run for every message of the batch, or requeues it. Returns how many messages had each outcome.

    Raises BrokerUnavailableError when a message can be neither started nor requeued, or cannot be parked. The mapping
    then delivers the whole batch again.
    """
    remaining_s = (context.get_remaining_time_in_millis() - REQUEUE_RESERVE_MS) / 1000
    dispatches, malformed = _read(event)
    _start_all(dispatches, Batch(deadline=time.monotonic() + remaining_s))
    for dispatch in dispatches:
        dispatch.start = dispatch.calls.result() if dispatch.calls else None
    _complete_all(dispatches)
    outcomes = Counter(dispatch.outcome for dispatch in dispatches if dispatch.outcome)
    for delivery, reason in malformed:
        logger().warning("message parked", extra={"reason": reason, "queue": delivery.queue})
        rabbitmq.park(delivery.body, delivery.message_id, reason)
        outcomes[_PARKED] += 1
    repeated = sum(max(0, dispatch.start.calls - 1) for dispatch in dispatches if dispatch.start)
    logger().info("batch dispatched", extra={"outcomes": outcomes, "repeated_calls": repeated})
    return dict(outcomes)


def _read(event: events.Event) -> tuple[list[_Dispatch], list[tuple[events.Delivery, str]]]:
    """The valid messages of a batch, and the others with what is wrong with them."""
    dispatches, malformed = [], []
    for delivery in events.deliveries(event):
        try:
            message = events.parse_message(delivery.body)
        except events.MalformedMessageError as error:
            malformed.append((delivery, str(error)))
        else:
            traceparent = continue_trace(delivery.headers.get("traceparent"))
            dispatches.append(_Dispatch(message, traceparent))
    return dispatches, malformed


def _start_all(dispatches: Sequence[_Dispatch], batch: Batch) -> None:
    """Starts a run for each message, as soon as there is a job and a slot for it, until the deadline."""
    waiting = list(dispatches)
    while waiting and (remaining_s := batch.deadline - time.monotonic()) > 0:
        _return_failed(dispatches)
        try:
            for operation in {dispatch.message.operation for dispatch in waiting}:
                _start_where_free(operation, waiting, batch)
            waiting = [dispatch for dispatch in waiting if dispatch.slot in (None, Slot.FULL)]
            if waiting:
                operations = {dispatch.message.operation for dispatch in waiting}
                slots.wait_until_freed(operations, min(SLOT_WAIT_S, remaining_s))
        except CacheUnavailableError as error:
            logger().warning("dependency unavailable", extra={"code": error.code, "reason": error.message})
            time.sleep(min(OUTAGE_WAIT_S, remaining_s))


def _start_where_free(operation: Operation, waiting: Sequence[_Dispatch], batch: Batch) -> None:
    """Acquires slots with as many waiting messages of an operation as possible, and starts the runs."""
    mine = [dispatch for dispatch in waiting if dispatch.message.operation is operation]
    function = f"{settings().function_prefix}-{operation}"
    turns = slots.acquire([dispatch.message for dispatch in mine], operation, limit=_in_flight_limit(operation))
    for dispatch, turn in zip(mine, turns, strict=True):
        dispatch.turn = turn
        if turn.start is not None:
            run = events.Invocation(message=turn.start, traceparent=turn.traceparent or dispatch.traceparent)
            dispatch.calls = invoker().start(function, events.invocation_payload(run), batch)


def _in_flight_limit(operation: Operation) -> int:
    limit: int = getattr(settings(), operation.concurrency)
    return limit


def _return_failed(dispatches: Sequence[_Dispatch]) -> None:
    """Completes the messages whose calls have failed, while others of the batch wait for a slot.

    The end of the batch may be minutes away. Until then, their slots would be idle and their jobs would wait.
    """
    failed = []
    for dispatch in dispatches:
        if dispatch.outcome is None and dispatch.calls and dispatch.calls.done():
            dispatch.start = dispatch.calls.result()
            if dispatch.start.answer is not Answer.STARTED:
                failed.append(dispatch)
    try:
        _complete_all(failed)
    except BrokerUnavailableError as error:  # they are published when the batch ends
        logger().warning("dependency unavailable", extra={"code": error.code, "reason": error.message})


def _complete_all(dispatches: Sequence[_Dispatch]) -> None:
    """Releases the slots that are not needed, and completes the messages that are not done."""
    _release_unused_slots(dispatches)
    for dispatch in dispatches:
        if dispatch.outcome is None:
            dispatch.outcome = _complete(dispatch)


def _release_unused_slots(dispatches: Sequence[_Dispatch]) -> None:
    """Releases the slots of runs that Lambda refused, once. Their jobs are ready again, for any message.

    A run that it may have started keeps its slot until it claims the job, or the slot expires. So does one that an
    earlier delivery of the message acquired.
    """
    try:
        for dispatch in dispatches:
            run = dispatch.turn.start if dispatch.turn else None
            is_refused = dispatch.start is not None and dispatch.start.answer is Answer.REFUSED
            if run and is_refused and dispatch.slot is Slot.ACQUIRED and not dispatch.is_released:
                slots.release(run.ref, run.operation, run.attempt)
                dispatch.is_released = True
    except CacheUnavailableError as error:  # they expire
        logger().warning("dependency unavailable", extra={"code": error.code, "reason": error.message})


def _complete(dispatch: _Dispatch) -> str:
    """Requeues a message with which no run was started, unless no job was ready. Returns the outcome."""
    if dispatch.start and dispatch.start.answer is Answer.STARTED:
        return _STARTED
    if dispatch.slot in (Slot.STALE, Slot.ENDED):
        return dispatch.slot
    message, traceparent = dispatch.message, dispatch.traceparent
    if dispatch.slot is Slot.FULL:
        rabbitmq.publish(message, traceparent)
        return _REQUEUED
    if dispatch.start and dispatch.turn and dispatch.turn.start:
        details = {"job_id": dispatch.turn.start.job_id, "calls": dispatch.start.calls, "reason": dispatch.start.reason}
        logger().warning("run not started", extra=details)
    rabbitmq.publish_delayed(message, traceparent, OUTAGE_DELAY_S)
    return _DELAYED
