"""Settle: a run ended without an answer, or a message was dead-lettered. Its job is tried again or failed."""

from darkroom import broker, events, ledger, lifecycle, store
from darkroom.contracts import Message
from darkroom.errors import DarkroomError, WorkerDiedError
from darkroom.log import logger


def handler(event: events.Event, _context: object) -> dict[str, str]:
    """Settles a failed invocation (the on-failure destination's record) or a batch of dead letters."""
    if events.is_rabbitmq(event):
        for delivery in events.deliveries(event):
            _settle_dead_letter(delivery)
        return {"outcome": "settled"}
    failed = events.parse_failed_invocation(event)
    error: DarkroomError = WorkerDiedError(f"The process that ran the job died: {failed.reason}.")
    if failed.timed_out:
        error = lifecycle.timed_out()
    return {"outcome": _settle(failed.invocation.message, error)}


def _settle_dead_letter(delivery: events.Delivery) -> None:
    try:
        message = events.parse_message(delivery.body)
    except events.MalformedMessageError as error:
        broker.park(delivery.body, delivery.message_id, str(error))
        return
    outcome = _settle(message, WorkerDiedError("The job's message could not be delivered."))
    if outcome == "unknown":
        broker.park(delivery.body, delivery.message_id, "the message names a job that was never accepted")


def _settle(message: Message, error: DarkroomError) -> str:
    logger().warning("settling", extra={"job_id": message.job_id, "attempt": message.attempt, "reason": error.message})
    job = ledger.read_job(message.job_id)
    if job is None:
        return "unknown"
    ending = ledger.read_ending(message.job_id)
    if ending is not None:
        store.end(job.job_id, job.operation, ending)
        return "ended"
    view = store.view(message.job_id)
    if view is not None and view.attempt > message.attempt:
        return "stale"
    lifecycle.try_again(job, error, attempt=message.attempt)
    return "settled"
