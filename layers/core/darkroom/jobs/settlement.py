"""Reports failed attempts to settle, which retries jobs: a function that decodes media cannot publish messages."""

from botocore.exceptions import BotoCoreError, ClientError

from darkroom.config import settings
from darkroom.contracts.jobs import FailedAttempt
from darkroom.errors import LambdaUnavailableError
from darkroom.jobs import events
from darkroom.services import aws


def report(failed: FailedAttempt) -> None:
    """Starts settle for a failed attempt. Raises LambdaUnavailableError."""
    name = f"{settings().function_prefix}-settle"
    payload = events.failure_report_payload(failed)
    try:
        answer = aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)
        answer["Payload"].read()  # empty, but a connection is reused only after the body was read
    except (BotoCoreError, ClientError) as error:
        raise LambdaUnavailableError(f"{name} could not be started: {error}") from error
