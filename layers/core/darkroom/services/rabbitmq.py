"""RabbitMQ: the topology, and publishing into it. The only module that knows the name of a queue.

Publishing is persistent, mandatory and confirmed: when `publish` returns, the broker has the message on
disk, on a majority of its nodes.

    exchange darkroom (direct)      -> darkroom.<operation>            consumed by dispatch
    default exchange                -> darkroom.<operation>.retry.<n>s  waits, then goes back to darkroom.<operation>
    exchange darkroom.dead (fanout) -> darkroom.dead                   consumed by settle
    default exchange                -> darkroom.parked                 messages nobody can act on, kept for people
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from darkroom.config import settings
from darkroom.contracts.jobs import Message
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError
from darkroom.services import aws

EXCHANGE = "darkroom"
DEAD_EXCHANGE = "darkroom.dead"
DEAD_QUEUE = "darkroom.dead"
PARKED_QUEUE = "darkroom.parked"

#: Seconds before attempt 2, 3, 4 and 5: the longest wait of each, of which jitter takes up to half.
RETRY_DELAYS_S = (2, 10, 60, 300)

#: How often the broker hands out one message before it is dead-lettered. Dispatch never rejects for a job's sake,
#: so this counts only trouble of its own.
DELIVERY_LIMIT = 20

#: Milliseconds that a parked message is kept.
PARKED_TTL_MS = 14 * 86_400_000

#: Seconds without a sign of life after which either side gives a connection up. A frozen Lambda environment keeps
#: its socket but answers nothing, so this must outlast the usual pause between two invocations.
_HEARTBEAT_S = 300
_TIMEOUT_S = 5

#: AMQP's code for an exchange or a queue that is not there.
_NOT_FOUND = 404

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Parked:
    """A message that nobody could act on, why, and since when (seconds since 1970)."""

    body: bytes
    message_id: str | None
    reason: str
    parked_at_s: int


def queue_of(operation: Operation) -> str:
    """The queue that an operation's jobs wait in."""
    return f"{EXCHANGE}.{operation}"


def retry_queue_of(operation: Operation, delay_s: int) -> str:
    """The queue in which a message waits up to `delay_s` before it goes back to the operation's queue."""
    return f"{queue_of(operation)}.retry.{delay_s}s"


def retry_delay_s(failed_attempt: int) -> int:
    """How long to wait at most after the attempt `failed_attempt` (from 1) has failed."""
    return RETRY_DELAYS_S[min(failed_attempt, len(RETRY_DELAYS_S)) - 1]


def declare_topology() -> None:
    """Declares every exchange and queue. Harmless when they exist already."""
    _on_channel(_declare_all)


def mend_topology() -> bool:
    """Declares every exchange and queue if one is missing: the broker may have lost its disk. Whether one was."""
    try:
        _on_channel(_look_for_all)
    except BrokerUnavailableError as error:
        if not (isinstance(error.__cause__, ChannelClosedByBroker) and error.__cause__.reply_code == _NOT_FOUND):
            raise
    else:
        return False
    declare_topology()
    return True


def _look_for_all(channel: BlockingChannel) -> None:
    for exchange in (EXCHANGE, DEAD_EXCHANGE):
        channel.exchange_declare(exchange, passive=True)
    for queue in _queues():
        channel.queue_declare(queue, passive=True)


def _queues() -> Iterator[str]:
    yield from (PARKED_QUEUE, DEAD_QUEUE)
    for operation in Operation:
        yield queue_of(operation)
        yield from (retry_queue_of(operation, delay_s) for delay_s in RETRY_DELAYS_S)


def _declare_all(channel: BlockingChannel) -> None:
    channel.exchange_declare(EXCHANGE, "direct", durable=True)
    channel.exchange_declare(DEAD_EXCHANGE, "fanout", durable=True)
    _declare(channel, PARKED_QUEUE, {"x-message-ttl": PARKED_TTL_MS})
    _declare(channel, DEAD_QUEUE, _dead_letter_to("", PARKED_QUEUE) | {"x-delivery-limit": DELIVERY_LIMIT})
    channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE)
    for operation in Operation:
        queue = queue_of(operation)
        _declare(channel, queue, _dead_letter_to(DEAD_EXCHANGE, queue) | {"x-delivery-limit": DELIVERY_LIMIT})
        channel.queue_bind(queue, EXCHANGE, routing_key=queue)
        for delay_s in RETRY_DELAYS_S:
            arguments = _dead_letter_to(EXCHANGE, queue) | {"x-message-ttl": delay_s * 1000}
            _declare(channel, retry_queue_of(operation, delay_s), arguments)


def _declare(channel: BlockingChannel, queue: str, arguments: dict[str, Any]) -> None:
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"} | arguments)


