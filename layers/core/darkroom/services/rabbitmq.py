"""RabbitMQ: the topology, and publishing to it. The only module that names the queues.

Messages are persistent, mandatory and confirmed: when `publish` returns, a majority of the broker's nodes has stored
the message on disk.

    exchange darkroom (direct)      -> darkroom.<operation>           consumed by dispatch
    default exchange                -> darkroom.<operation>.retry.<n>s delay, then dead-lettered to darkroom.<operation>
    exchange darkroom.dead (fanout) -> darkroom.dead                  consumed by settle
    default exchange                -> darkroom.parked                messages that cannot be processed, for operators
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
from darkroom.errors import BrokerUnavailableError, SecretsUnavailableError
from darkroom.services import aws

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

#: Seconds without traffic after which either side closes the connection. A frozen Lambda environment keeps its socket
#: but sends nothing, so this must be longer than the usual pause between two invocations.
_HEARTBEAT_S = 300
_TIMEOUT_S = 5

#: AMQP's reply code for an exchange or a queue that does not exist.
_NOT_FOUND = 404

_Answer = TypeVar("_Answer")


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


def declare_topology() -> None:
    """Declares every exchange and queue. Those that exist stay as they are."""
    _on_channel(_declare_all)


def repair_topology() -> bool:
    """Declares every exchange and queue if one is missing, as when the broker lost its disk. Returns whether it did."""
    try:
        _on_channel(_check_all)
    except BrokerUnavailableError as error:
        if not (isinstance(error.__cause__, ChannelClosedByBroker) and error.__cause__.reply_code == _NOT_FOUND):
            raise
    else:
        return False
    declare_topology()
    return True


def _check_all(channel: BlockingChannel) -> None:
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
    for _ in range(min(limit, _on_channel(_count_parked))):
        method, properties, body = _on_channel(lambda channel: channel.basic_get(PARKED_QUEUE))
        if method is None:
            return
        headers = properties.headers or {}
        parked = ParkedMessage(body, properties.message_id, str(headers.get("x-reason", "")), properties.timestamp or 0)
        if not handle(parked):
            park(parked.body, parked.message_id, parked.reason, since_s=parked.parked_at_s)
        _channel().basic_ack(method.delivery_tag)


def _count_parked(channel: BlockingChannel) -> int:
    return int(channel.queue_declare(PARKED_QUEUE, passive=True).method.message_count)


def depth(operation: Operation) -> int:
    """How many messages are in an operation's queue."""
    answer = _on_channel(lambda channel: channel.queue_declare(queue_of(operation), passive=True))
    return int(answer.method.message_count)


def depths() -> dict[str, int]:
    """How many messages are in each queue, by its name."""
    return _on_channel(
        lambda channel: {
            queue: int(channel.queue_declare(queue, passive=True).method.message_count) for queue in _queues()
        }
    )


def ping() -> None:
    """Raises BrokerUnavailableError unless the broker accepts our credentials and has our queues.

    Opens a connection of its own, so any thread may call it.
    """
    try:
        with contextlib.closing(_open()) as connection:
            connection.channel().queue_declare(queue_of(Operation.RESIZE), passive=True)
    except (AMQPError, OSError) as error:
        raise BrokerUnavailableError(f"The message broker is unavailable: {error!r}") from error


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


def _on_channel(action: Callable[[BlockingChannel], _Answer]) -> _Answer:
    try:
        return action(_channel())
    except (AMQPError, OSError):
        close()  # a warm environment may have a dead connection: retry on a new one
    try:
        return action(_channel())
    except (AMQPError, OSError) as error:
        close()
        raise BrokerUnavailableError(f"The RabbitMQ request failed: {error!r}") from error


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
    try:
        account = aws.secret(config.broker_secret_arn)
    except SecretsUnavailableError as error:
        raise BrokerUnavailableError(error.message) from error
    parameters.credentials = pika.PlainCredentials(account["username"], account["password"])
    parameters.heartbeat = _HEARTBEAT_S
    parameters.socket_timeout = _TIMEOUT_S
    parameters.blocked_connection_timeout = _TIMEOUT_S
    # pika waits for a confirm without limit, and a machine that is gone sends no reset: the kernel has to time out.
    parameters.tcp_options = {"TCP_USER_TIMEOUT": _TIMEOUT_S * 1000}
    parameters.client_properties = {"connection_name": config.function_prefix}
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # its errors are raised as well
    return pika.BlockingConnection(parameters)


def close() -> None:
    """Closes the connection. The next call opens a new one."""
    if _connect.cache_info().currsize:
        channel = _connect()
        _connect.cache_clear()
        with contextlib.suppress(AMQPError, OSError):
            channel.connection.close()
