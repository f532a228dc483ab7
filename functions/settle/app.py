"""Settle: retries or fails the job of an attempt that failed, of a run that did not return, or of a dead letter.

Operators invoke it to list the parked messages (invalid, or of unknown jobs) with `{"parked": "list"}`, and to publish
those that are valid again with `{"parked": "replay"}`.
"""

from typing import Any

from darkroom.contracts.jobs import Failure, Message, Status
from darkroom.errors import (
    OUTAGES,
    DarkroomError,
    InternalError,
    LambdaUnavailableError,
    SourceReplacedError,
    WorkerDiedError,
)
from darkroom.jobs import events, ledger, lifecycle, retries
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import views
from darkroom.tenants import deletions
from darkroom.tracing import new_traceparent

#: The errors that a run raises when it cannot report them, by name.
_RAISED: dict[str, type[DarkroomError]] = {
    kind.__name__: kind for kind in (*OUTAGES, InternalError, SourceReplacedError)
}

#: Bytes of a parked message that are listed.
SHOWN_BYTES = 1000


def handler(event: events.Event, _context: object) -> dict[str, Any]:
    """Handles an operator's command, a batch of dead letters, a run's report, or Lambda's record of a failed run."""
    command = events.parse_parked_command(event)
    if command is not None:
        return {"list": _list_parked, "replay": _replay_parked}[command.parked](command.limit)
    if events.is_rabbitmq(event):
        for delivery in events.deliveries(event):
            _settle_dead_letter(delivery)
        return {"outcome": "settled"}
    report = events.parse_failure_report(event)
    if report is not None:
        return {"outcome": _settle(report.message, report.failure, outage=report.outage, run=report.run)}
    failed = events.parse_failed_invocation(event)
    logger().warning("invocation failed", extra={"reason": failed.reason})
    error = _error_of(failed)
    message, failure = failed.invocation.message, lifecycle.failure_of(error)
    return {"outcome": _settle(message, failure, outage=error.outage, started=not failed.never_started)}


def _error_of(failed: events.FailedInvocation) -> DarkroomError:
    """The error of a run that did not return. Lambda stops only a run that hangs: others observe their deadline."""
    if failed.never_started:
        return LambdaUnavailableError("Lambda had no capacity for the run.")
    if failed.error_type in _RAISED:
        return _RAISED[failed.error_type]()
    return WorkerDiedError("The process that ran the job crashed.")


def _list_parked(limit: int) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []

    def append(parked: rabbitmq.ParkedMessage) -> bool:
        listed.append(
            {
                "reason": parked.reason,
                "message_id": parked.message_id,
                "parked_at_s": parked.parked_at_s,
                "body": parked.body[:SHOWN_BYTES].decode(errors="replace"),
            }
        )
        return False

    rabbitmq.review_parked(limit, append)
    return {"parked": listed}


def _replay_parked(limit: int) -> dict[str, Any]:
    outcomes = {"replayed": 0, "kept": 0}

    def replay(parked: rabbitmq.ParkedMessage) -> bool:
        try:
            message = events.parse_message(parked.body)
        except events.MalformedMessageError:
            outcomes["kept"] += 1
            return False
        rabbitmq.publish(message, new_traceparent())
        outcomes["replayed"] += 1
        return True

    rabbitmq.review_parked(limit, replay)
    return outcomes


def _settle_dead_letter(delivery: events.Delivery) -> None:
    """Retries the job of a message that dispatch could not deliver. That is an outage: its run never started."""
    try:
        message = events.parse_message(delivery.body)
    except events.MalformedMessageError as error:
        rabbitmq.park(delivery.body, delivery.message_id, str(error))
        return
    failure = lifecycle.failure_of(LambdaUnavailableError())
    _settle(message, failure, outage=True, started=False)


def _settle(message: Message, failure: Failure, *, outage: bool, run: str | None = None, started: bool = True) -> str:
    """Settles an attempt that failed, by a run that reports this or is known to be dead. Returns the outcome.

    One that never `started` says nothing about another run that has claimed the job.
    """
    logger().warning("settling", extra={"job_id": message.job_id, "attempt": message.attempt, "code": failure.code})
    job = ledger.read_job(message.ref)
    if job is None and deletions.is_deleted(message.tenant):
        return "deleted"
    if job is None:
        rabbitmq.park(message.model_dump_json().encode(), message.job_id, lifecycle.UNKNOWN_JOB)
        return "unknown"
    result = ledger.read_result(message.ref)
    if result is not None:
        lifecycle.restore(job, result)
        return "ended"
    view = views.fetch(message.ref)
    if view is not None and (view.attempt > message.attempt or (view.status is Status.RUNNING and not started)):
        return "stale"
    retries.retry(job, failure, outage=outage, attempt=message.attempt, run=run)
    return "settled"
