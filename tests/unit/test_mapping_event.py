"""The event that the local mapping builds, compared with AWS's documentation and with what dispatch reads."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika
import pytest

from darkroom.jobs import events
from localstack.aws import rmq_event
from localstack.aws.rmq_event import Source

Event = dict[str, Any]

EVENTS = Path(__file__).parents[1] / "events"
SOURCE = Source("arn:aws:mq:us-east-1:000000000000:broker:b:1", "darkroom.resize", "/")


def recorded(name: str) -> Event:
    event: Event = json.loads((EVENTS / name).read_text())
    return event


def message(headers: Event | None = None, body: bytes = b"{}", **properties: Any) -> Event:
    record = rmq_event.record(pika.BasicProperties(headers=headers, **properties), body, redelivered=False)
    message: Event = json.loads(record)
    return message


def test_event_equals_the_documented_one() -> None:
    # Given the message from which AWS's documentation shows the event
    documented = recorded("rmq_documented.json")
    properties = pika.BasicProperties(
        content_type="text/plain",
        headers={"header1": "value1", "header2": "value2", "numberInHeader": 10},
        delivery_mode=1,
        priority=34,
        expiration="60000",
        timestamp=33 * 60 + 41,
        user_id="AIDACKCEVSQ6C2EXAMPLE",
    )
    body = b'{"timeout":0,"data":"CZrmf0Gw8Ov4bqLQxD4E"}'

    # When it is delivered
    source = Source(documented["eventSourceArn"], "pizzaQueue", "/")
    event = json.loads(rmq_event.event(source, [rmq_event.record(properties, body, redelivered=False)]))

    # Then only the size differs: the documentation shows one that does not match its data
    (documented_message,) = documented["rmqMessagesByQueue"]["pizzaQueue::/"]
    assert documented_message["basicProperties"]["bodySize"] != len(body)
    documented_message["basicProperties"]["bodySize"] = len(body)
    assert event == documented


def test_event_has_the_documented_order_of_keys() -> None:
    documented = recorded("rmq_documented.json")["rmqMessagesByQueue"]["pizzaQueue::/"][0]

    ours = message({})

    assert list(ours) == list(documented)
    assert list(ours["basicProperties"]) == list(documented["basicProperties"])


def test_event_of_our_messages_equals_the_sample_event() -> None:
    expected = recorded("rmq.json")
    records = []
    for entry in expected["rmqMessagesByQueue"]["darkroom.resize::/"]:
        headers = {
            name: bytes(value["bytes"]).decode() if isinstance(value, dict) else value
            for name, value in entry["basicProperties"]["headers"].items()
        }
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=entry["basicProperties"]["messageId"],
            timestamp=int(datetime(2026, 11, 24, 3, 4, 5, tzinfo=UTC).timestamp()),
            headers=headers,
        )
        records.append(rmq_event.record(properties, base64.b64decode(entry["data"]), redelivered=entry["redelivered"]))

    event = json.loads(rmq_event.event(Source(expected["eventSourceArn"], "darkroom.resize", "/"), records))

    assert event == expected


def test_dispatch_reads_the_event_of_the_mapping() -> None:
    body = b'{"job_id":"019ab000-0000-7000-8000-000000000001","tenant":"default","operation":"resize","attempt":2}'
    record = rmq_event.record(
        pika.BasicProperties(message_id="m", headers={"traceparent": "00-abc"}), body, redelivered=True
    )

    (delivery,) = events.deliveries(json.loads(rmq_event.event(SOURCE, [record])))

    assert (delivery.queue, delivery.message_id, delivery.body) == ("darkroom.resize", "m", body)
    assert delivery.headers == {"traceparent": "00-abc"}


def test_text_headers_become_signed_bytes_as_in_java() -> None:
    assert message({"name": "ü"})["basicProperties"]["headers"] == {"name": {"bytes": [-61, -68]}}


def test_headers_of_every_amqp_type_become_json() -> None:
    headers = {
        "flag": True,
        "number": 2**40,
        "real": 0.5,
        "exact": Decimal("1.25"),
        "nothing": None,
        "raw": b"\x00\xff",
        "moment": datetime(2026, 11, 24, 15, 0, 9, tzinfo=UTC),
        "table": {"reason": "expired"},
        "list": ["a", 1],
    }

    assert message(headers)["basicProperties"]["headers"] == {
        "flag": True,
        "number": 2**40,
        "real": 0.5,
        "exact": 1.25,
        "nothing": None,
        "raw": [0, -1],
        "moment": "Nov 24, 2026, 3:00:09 PM",
        "table": {"reason": {"bytes": [101, 120, 112, 105, 114, 101, 100]}},
        "list": [{"bytes": [97]}, 1],
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Jan 1, 1970, 12:00:00 AM"),
        (43_200, "Jan 1, 1970, 12:00:00 PM"),
        (951_827_696, "Feb 29, 2000, 12:34:56 PM"),
        (1_798_761_599, "Dec 31, 2026, 11:59:59 PM"),
    ],
)
def test_timestamp_is_in_american_format(seconds: int, text: str) -> None:
    assert message(timestamp=seconds)["basicProperties"]["timestamp"] == text


def test_message_without_properties_has_every_key_with_null() -> None:
    properties = message(None, b"12345")["basicProperties"]

    assert {name for name, value in properties.items() if value is not None} == {"bodySize"}
    assert properties["bodySize"] == 5


def test_queue_and_virtual_host_are_quoted_in_the_key() -> None:
    event = json.loads(rmq_event.event(Source("arn", 'odd "queue"', "ünder"), []))

    assert event["rmqMessagesByQueue"] == {'odd "queue"::ünder': []}
    assert rmq_event.overhead_bytes(Source("arn", "q", "/")) == len(rmq_event.event(Source("arn", "q", "/"), []))
