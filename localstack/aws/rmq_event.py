"""The event that a Lambda function receives from a mapping on Amazon MQ for RabbitMQ.

Shape: https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html. AWS's poller is written in Java, which shows in
the format: a string in the headers is an object with its bytes, as numbers from -128 to 127; a time is text in American
English.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

#: Largest payload of one invocation. A batch closes before it exceeds it; a single message that exceeds it is dropped.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


class Properties(Protocol):
    """The properties of an AMQP message, named as in pika."""

    content_type: str | None
    content_encoding: str | None
    headers: Mapping[str, Any] | None
    delivery_mode: int | None
    priority: int | None
    correlation_id: str | None
    reply_to: str | None
    expiration: str | None
    message_id: str | None
    timestamp: int | None
    type: str | None
    user_id: str | None
    app_id: str | None
    cluster_id: str | None


@dataclass(frozen=True)
class Source:
    """The broker, queue and virtual host of an event's messages."""

    arn: str
    queue: str
    virtual_host: str


def record(properties: Properties, body: bytes, *, redelivered: bool) -> bytes:
    """One message of the event, as JSON."""
    return json.dumps(
        {
            "basicProperties": _properties(properties, len(body)),
            "redelivered": redelivered,
            "data": base64.b64encode(body).decode(),
        }
    ).encode()


def event(source: Source, records: Sequence[bytes]) -> bytes:
    """The event of one batch, as JSON."""
    key = json.dumps(f"{source.queue}::{source.virtual_host}")
    head = f'{{"eventSource": "aws:rmq", "eventSourceArn": {json.dumps(source.arn)}, "rmqMessagesByQueue": {{{key}: ['
    return head.encode() + b", ".join(records) + b"]}}"


def overhead_bytes(source: Source) -> int:
    """The size of an event without messages."""
    return len(event(source, []))


def _properties(properties: Properties, body_bytes: int) -> dict[str, Any]:
    return {
        "contentType": properties.content_type,
        "contentEncoding": properties.content_encoding,
        "headers": None if properties.headers is None else _value(properties.headers),
        "deliveryMode": properties.delivery_mode,
        "priority": properties.priority,
        "correlationId": properties.correlation_id,
        "replyTo": properties.reply_to,
        "expiration": properties.expiration,
        "messageId": properties.message_id,
        "timestamp": None if properties.timestamp is None else _time(_from_seconds(properties.timestamp)),
        "type": properties.type,
        "userId": properties.user_id,
        "appId": properties.app_id,
        "clusterId": properties.cluster_id,
        "bodySize": body_bytes,
    }


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return {"bytes": _java_bytes(value.encode())}
    if isinstance(value, bytes | bytearray):
        return _java_bytes(value)
    if isinstance(value, Mapping):
        return {name: _value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, datetime):
        return _time(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return float(value)  # AMQP's decimal


def _java_bytes(content: bytes | bytearray) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in content]


def _from_seconds(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time(moment: datetime) -> str:
    # `Jan 1, 1970, 12:33:41 AM`: no leading zero in day and hour, independent of this machine's locale.
    month = _MONTHS[3 * moment.month - 3 : 3 * moment.month]
    hour, half = moment.hour % 12 or 12, "AM" if moment.hour < 12 else "PM"
    return f"{month} {moment.day}, {moment.year}, {hour}:{moment.minute:02}:{moment.second:02} {half}"
