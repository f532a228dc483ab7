"""Settle: retries or fails the job of a run that did not return, or of a message that was dead-lettered.

Operators invoke it to list the parked messages (invalid, or of unknown jobs) with `{"parked": "list"}`, and to publish
those that are valid again with `{"parked": "replay"}`.
"""

from typing import Any

from darkroom.contracts.jobs import Message
from darkroom.errors import OUTAGES, DarkroomError, LambdaUnavailableError, ProcessingTimedOutError, WorkerDiedError
from darkroom.jobs import events, ledger, lifecycle
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import views
from darkroom.tracing import new_traceparent

_OUTAGES_BY_NAME = {kind.__name__: kind for kind in OUTAGES}

#: Bytes of a parked message that are listed.
SHOWN_BYTES = 1000


def handler(event: events.Event, _context: object) -> dict[str, Any]:
    """Handles an operator's command, a batch of dead letters, or the on-failure record of an invocation."""
    command = events.parse_parked_command(event)
    if command is not None:
        return {"list": _list_parked, "replay": _replay_parked}[command.parked](command.limit)
    if events.is_rabbitmq(event):
        for delivery in events.deliveries(event):
            _settle_dead_letter(delivery)
        return {"outcome": "settled"}
    failed = events.parse_failed_invocation(event)
    logger().warning("invocation failed", extra={"reason": failed.reason})
    return {"outcome": _settle(failed.invocation.message, _error_of(failed))}


def _error_of(failed: events.FailedInvocation) -> DarkroomError:
    if failed.never_started:
        return LambdaUnavailableError("Lambda had no capacity for the run.")
    if failed.timed_out:
        return ProcessingTimedOutError()  # not retried: another run would take as long
    if failed.error_type in _OUTAGES_BY_NAME:  # the run could not record the outage itself
        return _OUTAGES_BY_NAME[failed.error_type]()
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
    try:
        message = events.parse_message(delivery.body)
    except events.MalformedMessageError as error:
        rabbitmq.park(delivery.body, delivery.message_id, str(error))
        return
    outcome = _settle(message, WorkerDiedError("The job's message could not be delivered."))
    if outcome == "unknown":
        rabbitmq.park(delivery.body, delivery.message_id, lifecycle.UNKNOWN_JOB)


def _settle(message: Message, error: DarkroomError) -> str:
    logger().warning("settling", extra={"job_id": message.job_id, "attempt": message.attempt, "reason": error.message})
    job = ledger.read_job(message.job_id)
    if job is None:
        return "unknown"
    result = ledger.read_result(message.job_id)
    if result is not None:
        lifecycle.restore(job, result)
        return "ended"
    view = views.fetch(message.job_id)
    if view is not None and view.attempt > message.attempt:
        return "stale"
    lifecycle.retry(job, error, attempt=message.attempt)
    return "settled"
