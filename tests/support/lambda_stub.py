"""A stub of Lambda's Invoke API on loopback: answers 202 after a latency, or as `decide` says for each call.

python -m tests.support.lambda_stub PORT LATENCY_MS
"""

import asyncio
import json
import re
import socket
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Reply(StrEnum):
    """What the stub does with a call. `LOST` starts the run and never answers; `RESET_*` closes the connection."""

    ACCEPTED = "202"
    THROTTLED = "429"
    FAILED = "500"
    DENIED = "403"
    LOST = "lost"
    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"


_BODIES = {
    Reply.ACCEPTED: (b"202 Accepted", b"", b""),
    Reply.THROTTLED: (
        b"429 Too Many Requests",
        b"x-amzn-ErrorType: TooManyRequestsException\r\n",
        b'{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}',
    ),
    Reply.FAILED: (b"500 Internal Server Error", b"x-amzn-ErrorType: ServiceException\r\n", b'{"Type":"Service"}'),
    Reply.DENIED: (b"403 Forbidden", b"x-amzn-ErrorType: AccessDeniedException\r\n", b'{"Message":"not authorized"}'),
}

#: The replies after which Lambda starts the run.
STARTING = frozenset((Reply.ACCEPTED, Reply.LOST, Reply.RESET_AFTER))

#: Decides about a call from its payload and how many calls the job had before.
Decide = Callable[[dict[str, Any], int], Reply]


def accept(_payload: dict[str, Any], _earlier: int) -> Reply:
    """Accepts every call."""
    return Reply.ACCEPTED


@dataclass
class LambdaStub:
    """The server. `calls` counts the calls of each job; `started` has the payloads of the runs that Lambda starts.

    `heads` are the request lines and headers. A connection closes after `idle_s` without a request.
    """

    decide: Decide = accept
    latency_s: float = 0.03
    calls: Counter[str] = field(default_factory=Counter)
    replies: Counter[Reply] = field(default_factory=Counter)
    started: list[dict[str, Any]] = field(default_factory=list)
    record: bool = True
    heads: list[bytes] = field(default_factory=list)
    retry_after_s: int = 0
    idle_s: float | None = None

    async def serve(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Answers until it is cancelled."""
        server = await asyncio.start_server(self._connected, sock=listener, backlog=1024, ssl=context)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.idle_s)
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                reply = self._reply_to(head, body)
                await asyncio.sleep(self.latency_s)
                if reply is Reply.LOST:
                    await asyncio.sleep(3600)
                if reply in (Reply.RESET_BEFORE, Reply.RESET_AFTER):
                    writer.transport.abort()
                    return
                status, header, text = _BODIES[reply]
                if self.retry_after_s and reply is Reply.THROTTLED:
                    header += b"Retry-After: %d\r\n" % self.retry_after_s
                writer.write(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, header, len(text), text))
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # the connection was idle, the client has closed it, or the stub ends
        finally:
            writer.close()

    def _reply_to(self, head: bytes, body: bytes) -> Reply:
        if not self.record:
            return Reply.ACCEPTED
        self.heads.append(head)
        payload = json.loads(body)
        job_id = payload["message"]["job_id"]
        reply = self.decide(payload, self.calls[job_id])
        self.calls[job_id] += 1
        self.replies[reply] += 1
        if reply in STARTING:
            self.started.append(payload)
        return reply


@contextmanager
def running_stub(stub: LambdaStub, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Runs the stub in a thread of this process, with TLS if it has a context. Yields its URL."""
    listener = _listen(0)
    loop = asyncio.new_event_loop()
    task = loop.create_task(stub.serve(listener, context))

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pending = asyncio.all_tasks(loop)
            for each in pending:
                each.cancel()
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            loop.run_until_complete(asyncio.sleep(0.01))  # the connections close
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="lambda stub")
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def main() -> None:
    """Serves until it is stopped. Prints its port first."""
    listener = _listen(int(sys.argv[1]))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    stub = LambdaStub(latency_s=float(sys.argv[2]) / 1000, record=False)
    asyncio.run(stub.serve(listener))


if __name__ == "__main__":
    main()
