"""The failed invocations of functions, from their logs: a fault must explain each."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.faults.kinds import BROKER, CACHE, EMULATOR, FUNCTIONS, STORAGE, InjectedFault, killed

#: Exceptions that say that a dependency is unavailable: what must have been affected then.
_OUTAGES = {
    "StorageUnavailableError": STORAGE,
    "CacheUnavailableError": CACHE,
    "CacheFullError": CACHE,
    "BrokerUnavailableError": BROKER,
    "LambdaUnavailableError": FUNCTIONS,
    "SecretsUnavailableError": EMULATOR,
}

#: The codes of the same errors in log lines.
_CODES = {
    "storage_unavailable": STORAGE,
    "cache_unavailable": CACHE,
    "cache_full": CACHE,
    "broker_unavailable": BROKER,
    "lambda_unavailable": FUNCTIONS,
    "secrets_unavailable": EMULATOR,
}

#: Seconds after a fault in which its effects may still show: connections are made anew, a process starts.
SLACK_S = 20.0

#: How the detail of a failed step of sweep begins.
_STEP = "step "

#: Log events per request.
_PAGE = 10_000

_TRACEBACK = "Traceback (most recent call last):"
_TIMED_OUT = "Task timed out"
#: What the emulator reports when the process of a function ends.
_DEATHS = ("Worker ", "No JSON response from worker", "[Errno ")
_DURATION = re.compile(r"Duration: (\d+) ms")
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)")


@dataclass(frozen=True)
class FailedInvocation:
    """One invocation that failed, or one step of sweep that did. `error` is the name of the exception, or a text."""

    function: str
    started: float
    ended: float
    error: str
    detail: str

    def explained(self, faults: Sequence[InjectedFault]) -> bool:
        """Whether a fault at that time explains it."""
        name = self.error.rpartition(".")[2]
        needed = _OUTAGES.get(name) or _CODES.get(name)
        if self.function == "sweep" and not self.detail.startswith(_STEP):
            needed = None  # its steps fail, sweep does not
        if name == "died":
            needed = killed(self.function)
        if name == _TIMED_OUT:
            needed = EMULATOR
        return any(
            needed in fault.affects or (needed in _OUTAGES.values() and EMULATOR in fault.affects)
            for fault in faults
            if fault.overlaps(self.started, self.ended, slack_s=SLACK_S)
        )

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.function}: {self.error}: {self.detail[:160]} ({self.ended - self.started:.1f} s)"


def failures(logs: Any, stack: str, functions: Sequence[str]) -> list[FailedInvocation]:
    """Every failed invocation of the functions, and every failed step of sweep, by a client of CloudWatch Logs."""
    found: list[FailedInvocation] = []
    for function in functions:
        for lines in _invocations(logs, f"/aws/lambda/{stack}-{function}"):
            found += failures_in(function, lines)
    return found


def _invocations(logs: Any, group: str) -> Iterator[list[tuple[int, str]]]:
    """The log lines of each invocation, with their times in milliseconds."""
    streams: dict[str, list[tuple[int, str]]] = defaultdict(list)
    since = 0
    while True:
        try:
            events = logs.filter_log_events(logGroupName=group, startTime=since, limit=_PAGE)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return
        last = events[-1]["timestamp"] if len(events) >= _PAGE else None
        for event in events:
            if event["timestamp"] != last:  # the next page begins with all events of this millisecond
                streams[event["logStreamName"]].append((event["timestamp"], event["message"]))
        if last is None:
            break
        since = last
    yield from streams.values()


def failures_in(function: str, lines: list[tuple[int, str]]) -> Iterator[FailedInvocation]:
    """What failed in one invocation, from its log lines with their times in milliseconds."""
    ended = lines[-1][0] / 1000
    duration = _DURATION.search(lines[-1][1])
    started = ended - (int(duration[1]) / 1000 if duration else 0)
    texts = [text for _, text in lines]
    own = [text for text in texts if not text.startswith(("START ", "END ", "REPORT "))]
    for text in own:
        step = _failed_step(text)
        if step:
            yield FailedInvocation(function, started, ended, *step)
    failure = _failure(own)
    if failure:
        yield FailedInvocation(function, started, ended, *failure)


def _failure(own: list[str]) -> tuple[str, str] | None:
    for text in own:
        if _TIMED_OUT in text:
            return _TIMED_OUT, text
        if text.startswith(_DEATHS):
            return "died", text
    if _TRACEBACK in own:
        for text in reversed(own):
            found = _EXCEPTION.match(text)
            if found:
                return found[1], text
    return None


def _failed_step(text: str) -> tuple[str, str] | None:
    """The code and the reason of a failed step of sweep, if the line reports one."""
    if "sweep step failed" not in text:
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return str(entry.get("code", "")), f"{_STEP}{entry.get('step')}: {entry.get('reason', '')}"
