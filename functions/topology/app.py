"""Custom resource: declares RabbitMQ's exchanges and queues before any function consumes from them.

CloudFormation cannot create queues. It invokes this function with a URL for the response, and waits for it until the
resource's time-out. So every path through `handler` sends one response.
"""

import json
import time
import urllib.request
from dataclasses import replace

from darkroom.errors import ServiceError
from darkroom.jobs import events
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.timeouts import BACKGROUND, use_timeouts

#: Fixed, because CloudFormation would send a Delete for the old id after a new one.
PHYSICAL_ID = "darkroom-topology"

#: Seconds for which a declaration that meets an outage is repeated, and between two attempts. A failure rolls the whole
#: stack back, and a name of a broker that was just created may not be known yet.
RETRY_FOR_S = 60.0
_PAUSE_S = 3.0

#: The most seconds of one attempt, after the secret was read.
ATTEMPT_LIMIT_S = 20.0

#: Seconds that sending the response may take, and attempts to send it.
RESPONSE_TIMEOUT_S = 10
RESPONSE_ATTEMPTS = 2

#: The secret is read with one request per attempt, since this function repeats the whole attempt.
TIMEOUTS = replace(BACKGROUND, storage_attempts=1)

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
    use_timeouts(TIMEOUTS)
    try:
        _declare()
    except Exception as error:  # noqa: BLE001 - CloudFormation must get a response to every error, or it waits
        logger().exception("topology not declared")
        return "FAILED", f"{type(error).__name__}: {error}"[:_REASON_LIMIT]
    return "SUCCESS", "Every exchange and queue is declared."


def _declare() -> None:
    """Declares the topology. Repeats this while a dependency is unavailable."""
    retry_until = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            rabbitmq.declare_topology(limit_s=ATTEMPT_LIMIT_S)
            return
        except ServiceError as error:
            if time.monotonic() + _PAUSE_S > retry_until:
                raise
            logger().warning("topology not declared yet", extra={"code": error.code, "reason": error.message})
        time.sleep(_PAUSE_S)


def _send(url: str, body: bytes) -> None:
    """PUTs the response to the presigned URL, whose signature requires an empty content type. Raises OSError."""
    for attempt in range(1, RESPONSE_ATTEMPTS + 1):
        request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - the URL is CloudFormation's
        try:
            with urllib.request.urlopen(request, timeout=RESPONSE_TIMEOUT_S):  # noqa: S310
                return
        except OSError:
            if attempt == RESPONSE_ATTEMPTS:
                raise
