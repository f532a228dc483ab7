"""Starts many runs at the same time with Lambda's Invoke API, and repeats the calls that fail.

A call that gets no answer may have started its run. It is repeated all the same: of all runs of an attempt, one can
claim the job.

The requests are signed with botocore and sent with urllib3: a call of botocore's client takes twice the CPU time, and
each queue has only one environment for dispatch.
"""

import http
import random
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.handlers import add_recursion_detection_header
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from darkroom.services import aws
from darkroom.timeouts import current_timeouts

#: Calls at the same time. Each takes 20 to 30 ms, so that 100 allow for more than 3,000 a second.
CONCURRENCY = 100

#: Seconds before a call is repeated: after the first failure, and at most. Jitter shortens each by up to half.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 20.0

#: Calls for one run while Lambda starts others of its batch. While it starts none, calls go on until the deadline.
CALLS_WHILE_AVAILABLE = 4

#: The shortest time limit of a call, in seconds, for one that begins just before the deadline.
_SHORTEST_TIMEOUT_S = 1.0


class Answer(StrEnum):
    """Whether Lambda starts the run. UNKNOWN: Lambda failed or did not respond, so it may or may not."""

    STARTED = "started"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Start:
    """The outcome of all calls for one run. `reason` is why the last one failed.

    The answer is UNKNOWN when that of any call is, unless another one has started the run.
    """

    answer: Answer
    calls: int
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """What the runs of one batch share: the time (monotonic) until which calls are repeated, and whether Lambda works.

    `available` is set once Lambda has started a run of the batch.
    """

    deadline: float
    available: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Reply:
    answer: Answer
    reason: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True)
class _Response:
    """An HTTP response, whatever class urllib3 has for it: Lambda's runtimes have version 1.26 or 2."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Invoker:
    """Calls one endpoint of Lambda. Thread-safe."""

    def __init__(self, client: Any) -> None:
        self._endpoint = urlsplit(client.meta.endpoint_url)
        self._region = client.meta.region_name
        self._credentials = aws.credentials()
        self._connections = _connections(client.meta.endpoint_url)
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="invoke")

    def start(self, function: str, payload: bytes, batch: Batch) -> Future[Start]:
        """Starts an asynchronous run of a function, in another thread. Repeats the calls that fail."""
        return self._threads.submit(self._start, function, payload, batch)

    def _start(self, function: str, payload: bytes, batch: Batch) -> Start:
        answer, calls = Answer.REFUSED, 0
        if time.monotonic() >= batch.deadline:  # a large batch whose first calls took all the time
            return Start(answer, calls, "no time was left for a call")
        while True:
            reply = self._call(function, payload, batch.deadline)
            calls += 1
            if reply.answer is Answer.STARTED:
                batch.available.set()
                return Start(Answer.STARTED, calls)
            if reply.answer is Answer.UNKNOWN:
                answer = Answer.UNKNOWN
            jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads calls, is no secret
            pause_s = max(reply.retry_after_s, jitter * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (calls - 1)))
            enough = calls >= CALLS_WHILE_AVAILABLE and batch.available.is_set()
            if enough or time.monotonic() + pause_s >= batch.deadline:
                return Start(answer, calls, reply.reason)
            time.sleep(pause_s)

    def _call(self, function: str, payload: bytes, deadline: float) -> _Reply:
        try:
            response = self._send(function, payload, deadline - time.monotonic())
        except (ConnectTimeoutError, NewConnectionError, BotoCoreError) as error:  # nothing was sent
            return _Reply(Answer.REFUSED, repr(error))
        except HTTPError as error:
            return _Reply(Answer.UNKNOWN, repr(error))
        if response.status == http.HTTPStatus.ACCEPTED:
            return _Reply(Answer.STARTED)
        refused = http.HTTPStatus.BAD_REQUEST <= response.status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        kind = response.headers.get("x-amzn-ErrorType", "")
        reason = f"status {response.status} {kind}: {response.data[:300].decode(errors='replace')}"
        return _Reply(Answer.REFUSED if refused else Answer.UNKNOWN, reason, _retry_after_s(response))

    def _send(self, function: str, payload: bytes, remaining_s: float) -> _Response:
        path = f"{self._endpoint.path.rstrip('/')}/2015-03-31/functions/{quote(function)}/invocations"
        headers = {"Content-Type": "application/json", "User-Agent": "darkroom", "X-Amz-Invocation-Type": "Event"}
        url = f"{self._endpoint.scheme}://{self._endpoint.netloc}{path}"
        request = AWSRequest("POST", url, headers, payload)
        add_recursion_detection_header({"headers": request.headers})
        credentials = self._credentials and self._credentials.get_frozen_credentials()
        SigV4Auth(credentials, "lambda", self._region).add_auth(request)
        limits = current_timeouts()
        longest_s = max(_SHORTEST_TIMEOUT_S, remaining_s)
        timeout = urllib3.Timeout(connect=min(limits.connect_s, longest_s), read=min(limits.storage_read_s, longest_s))
        signed = dict(request.headers.items())
        answer = self._connections.urlopen("POST", path, payload, signed, retries=False, timeout=timeout)
        return _Response(answer.status, answer.headers, answer.data)


def _connections(endpoint_url: str) -> urllib3.HTTPConnectionPool:
    if urlsplit(endpoint_url).scheme == "http":
        return urllib3.connection_from_url(endpoint_url, maxsize=CONCURRENCY)
    # One context for all connections: each would read the certificates of all authorities again.
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_default_certs()
    return urllib3.connection_from_url(
        endpoint_url, maxsize=CONCURRENCY, cert_reqs="CERT_REQUIRED", ssl_context=context
    )


def _retry_after_s(response: _Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), LONGEST_PAUSE_S) if text.isdecimal() else 0.0


def invoker() -> Invoker:
    """This process's invoker."""
    return _invoker_for(aws.client("lambda"))


@lru_cache(maxsize=1)
def _invoker_for(client: Any) -> Invoker:
    return Invoker(client)
