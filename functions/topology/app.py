"""Custom resource: declares RabbitMQ's exchanges and queues before any function consumes from them.

CloudFormation cannot create queues. It invokes this function with a URL for the response, and waits for it until the
resource's time-out. So every path through `handler` sends one response.
"""

import json
import urllib.request

from darkroom.jobs import events
from darkroom.log import logger
from darkroom.services import rabbitmq

#: Fixed, because CloudFormation would send a Delete for the old id after a new one.
PHYSICAL_ID = "darkroom-topology"

#: Seconds that sending the response may take, and attempts to send it.
_RESPONSE_TIMEOUT_S = 10
_RESPONSE_ATTEMPTS = 2

#: Characters of an error that are sent. CloudFormation accepts responses of up to 4,096 bytes.
_REASON_LIMIT = 1_000


def handler(event: events.Event, _context: object) -> dict[str, str]:
    """Declares the topology on Create and Update. On Delete it does nothing, since queues may hold jobs."""
    status, reason = _apply(event["RequestType"])
    response = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    _send(event["ResponseURL"], json.dumps(response).encode())
    logger().info("responded to CloudFormation", extra={"request": event["RequestType"], "status": status})
    return response


def _apply(request: str) -> tuple[str, str]:
    """Applies a request. Returns the status and the reason for CloudFormation."""
    if request == "Delete":
        return "SUCCESS", "Exchanges and queues are kept, because they may hold jobs."
    try:
        rabbitmq.declare_topology()
    except Exception as error:  # noqa: BLE001 - CloudFormation must get a response to every error, or it waits
        logger().exception("topology not declared")
        return "FAILED", f"{type(error).__name__}: {error}"[:_REASON_LIMIT]
    return "SUCCESS", "Every exchange and queue is declared."


def _send(url: str, body: bytes) -> None:
    """PUTs the response to the presigned URL, whose signature requires an empty content type. Raises OSError."""
    for attempt in range(1, _RESPONSE_ATTEMPTS + 1):
        request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - the URL is CloudFormation's
        try:
            with urllib.request.urlopen(request, timeout=_RESPONSE_TIMEOUT_S):  # noqa: S310
                return
        except OSError:
            if attempt == _RESPONSE_ATTEMPTS:
                raise
