"""The events in `tests/events`, with which people run one function alone, are what the functions take."""

import json
from pathlib import Path

import pytest

from api.main import handler
from darkroom import ids
from darkroom.contracts.operations import Operation
from darkroom.jobs import events, uploads
from darkroom.services import rabbitmq
from darkroom.tracing import continued

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"


def load(name: str) -> dict:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_every_function_has_an_event():
    functions = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")} | {"api"}

    missing = [name for name in functions if not (EVENTS / f"{name}.json").exists()]

    assert len(functions) == 13
    assert missing == []


@pytest.mark.parametrize("operation", Operation)
def test_event_of_an_operation_starts_that_operation(operation):
    message = events.parse_invocation(load(operation)).message

    assert message.operation is operation
    assert ids.parse_id(message.job_id) == message.job_id


def test_ingest_event_announces_one_upload():
    (key,) = events.uploaded_keys(load("ingest"))

    _, file_id = uploads.id_of(key)
    assert ids.parse_id(file_id) == file_id


def test_an_object_that_somebody_put_beside_the_uploads_has_no_file_id():
    assert uploads.id_of("uploads/photo.jpg") == ("photo.jpg", "")


def test_settle_event_tells_of_a_run_that_died():
    failed = events.parse_failed_invocation(load("settle"))

    assert failed.invocation.message.operation is Operation.VIDEO_COMPRESS
    assert not failed.timed_out
    assert "signal: killed" in failed.reason


def test_dispatch_event_carries_a_message_of_ours():
    (delivery,) = events.deliveries(load("dispatch"))

    message = events.parse_message(delivery.body)
    assert (delivery.queue, delivery.message_id) == (rabbitmq.queue_of(message.operation), message.job_id)
    assert continued(delivery.headers["traceparent"]) == delivery.headers["traceparent"]


def test_api_event_asks_for_the_operations():
    answer = handler(load("api"), None)

    assert answer["statusCode"] == 200
    assert len(json.loads(answer["body"])["operations"]) == len(Operation)
