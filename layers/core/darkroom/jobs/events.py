"""Parses the events of RabbitMQ, S3 and failed invocations, which start our functions.

Shapes: https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html (RabbitMQ),
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html (S3),
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html (failed invocations).
"""

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import unquote_plus

from pydantic import Field, ValidationError

from darkroom.contracts.base import Contract, validation_message
from darkroom.contracts.jobs import FailedAttempt, Message

Event = dict[str, Any]

_TOO_OLD = "EventAgeExceeded"


class LambdaContext(Protocol):
    """The part of Lambda's context that functions use."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda stops this invocation."""


class MalformedMessageError(ValueError):
    """A message does not match its contract; the text lists the invalid fields."""


class Invocation(Contract):
    """The payload with which dispatch invokes an operation's function."""

    message: Message
    traceparent: str


class FailureReport(Contract):
    """The payload with which a run tells settle that its attempt failed."""

    failed_attempt: FailedAttempt


class ParkedCommand(Contract):
    """An operator's command to settle about parked messages: `{"parked": "list"}` or `{"parked": "replay"}`."""

    parked: Literal["list", "replay"]
    limit: int = Field(100, ge=1, le=1000)


@dataclass(frozen=True)
class Delivery:
    """One message as an event source mapping delivers it."""

    queue: str
    body: bytes
    message_id: str | None
    headers: dict[str, str]


@dataclass(frozen=True)
class FailedInvocation:
    """A run that did not return, as the on-failure destination reports it.

    `never_started` means that Lambda had no capacity for it in time. `error_type` is the class of the exception that
    the function raised, empty when its process died or Lambda stopped it.
    """

    invocation: Invocation
    never_started: bool
    error_type: str
    reason: str


def is_rabbitmq(event: Event) -> bool:
    """Whether the event is a batch of messages."""
    return event.get("eventSource") == "aws:rmq"


def deliveries(event: Event) -> list[Delivery]:
    """The messages of a batch, in order."""
    return [
        _delivery(queue.partition("::")[0], raw)
        for queue, messages in event["rmqMessagesByQueue"].items()
        for raw in messages
    ]


def _delivery(queue: str, raw: Event) -> Delivery:
    properties = raw["basicProperties"]
    headers = {
        name: bytes(octet & 0xFF for octet in value["bytes"]).decode(errors="replace")  # AWS sends signed bytes
        for name, value in (properties.get("headers") or {}).items()
        if isinstance(value, dict) and "bytes" in value
    }
    return Delivery(queue, base64.b64decode(raw["data"]), properties.get("messageId"), headers)


def parse_message(body: bytes) -> Message:
    """The message in the body of a delivery. Raises MalformedMessageError."""
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        raise MalformedMessageError(validation_message(error)) from error


def invocation_payload(invocation: Invocation) -> bytes:
    """An invocation as JSON."""
    return invocation.model_dump_json().encode()


def parse_invocation(event: Event) -> Invocation:
    """The invocation of an operation's function. Raises MalformedMessageError."""
    try:
        return Invocation.model_validate_json(json.dumps(event))
    except ValidationError as error:
        raise MalformedMessageError(validation_message(error)) from error


def parse_failed_invocation(event: Event) -> FailedInvocation:
    """A failed asynchronous invocation. Raises MalformedMessageError unless it is that of an operation's function."""
    answer = event.get("responsePayload") or {}
    condition = event.get("requestContext", {}).get("condition", "")
    reason = str(answer.get("errorMessage") or condition)
    invocation = parse_invocation(event["requestPayload"])
    return FailedInvocation(
        invocation,
        never_started=condition == _TOO_OLD,
        error_type=str(answer.get("errorType") or ""),
        reason=reason,
    )


def failure_report_payload(failed: FailedAttempt) -> bytes:
    """A run's report to settle as JSON."""
    return FailureReport(failed_attempt=failed).model_dump_json().encode()


def parse_failure_report(event: Event) -> FailedAttempt | None:
    """A run's report to settle, or None for any other event. Raises MalformedMessageError when it is invalid."""
    if "failed_attempt" not in event:
        return None
    try:
        return FailureReport.model_validate_json(json.dumps(event)).failed_attempt
    except ValidationError as error:
        raise MalformedMessageError(validation_message(error)) from error


def parse_parked_command(event: Event) -> ParkedCommand | None:
    """An operator's command, or None for any other event. Raises MalformedMessageError when the command is invalid."""
    if "parked" not in event:
        return None
    try:
        return ParkedCommand.model_validate(event)
    except ValidationError as error:
        raise MalformedMessageError(validation_message(error)) from error


def uploaded_keys(event: Event) -> list[str]:
    """Keys of the new objects in an S3 event. The test event that S3 sends when it is set up has none."""
    return [unquote_plus(record["s3"]["object"]["key"]) for record in event.get("Records", [])]