def _dead_letter_to(exchange: str, routing_key: str) -> dict[str, Any]:
    # At-least-once dead-lettering keeps a message until its new queue has confirmed it; it demands reject-publish.
    return {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": routing_key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def publish(message: Message, traceparent: str) -> None:
    """Queues a message. Raises BrokerUnavailableError unless the broker has confirmed that it holds it."""
    _publish(EXCHANGE, queue_of(message.operation), message.model_dump_json().encode(), message.job_id, traceparent)


def publish_later(message: Message, traceparent: str, delay_s: int) -> None:
    """Queues a message that becomes visible after half of `delay_s` (one of RETRY_DELAYS_S) to all of it."""
    jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing
    queue = retry_queue_of(message.operation, delay_s)
    body = message.model_dump_json().encode()
    _publish("", queue, body, message.job_id, traceparent, expires_ms=int(delay_s * 1000 * jitter))


def park(body: bytes, message_id: str | None, reason: str, *, since_s: int | None = None) -> None:
    """Puts a message that nobody can act on aside, with the reason in its header `x-reason`.

    `since_s` is when it was put aside first (seconds since 1970), default now.
    """
    _publish("", PARKED_QUEUE, body, message_id, None, reason=reason, at_s=since_s)


def review_parked(limit: int, judge: Callable[[Parked], bool]) -> None:
    """Shows up to `limit` parked messages to `judge`, oldest first, and removes those for which it returns True.

    The others are parked anew, behind the rest: a quorum queue would count a message that is merely given back as
    delivered, and drop it in the end.
    """
    for _ in range(min(limit, _on_channel(_count_parked))):
        method, properties, body = _on_channel(lambda channel: channel.basic_get(PARKED_QUEUE))
        if method is None:
            return
        headers = properties.headers or {}
        parked = Parked(body, properties.message_id, str(headers.get("x-reason", "")), properties.timestamp or 0)
        if not judge(parked):
            park(parked.body, parked.message_id, parked.reason, since_s=parked.parked_at_s)
        _channel().basic_ack(method.delivery_tag)


def _count_parked(channel: BlockingChannel) -> int:
    return int(channel.queue_declare(PARKED_QUEUE, passive=True).method.message_count)


def depth(operation: Operation) -> int:
    """Messages that wait in an operation's queue."""
    answer = _on_channel(lambda channel: channel.queue_declare(queue_of(operation), passive=True))
    return int(answer.method.message_count)


def ping() -> None:
    """Raises BrokerUnavailableError unless the broker lets us in and has our queues.

    Uses a connection of its own, so that it may be called beside other work, in any thread.
    """
    try:
        with contextlib.closing(_open()) as connection:
            connection.channel().queue_declare(queue_of(Operation.RESIZE), passive=True)
    except (AMQPError, OSError) as error:
        raise BrokerUnavailableError(f"The message broker does not answer: {error!r}") from error


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
    _on_channel(lambda channel: channel.basic_publish(exchange, routing_key, body, properties, mandatory=True))


def _on_channel(action: Callable[[BlockingChannel], Answer]) -> Answer:
    try:
        return action(_channel())
    except (AMQPError, OSError):
        close()  # a warm environment may have woken up with a dead connection: once more, on a new one
    try:
        return action(_channel())
    except (AMQPError, OSError) as error:
        close()
        raise BrokerUnavailableError(f"The message broker did not do as asked: {error!r}") from error


def _channel() -> BlockingChannel:
    channel = _connect()
    if channel.is_closed or channel.connection.is_closed:
        close()
        channel = _connect()
    return channel


@lru_cache(maxsize=1)
def _connect() -> BlockingChannel:
    channel = _open().channel()
    channel.confirm_delivery()
    return channel


def _open() -> pika.BlockingConnection:
    config = settings()
    parameters = pika.URLParameters(config.broker_url)
    account = aws.secret(config.broker_secret_arn)
    parameters.credentials = pika.PlainCredentials(account["username"], account["password"])
    parameters.heartbeat = _HEARTBEAT_S
    parameters.socket_timeout = _TIMEOUT_S
    parameters.blocked_connection_timeout = _TIMEOUT_S
    # A confirm is waited for without end, and a machine that is gone sends no reset: the kernel has to give up.
    parameters.tcp_options = {"TCP_USER_TIMEOUT": _TIMEOUT_S * 1000}
    parameters.client_properties = {"connection_name": config.function_prefix}
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it logs as errors, we raise
    return pika.BlockingConnection(parameters)


def close() -> None:
    """Ends the connection, so that the next call opens a new one."""
    if _connect.cache_info().currsize:
        channel = _connect()
        _connect.cache_clear()
        with contextlib.suppress(AMQPError, OSError):
            channel.connection.close()
