"""Settle: a run ended without an answer, or a message was dead-lettered. Its job is tried again or failed.

Operators ask it for the messages that nobody could act on, with the event `{"parked": "list"}`, and have them tried
once more, when what was wrong has been mended, with `{"parked": "replay"}`.
"""

from typing import Any

from darkroom.contracts.jobs import Message
from darkroom.errors import OUTAGES, DarkroomError, LambdaUnavailableError, WorkerDiedError
from darkroom.jobs import events, ledger, lifecycle
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import views
from darkroom.tracing import new_traceparent

_OUTAGES = {kind.__name__: kind for kind in OUTAGES}

#: How much of a parked message is shown.
SHOWN_BYTES = 1000


def handler(event: events.Event, _context: object) -> dict[str, Any]:
    """Settles a failed invocation (the on-failure destination's record), a batch of dead letters, or an operator."""
    command = events.parse_parked_command(event)
    if command is not None:
        return {"list": _list_parked, "replay": _replay_parked}[command.parked](command.limit)
    if events.is_rabbitmq(event):
        for delivery in events.deliveries(event):
            _settle_dead_letter(delivery)
        return {"outcome": "settled"}
    failed = events.parse_failed_invocation(event)
    logger().warning("a run ended without an answer", extra={"reason": failed.reason})
    return {"outcome": _settle(failed.invocation.message, _reason_of(failed))}


def _reason_of(failed: events.FailedInvocation) -> DarkroomError:
    if failed.never_began:
        return LambdaUnavailableError("Lambda had no room for the run.")
    if failed.timed_out:
        return lifecycle.timed_out()
    if failed.error_type in _OUTAGES:  # it was raised where there was no telling anybody
        return _OUTAGES[failed.error_type]()
    return WorkerDiedError("The process that ran the job died.")


def _list_parked(limit: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def show(parked: rabbitmq.Parked) -> bool:
        found.append(
            {
                "reason": parked.reason,
                "message_id": parked.message_id,
                "parked_at_s": parked.parked_at_s,
                "body": parked.body[:SHOWN_BYTES].decode(errors="replace"),
            }
        )
        return False

    rabbitmq.review_parked(limit, show)
    return {"parked": found}


def _replay_parked(limit: int) -> dict[str, Any]:
    outcomes = {"replayed": 0, "kept": 0}

    def replay(parked: rabbitmq.Parked) -> bool:
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
        rabbitmq.park(delivery.body, delivery.message_id, "the message names a job that was never accepted")


def _settle(message: Message, error: DarkroomError) -> str:
    logger().warning("settling", extra={"job_id": message.job_id, "attempt": message.attempt, "reason": error.message})
    job = ledger.read_job(message.job_id)
    if job is None:
        return "unknown"
    result = ledger.read_result(message.job_id)
    if result is not None:
        lifecycle.restore(job, result)
        return "ended"
    view = views.find(message.job_id)
    if view is not None and view.attempt > message.attempt:
        return "stale"
    lifecycle.try_again(job, error, attempt=message.attempt)
    return "settled"
