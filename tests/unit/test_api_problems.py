"""Errors as clients see them, and the log line of every request."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api import problems
from api.request_log import RequestLog
from darkroom import errors
from darkroom.errors import DarkroomError
from darkroom.log import logger
from darkroom.tracing import new_traceparent, trace_id
from tests.support.gateway import call

pytestmark = pytest.mark.usefixtures("open_access")

SECRET = "amqp://darkroom:hunter2@10.0.0.7"
EVERY_ERROR = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, DarkroomError) and "code" in vars(error)
]


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What is logged."""
    handler = Recorder()
    logger().addHandler(handler)
    yield handler.records
    logging.getLogger(logger().service).removeHandler(handler)


def answer(error: DarkroomError) -> Any:
    scope = {"type": "http", "method": "GET", "path": "/jobs/1", "headers": [], "state": {}}
    return run(problems.on_darkroom_error(Request(scope), error))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Like `asyncio.run`, which would leave the thread without the event loop that the handler uses."""
    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(coroutine)


@pytest.fixture
def made() -> Callable[[type[DarkroomError]], DarkroomError]:
    """Makes an error of any type, with a message that must not reach clients."""

    def make(error: type[DarkroomError]) -> DarkroomError:
        instance = error.__new__(error)
        instance.args = (f"It broke: {SECRET}.",)
        return instance

    return make


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_has_its_status_and_code(
    error: type[DarkroomError], made: Callable[[type[DarkroomError]], DarkroomError]
) -> None:
    response = answer(made(error))
    problem = json.loads(response.body)

    assert response.media_type == "application/problem+json"
    assert response.status_code == problem["status"] == error.http_status
    assert problem["code"] == error.code
    assert problem["instance"] == "/jobs/1"
    assert (response.headers.get("retry-after") is not None) == (error.http_status in (429, 503))


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_internal_details_are_logged_and_not_sent_to_clients(
    error: type[DarkroomError],
    made: Callable[[type[DarkroomError]], DarkroomError],
    lines: list[logging.LogRecord],
) -> None:
    body = answer(made(error)).body.decode()

    if error.http_status < 500:
        assert SECRET in body
        assert not lines
    else:
        assert SECRET not in body
        assert SECRET in lines[-1].__dict__["reason"]


def test_unknown_path_is_a_problem() -> None:
    reply = call("GET", "/nowhere")

    assert (reply.status, reply.json["code"], reply.json["instance"]) == (404, "not_found", "/nowhere")


def test_trailing_slash_is_another_path() -> None:
    assert call("GET", "/operations/").json["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/jobs", "GET, POST"),
        ("PATCH", "/jobs/x", "DELETE, GET"),
        ("DELETE", "/health", "GET"),
        ("GET", "/upload", "POST"),
    ],
)
def test_wrong_method_is_a_problem_and_allow_names_the_right_ones(method: str, path: str, allow: str) -> None:
    reply = call(method, path)

    assert (reply.status, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == allow


def test_unhandled_exception_is_logged_with_its_trace_and_not_sent_to_clients(
    lines: list[logging.LogRecord],
) -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ZeroDivisionError(SECRET)

    traceparent = new_traceparent()
    sent = serve(broken, headers=[(b"traceparent", traceparent.encode())])
    problem = json.loads(sent[1]["body"])

    assert sent[0]["status"] == 500
    assert problem["code"] == "internal_error"
    assert problem["trace_id"] == trace_id(traceparent)
    assert SECRET not in json.dumps(problem)
    assert any(line.exc_info and SECRET in str(line.exc_info[1]) for line in lines)
    assert lines[-1].__dict__["status"] == 500


def test_exception_after_the_start_of_a_response_starts_no_other() -> None:
    async def half(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    assert [message["type"] for message in serve(half)] == ["http.response.start"]


def serve(app: Any, headers: list[tuple[bytes, bytes]] | None = None) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers or [], "query_string": b""}
    run(RequestLog(app)(scope, receive, send))
    return sent


def test_every_request_is_logged_in_one_line_with_route_status_time_and_trace(lines: list[logging.LogRecord]) -> None:
    traceparent = new_traceparent()

    call("GET", "/jobs/17", headers={"traceparent": traceparent})

    assert len(lines) == 1
    line = lines[0].__dict__
    assert (line["method"], line["route"], line["status"], line["code"]) == ("GET", "/jobs/{job_id}", 422, "invalid_id")
    assert line["trace_id"] == trace_id(traceparent)
    assert line["job_id"] == "17"
    assert line["ms"] >= 0


def test_invalid_trace_is_replaced(lines: list[logging.LogRecord]) -> None:
    call("GET", "/operations", headers={"traceparent": "00-zz-zz-01"})

    assert len(lines[0].__dict__["trace_id"]) == 32
