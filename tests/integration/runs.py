"""What the tests of runs share: operations of one line, and the start of a run as Lambda starts it."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient

from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import lifecycle, worker
from darkroom.media.task import Rendition, Task
from functions.settle import app as settle
from tests.support.lambda_context import LambdaContext

RESIZE = Operation.RESIZE

Operate = Callable[[Task, Any], list[Rendition]]


@contextmanager
def settle_at_once() -> Iterator[list[dict[str, Any]]]:
    """Starts settle at once with each report of a run, as Lambda does soon. Yields the list of the reports."""
    call: Any = BaseClient._make_api_call
    reports: list[dict[str, Any]] = []

    def invoke(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation != "Invoke":
            return call(self, operation, arguments)
        assert arguments["FunctionName"].endswith("-settle")
        reports.append(json.loads(arguments["Payload"]))
        settle.handler(reports[-1], None)
        return {"StatusCode": 202, "Payload": io.BytesIO()}

    with patch.object(BaseClient, "_make_api_call", invoke):
        yield reports


def copy(task: Task, _params: Any) -> list[Rendition]:
    """An operation that returns its source."""
    return [Rendition(task.source.read(), "png", "image/png", width_px=1, height_px=1)]


def fail_in_an_outage(_task: Task, _params: Any) -> list[Rendition]:
    """An operation during an outage of S3."""
    raise StorageUnavailableError("The object store is unavailable.")


def fail_with_a_defect(_task: Task, _params: Any) -> list[Rendition]:
    """An operation with a defect."""
    raise ZeroDivisionError


def run(job: Job, operate: Operate = copy, attempt: int = 1, remaining_ms: int = 60_000) -> str:
    """Runs an attempt of a job. Returns its outcome."""
    handler = worker.bind(job.operation, operate)
    event = {
        "message": json.loads(lifecycle.message_for(job, attempt).model_dump_json()),
        "traceparent": job.traceparent,
    }
    return handler(event, LambdaContext(remaining_ms))["outcome"]
