"""Custom resource: makes RabbitMQ's exchanges and queues exist before anything consumes from them.

CloudFormation cannot create queues. It invokes this function with the address that it waits at for an answer, and it
waits until the resource's time-out when none comes; so every path through `handler` answers, once.
"""

import json
import urllib.request
from typing import Any, Protocol

from darkroom import broker
from darkroom.log import logger

#: One fixed id: with a new one CloudFormation would delete what it takes for the old topology.
PHYSICAL_ID = "darkroom-topology"

#: Seconds for the answer, of which a second attempt follows a failed one.
_ANSWER_TIMEOUT_S = 10
_ANSWER_ATTEMPTS = 2

#: CloudFormation takes answers of up to 4,096 bytes.
_REASON_LIMIT = 1_000


class LambdaContext(Protocol):
    """What this handler reads of Lambda's context."""

    log_stream_name: str


def handler(event: dict[str, Any], _context: LambdaContext | None = None) -> dict[str, str]:
    """Declares the topology on Create and Update and leaves it alone on Delete, since queues may hold jobs."""
    answer = {
        "Status": "SUCCESS",
        "Reason": "The topology is declared.",
        "PhysicalResourceId": PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    try:
        if event["RequestType"] == "Delete":
            answer["Reason"] = "Queues stay, because they may hold jobs."
        else:
            broker.declare_topology()
    except Exception as error:  # noqa: BLE001 - whatever it is, CloudFormation must hear of it instead of waiting
        logger().exception("topology not declared")
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:_REASON_LIMIT]}
    _answer(event["ResponseURL"], answer)
    logger().info("answered CloudFormation", request_type=event["RequestType"], status=answer["Status"])
    return answer


def _answer(url: str, answer: dict[str, str]) -> None:
    """PUTs the answer to the presigned address, which wants an empty content type. Raises OSError."""
    body = json.dumps(answer).encode()
    for attempt in range(1, _ANSWER_ATTEMPTS + 1):
        request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S):  # noqa: S310 - CloudFormation's own URL
                return
        except OSError:
            if attempt == _ANSWER_ATTEMPTS:
                raise
