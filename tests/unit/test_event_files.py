"""The sample events in `tests/events`, with which a single function can be invoked, are valid."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from api.main import handler
from darkroom import ids
from darkroom.contracts.operations import Operation
from darkroom.jobs import events, uploads
from darkroom.services import rabbitmq
from darkroom.tracing import continue_trace
from functions.authorize.app import handler as authorize

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"


def load(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_every_function_has_a_sample_event() -> None:
    functions = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")} | {"api"}

    missing = [name for name in functions if not (EVENTS / f"{name}.json").exists()]

    assert len(functions) == 14
    assert missing == []


@pytest.mark.parametrize("operation", Operation)
def test_event_of_an_operation_names_that_operation(operation: Operation) -> None:
    message = events.parse_invocation(load(operation)).message

    assert message.operation is operation
    assert ids.parse_id(message.job_id) == message.job_id


def test_authorize_event_has_a_malformed_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_BUCKET", "a-bucket")

    answer = authorize(load("authorize"), None)

    assert (answer["isAuthorized"], answer["context"]["denied"]) == (True, "credentials_invalid")


def test_ingest_event_reports_one_upload() -> None:
    (key,) = events.uploaded_keys(load("ingest"))

    _, file_id = uploads.parse_key(key)
    assert ids.parse_id(file_id) == file_id


def test_object_directly_below_the_prefix_of_uploads_has_no_file_id() -> None:
    assert uploads.parse_key("uploads/photo.jpg") == ("photo.jpg", "")


def test_settle_event_reports_a_run_that_crashed() -> None:
    failed = events.parse_failed_invocation(load("settle"))

    assert failed.invocation.message.operation is Operation.VIDEO_COMPRESS
    assert "signal: killed" in failed.reason


def test_dispatch_event_has_a_valid_message() -> None:
    (delivery,) = events.deliveries(load("dispatch"))

    message = events.parse_message(delivery.body)
    assert (delivery.queue, delivery.message_id) == (rabbitmq.queue_of(message.operation), message.job_id)
    assert continue_trace(delivery.headers["traceparent"]) == delivery.headers["traceparent"]


@pytest.mark.usefixtures("open_access")
def test_api_event_requests_the_operations() -> None:
    response = handler(load("api"), cast(Any, None))

    assert response["statusCode"] == 200
    assert len(json.loads(response["body"])["operations"]) == len(Operation)


def test_authorize_event_has_a_key_whose_checksum_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_BUCKET", "unused")
    monkeypatch.setenv("DARKROOM_KEY_ENVIRONMENT", "local")

    answer = authorize(load("authorize"), None)

    assert answer["isAuthorized"] is True
    assert answer["context"]["denied"] == "credentials_invalid"
