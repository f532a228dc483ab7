"""RabbitMQ: the topology, and publishing to it. The only module that names the queues.

Messages are persistent, mandatory and confirmed: when `publish` returns, a majority of the broker's nodes has stored
the message on disk.

    exchange darkroom (direct)      -> darkroom.<operation>           consumed by dispatch
    default exchange                -> darkroom.<operation>.retry.<n>s delay, then dead-lettered to darkroom.<operation>
    exchange darkroom.dead (fanout) -> darkroom.dead                  consumed by settle
    default exchange                -> darkroom.parked                messages that cannot be processed, for operators
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker

from darkroom.contracts.jobs import Message
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError
from darkroom.services.amqp import AmqpConnection, ReceivedMessage
from darkroom.services.broker_connection import SharedConnection, open_connection
from darkroom.timeouts import current_timeouts

EXCHANGE = "darkroom"
DEAD_EXCHANGE = "darkroom.dead"
DEAD_QUEUE = "darkroom.dead"
PARKED_QUEUE = "darkroom.parked"

#: Longest delay before attempts 2, 3, 4 and 5, in seconds. Jitter shortens each by up to half.
RETRY_DELAYS_S = (2, 10, 60, 300)

#: How often the broker delivers a message before it dead-letters it. Dispatch rejects no message because of its job, so
#: this counts failures of dispatch alone.
DELIVERY_LIMIT = 20

#: Milliseconds for which a parked message is kept.
PARKED_TTL_MS = 14 * 86_400_000

#: Seconds for the declaration of every exchange and queue. A quorum queue is written to disk when it is declared.
_DECLARATION_LIMIT_S = 30

#: AMQP's reply code for an exchange or a queue that does not exist.
_NOT_FOUND = 404

_shared = SharedConnection()


@dataclass(frozen=True)
class ParkedMessage:
    """A message that is invalid or names an unknown job, why, and when it was parked (seconds since 1970)."""

    body: bytes
    message_id: str | None
    reason: str
    parked_at_s: int


def queue_of(operation: Operation) -> str:
    """The queue of an operation."""
    return f"{EXCHANGE}.{operation}"


def retry_queue_of(operation: Operation, delay_s: int) -> str:
    """The queue that delays messages by up to `delay_s` before they return to the operation's queue."""
    return f"{queue_of(operation)}.retry.{delay_s}s"


def retry_delay_s(failed_attempt: int) -> int:
    """The longest delay after the attempt `failed_attempt`, counted from 1."""
    return RETRY_DELAYS_S[min(failed_attempt, len(RETRY_DELAYS_S)) - 1]


def declare_topology(*, limit_s: float = _DECLARATION_LIMIT_S) -> None:
    """Declares every exchange and queue within `limit_s`. Those that exist stay as they are."""
    _shared.call(_declare_all, limit_s=limit_s)


def repair_topology() -> bool:
    """Declares every exchange and queue if one is missing, as when the broker lost its disk. Returns whether it did."""
    try:
        _shared.call(_check_all)
    except BrokerUnavailableError as error:
        if not (isinstance(error.__cause__, ChannelClosedByBroker) and error.__cause__.reply_code == _NOT_FOUND):
            raise
    else:
        return False
    declare_topology()
    return True


def _check_all(connection: AmqpConnection, deadline: float) -> None:
    def check_exchange(name: str) -> None:
        connection.request(
            lambda channel, reply: channel.exchange_declare(name, passive=True, callback=reply), deadline
        )

    check_exchange(EXCHANGE)
    check_exchange(DEAD_EXCHANGE)
    for queue in _queues():
        _depth_of(queue, connection, deadline)


def _queues() -> Iterator[str]:
    yield from (PARKED_QUEUE, DEAD_QUEUE)
    for operation in Operation:
        yield queue_of(operation)
        yield from (retry_queue_of(operation, delay_s) for delay_s in RETRY_DELAYS_S)


def _declare_all(connection: AmqpConnection, deadline: float) -> None:
    def declare_exchange(name: str, kind: str) -> None:
        connection.request(
            lambda channel, reply: channel.exchange_declare(name, kind, durable=True, callback=reply), deadline
        )

    def declare_queue(name: str, arguments: dict[str, Any]) -> None:
        quorum = {"x-queue-type": "quorum"} | arguments
        connection.request(
            lambda channel, reply: channel.queue_declare(name, durable=True, arguments=quorum, callback=reply), deadline
        )

    def bind(queue: str, exchange: str, routing_key: str | None = None) -> None:
        connection.request(
            lambda channel, reply: channel.queue_bind(queue, exchange, routing_key, callback=reply), deadline
        )

    declare_exchange(EXCHANGE, "direct")
    declare_exchange(DEAD_EXCHANGE, "fanout")
    declare_queue(PARKED_QUEUE, {"x-message-ttl": PARKED_TTL_MS})
    declare_queue(DEAD_QUEUE, _dead_letter_to("", PARKED_QUEUE) | {"x-delivery-limit": DELIVERY_LIMIT})
    bind(DEAD_QUEUE, DEAD_EXCHANGE)
    for operation in Operation:
        queue = queue_of(operation)
        declare_queue(queue, _dead_letter_to(DEAD_EXCHANGE, queue) | {"x-delivery-limit": DELIVERY_LIMIT})
        bind(queue, EXCHANGE, routing_key=queue)
        for delay_s in RETRY_DELAYS_S:
            arguments = _dead_letter_to(EXCHANGE, queue) | {"x-message-ttl": delay_s * 1000}
            declare_queue(retry_queue_of(operation, delay_s), arguments)


