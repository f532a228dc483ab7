"""Follows the logs of the deployed functions in CloudWatch Logs: `python -m localstack.aws.function_logs`."""

import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localstack.aws.clients import create_client
from localstack.settings import Settings, load

#: Seconds between two requests, and the age up to which existing lines are shown at first.
_PAUSE_S = 1.0
_RECENT_S = 60.0

#: Lines that Lambda adds to every invocation; they are not shown.
_PLATFORM = ("START RequestId", "END RequestId", "REPORT RequestId")


def main() -> None:
    """Prints new lines until the process is stopped. Waits for a stack that does not run yet."""
    settings = load()
    logs = create_client(settings, "logs")
    since = {"": _now_ms() - int(_RECENT_S * 1000)}
    while True:
        try:
            for group in groups(settings, logs):
                since[group] = _print_new(logs, group, since.get(group, since[""]))
        except (BotoCoreError, ClientError):
            pass  # the emulator does not run; its own log shows why
        time.sleep(_PAUSE_S)


def groups(settings: Settings, logs: Any) -> list[str]:
    """The log groups of the stack's functions."""
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/aws/lambda/{settings.stack}-")
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def _print_new(logs: Any, group: str, since_ms: int) -> int:
    """Prints the lines since a time; returns the time from which the next call continues."""
    latest = since_ms
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since_ms):
        for event in page["events"]:
            latest = max(latest, event["timestamp"] + 1)
            if not event["message"].startswith(_PLATFORM):
                print(f"{group.rpartition('/')[2]:10} {event['message'].rstrip()}", flush=True)
    return latest


def _now_ms() -> int:
    return int(time.time() * 1000)


if __name__ == "__main__":
    main()
