import base64
import json

import pytest

from darkroom.contracts.jobs import Message
from darkroom.contracts.operations import Operation
from darkroom.jobs import events

MESSAGE = Message(job_id="a-job", tenant="default", operation=Operation.RESIZE, attempt=2)


def batch(headers):
    properties = {"headers": headers, "messageId": "an-id"}
    message = {"basicProperties": properties, "redelivered": False, "data": base64.b64encode(b"{}").decode()}
    return {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"darkroom.resize::/": [message]}}


@pytest.mark.parametrize("octets", [[-61, -87], [195, 169]])
def test_header_texts_are_read_from_signed_and_unsigned_bytes(octets):
    [delivery] = events.deliveries(batch({"name": {"bytes": octets}, "number": 10}))

    assert delivery.headers == {"name": "é"}
    assert (delivery.queue, delivery.body, delivery.message_id) == ("darkroom.resize", b"{}", "an-id")


def test_a_message_without_headers_has_none():
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
def test_a_body_that_is_no_message_is_told_apart(body):
    with pytest.raises(events.MalformedMessageError):
        events.parse_message(body)


def test_a_message_survives_its_way_through_an_invocation():
    payload = events.invocation_payload(events.Invocation(message=MESSAGE, traceparent="00-trace"))

    assert events.parse_invocation(json.loads(payload)) == events.Invocation(message=MESSAGE, traceparent="00-trace")


@pytest.mark.parametrize(
    ("answer", "timed_out"),
    [
        ({"errorMessage": "2026-11-24T04:00:00Z 1f2e Task timed out after 60.00 seconds"}, True),
        ({"errorMessage": "RequestId: 1f2e Error: Runtime exited with error: signal: killed"}, False),
        (None, False),
    ],
)
def test_a_failed_run_tells_whether_it_ran_out_of_time(answer, timed_out):
    record = {
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": json.loads(
            events.invocation_payload(events.Invocation(message=MESSAGE, traceparent="00-trace"))
        ),
        "responsePayload": answer,
    }

    failed = events.parse_failed_invocation(record)

    assert (failed.timed_out, failed.invocation.message) == (timed_out, MESSAGE)
    assert failed.reason


@pytest.mark.parametrize(("condition", "never_began"), [("EventAgeExceeded", True), ("RetriesExhausted", False)])
def test_a_failed_run_tells_whether_lambda_had_no_room_for_it(condition, never_began):
    invocation = events.Invocation(message=MESSAGE, traceparent="00-trace")
    record = {
        "requestContext": {"condition": condition},
        "requestPayload": json.loads(events.invocation_payload(invocation)),
    }

    assert events.parse_failed_invocation(record).never_began is never_began


def test_keys_of_uploads_are_decoded_and_the_test_event_has_none():
    record = {"s3": {"object": {"key": "uploads/default/a+b%C3%A9"}}}

    assert events.uploaded_keys({"Records": [record]}) == ["uploads/default/a bé"]
    assert events.uploaded_keys({"Event": "s3:TestEvent"}) == []
