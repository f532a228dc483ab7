"""Events of AWS are parsed as they are documented; invalid messages raise MalformedMessageError."""

import base64
import json
from typing import Any

import pytest

from darkroom.contracts.jobs import FailedAttempt, Failure, Message
from darkroom.contracts.operations import Operation
from darkroom.jobs import events

MESSAGE = Message(job_id="a-job", tenant="default", operation=Operation.RESIZE, attempt=2)
INVOCATION = events.Invocation(message=MESSAGE, traceparent="00-trace")


def batch(headers: dict[str, Any] | None) -> events.Event:
    properties = {"headers": headers, "messageId": "an-id"}
    message = {"basicProperties": properties, "redelivered": False, "data": base64.b64encode(b"{}").decode()}
    return {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"darkroom.resize::/": [message]}}


@pytest.mark.parametrize("octets", [[-61, -87], [195, 169]])
def test_header_texts_are_read_from_signed_and_unsigned_bytes(octets: list[int]) -> None:
    [delivery] = events.deliveries(batch({"name": {"bytes": octets}, "number": 10}))

    assert delivery.headers == {"name": "é"}
    assert (delivery.queue, delivery.body, delivery.message_id) == ("darkroom.resize", b"{}", "an-id")


def test_message_may_have_no_headers() -> None:
    assert events.deliveries(batch(None))[0].headers == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"job_id": "a"}',
        MESSAGE.model_dump_json().replace("resize", "sharpen").encode(),
        MESSAGE.model_dump_json().replace("2", "0").encode(),
        MESSAGE.model_dump_json().replace("}", ',"more":1}').encode(),
    ],
)
def test_invalid_message_is_refused(body: bytes) -> None:
    with pytest.raises(events.MalformedMessageError):
        events.parse_message(body)


def test_invocation_is_parsed_from_its_own_payload() -> None:
    payload = events.invocation_payload(INVOCATION)

    assert events.parse_invocation(json.loads(payload)) == INVOCATION


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ({"errorMessage": "2026-11-24T04:00:00Z 1f2e Task timed out after 60.00 seconds"}, ""),
        ({"errorMessage": "RequestId: 1f2e Error: Runtime exited with error: signal: killed"}, ""),
        ({"errorMessage": "Redis is unavailable.", "errorType": "CacheUnavailableError"}, "CacheUnavailableError"),
        (None, ""),
    ],
)
def test_failed_invocation_has_the_type_of_the_error(answer: dict[str, str] | None, error_type: str) -> None:
    record = {
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": json.loads(events.invocation_payload(INVOCATION)),
        "responsePayload": answer,
    }

    failed = events.parse_failed_invocation(record)

    assert (failed.error_type, failed.invocation.message) == (error_type, MESSAGE)
    assert failed.reason


def test_report_of_a_failed_attempt_is_parsed_from_its_own_payload() -> None:
    failure = Failure(code="storage_unavailable", message="The object store is unavailable.")
    failed = FailedAttempt(message=MESSAGE, run="a-run", failure=failure, outage=True)

    assert events.parse_failure_report(json.loads(events.failure_report_payload(failed))) == failed
    assert events.parse_failure_report({"requestPayload": {}}) is None
    with pytest.raises(events.MalformedMessageError):
        events.parse_failure_report({"failed_attempt": {"run": "a-run"}})


@pytest.mark.parametrize(("condition", "never_started"), [("EventAgeExceeded", True), ("RetriesExhausted", False)])
def test_failed_invocation_never_started_if_lambda_had_no_capacity(condition: str, never_started: bool) -> None:
    record = {
        "requestContext": {"condition": condition},
        "requestPayload": json.loads(events.invocation_payload(INVOCATION)),
    }

    assert events.parse_failed_invocation(record).never_started is never_started


def test_keys_of_uploads_are_decoded_and_the_test_event_has_none() -> None:
    record = {"s3": {"object": {"key": "uploads/default/a+b%C3%A9"}}}

    assert events.uploaded_keys({"Records": [record]}) == ["uploads/default/a bé"]
    assert events.uploaded_keys({"Event": "s3:TestEvent"}) == []
