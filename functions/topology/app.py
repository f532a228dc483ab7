"""Custom resource: makes RabbitMQ's exchanges and queues exist before anything consumes from them.

CloudFormation cannot create queues. It invokes this function with the address that it waits at for an answer, and it
waits until the resource's time-out when none comes; so every path through `handler` answers, once.
"""

import json
import urllib.request

from darkroom.jobs import events
from darkroom.log import logger
from darkroom.services import rabbitmq

#: One fixed id: with a new one CloudFormation would delete what it takes for the old topology.
PHYSICAL_ID = "darkroom-topology"

#: Seconds that CloudFormation's address may take for an answer, and how often it is sent at most.
_ANSWER_TIMEOUT_S = 10
_ANSWER_ATTEMPTS = 2

#: Characters of an error that are passed on; CloudFormation takes answers of up to 4,096 bytes.
_REASON_LIMIT = 1_000


def handler(event: events.Event, _context: object) -> dict[str, str]:
    """Declares the topology on Create and Update and leaves it alone on Delete, since queues may hold jobs."""
    status, reason = _carry_out(event["RequestType"])
    answer = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    _send(event["ResponseURL"], json.dumps(answer).encode())
    logger().info("answered CloudFormation", extra={"request": event["RequestType"], "status": status})
    return answer


def _carry_out(request: str) -> tuple[str, str]:
    """Status and reason for CloudFormation."""
    if request == "Delete":
        return "SUCCESS", "Exchanges and queues stay, because they may hold jobs."
    try:
        rabbitmq.declare_topology()
    except Exception as error:  # noqa: BLE001 - whatever it is, CloudFormation must hear of it instead of waiting
        logger().exception("topology not declared")
        return "FAILED", f"{type(error).__name__}: {error}"[:_REASON_LIMIT]
    return "SUCCESS", "Every exchange and queue is declared."


def _send(url: str, body: bytes) -> None:
    """PUTs the answer to the presigned address, whose signature wants an empty content type. Raises OSError."""
    for attempt in range(1, _ANSWER_ATTEMPTS + 1):
        request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - CloudFormation's
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S):  # noqa: S310
                return
        except OSError:
            if attempt == _ANSWER_ATTEMPTS:
                raise