def _dead_letter_to(exchange: str, routing_key: str) -> dict[str, Any]:
    # At-least-once dead-lettering keeps a message until its new queue has confirmed it. It requires reject-publish.
    return {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": routing_key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def publish(message: Message, traceparent: str) -> None:
    """Queues a message. Raises BrokerUnavailableError unless the broker confirms it."""
    _publish(EXCHANGE, queue_of(message.operation), message.model_dump_json().encode(), message.job_id, traceparent)


def publish_delayed(message: Message, traceparent: str, delay_s: int) -> None:
    """Queues a message with a delay between half of `delay_s` (one of RETRY_DELAYS_S) and all of it."""
    jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads retries, is no secret
    queue = retry_queue_of(message.operation, delay_s)
    body = message.model_dump_json().encode()
    _publish("", queue, body, message.job_id, traceparent, expires_ms=int(delay_s * 1000 * jitter))


def park(body: bytes, message_id: str | None, reason: str, *, since_s: int | None = None) -> None:
    """Queues a message that is invalid, or names an unknown job, for operators. The header `x-reason` has the reason.

    `since_s` is when it was first parked (seconds since 1970), by default now.
    """
    _publish("", PARKED_QUEUE, body, message_id, None, reason=reason, at_s=since_s)


def review_parked(limit: int, handle: Callable[[ParkedMessage], bool]) -> None:
    """Passes up to `limit` parked messages to `handle`, oldest first, and removes those for which it returns True.

    The others are published to the end of the queue: a quorum queue counts a message that is requeued as delivered, and
    drops it at its delivery limit.
    """
    for _ in range(min(limit, _shared.call(partial(_depth_of, PARKED_QUEUE)))):
        received = _shared.call(lambda connection, deadline: connection.get(PARKED_QUEUE, deadline))
        if received is None:
            return
        properties = received.properties
        reason = str((properties.headers or {}).get("x-reason", ""))
        parked = ParkedMessage(received.body, properties.message_id, reason, properties.timestamp or 0)
        if not handle(parked):
            park(parked.body, parked.message_id, parked.reason, since_s=parked.parked_at_s)
        _shared.call(partial(_acknowledge, received))


def _acknowledge(received: ReceivedMessage, connection: AmqpConnection, deadline: float) -> None:
    if connection is not received.connection:
        raise BrokerUnavailableError("The connection was lost, so the message is still in its queue.")
    connection.acknowledge(received, deadline)


def depth(operation: Operation) -> int:
    """How many messages are in an operation's queue."""
    return _shared.call(partial(_depth_of, queue_of(operation)))


def depths() -> dict[str, int]:
    """How many messages are in each queue, by the name of the queue."""

    def read_all(connection: AmqpConnection, deadline: float) -> dict[str, int]:
        return {queue: _depth_of(queue, connection, deadline) for queue in _queues()}

    return _shared.call(read_all)


def _depth_of(queue: str, connection: AmqpConnection, deadline: float) -> int:
    answer = connection.request(
        lambda channel, reply: channel.queue_declare(queue, passive=True, callback=reply), deadline
    )
    return int(answer.method.message_count)


def ping() -> None:
    """Raises BrokerUnavailableError unless the broker accepts our credentials and has our queues.

    Opens a connection of its own, and does so also while the broker is skipped after a failure.
    """
    deadline = time.monotonic() + current_timeouts().broker_s
    connection = open_connection(deadline)
    try:
        _depth_of(queue_of(Operation.RESIZE), connection, deadline)
    finally:
        connection.close()


def _publish(
    exchange: str,
    routing_key: str,
    body: bytes,
    message_id: str | None,
    traceparent: str | None,
    *,
    expires_ms: int | None = None,
    reason: str | None = None,
    at_s: int | None = None,
) -> None:
    headers = {"traceparent": traceparent, "x-reason": reason}
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent.value,
        message_id=message_id,
        timestamp=int(time.time()) if at_s is None else at_s,
        expiration=None if expires_ms is None else str(expires_ms),
        headers={name: text for name, text in headers.items() if text is not None},
    )
    _shared.call(lambda connection, deadline: connection.publish(exchange, routing_key, body, properties, deadline))


def close() -> None:
    """Closes the connection. The next call opens a new one."""
    _shared.close()
