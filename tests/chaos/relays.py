"""Relays between the functions and RabbitMQ, Redis, S3 and Lambda. Faults make them slow, hold or refuse the traffic.

Only the functions, and the clients that use presigned forms and links, connect through the relays. The event source
mapping, sweep's schedule and the audit connect directly.
"""

import asyncio
import contextlib
import random
import re
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

#: Bytes that a relay reads at a time.
_CHUNK_BYTES = 65_536

#: Headers of a single connection, which the relay sets itself.
_CONNECTION_HEADERS = re.compile(
    rb"^(connection|keep-alive|proxy-connection|expect):.*\r\n", re.IGNORECASE | re.MULTILINE
)
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:\s*chunked", re.IGNORECASE | re.MULTILINE)

#: Statuses of responses without a body.
_EMPTY = (b"204", b"304")


@dataclass(frozen=True)
class Refusal:
    """Which requests are refused, and the response to them. `applies` gets the method and the path of a request.

    `late_share` of the refused requests reach the service, and only their response is replaced: the client cannot know
    whether they took effect.
    """

    response: bytes
    share: float = 1.0
    late_share: float = 0.0
    applies: Callable[[str, str], bool] = lambda _method, _path: True


class Relay:
    """Forwards the connections at `port` to `target_port`, byte by byte. Its methods may be called from any thread."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        #: Where new connections go. Those that are open stay where they are.
        self.target_port = target_port
        #: Seconds by which everything that a client sends is delayed.
        self.delay_s = 0.0
        self._held = self._refusing = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Condition | None = None

    def hold(self) -> None:
        """Holds all traffic until `release`. Clients can still connect, as to a process that hangs."""
        self._held = True

    def release(self) -> None:
        """Forwards what was held, also requests whose client has given up, and everything from now on."""
        self._held = False
        assert self._loop
        asyncio.run_coroutine_threadsafe(self._announce(), self._loop).result()

    def refuse(self) -> None:
        """Cuts every connection and closes new ones at once, until `accept`."""
        assert self._loop
        self._refusing = True
        for writer in list(self._open):
            self._loop.call_soon_threadsafe(writer.close)

    def accept(self) -> None:
        """Accepts connections again."""
        self._refusing = False

    async def start(self) -> asyncio.Server:
        """Listens."""
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Condition()
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)

    async def _announce(self) -> None:
        assert self._changed
        async with self._changed:
            self._changed.notify_all()

    async def _flowing(self) -> None:
        assert self._changed
        async with self._changed:
            await self._changed.wait_for(lambda: not self._held)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if not self._refusing:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await self._forward(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing()
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        try:
            pumps = [
                asyncio.ensure_future(self._pump(reader, server_writer, delayed=True)),
                asyncio.ensure_future(self._pump(server_reader, writer, delayed=False)),
            ]
            _, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pending:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            server_writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, delayed: bool) -> None:
        """Forwards one direction. A delay is a latency: it does not limit the rate."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)
        loop = asyncio.get_running_loop()

        async def read() -> None:
            data = b"-"
            while data:
                try:
                    data = await source.read(_CHUNK_BYTES)
                except OSError:  # the other side was reset
                    data = b""
                await due.put((loop.time() + (self.delay_s if delayed else 0), data))

        reading = asyncio.ensure_future(read())
        try:
            while True:
                at, data = await due.get()
                if not data:
                    return
                if at > loop.time():
                    await asyncio.sleep(at - loop.time())
                await self._flowing()
                target.write(data)
                await target.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class HttpRelay(Relay):
    """Forwards HTTP requests one by one, so that single ones can be refused."""

    def __init__(self, port: int, target_port: int, randomness: random.Random) -> None:
        super().__init__(port, target_port)
        #: Set by a fault for its time.
        self.refusal: Refusal | None = None
        #: How many requests were refused.
        self.refused = 0
        self._random = randomness

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await _head(reader)) is not None:
            method, path = head.split(b" ", 2)[:2]
            body = await reader.readexactly(_length(head))
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._flowing()
            response = await self._respond(method.decode(), path.decode(), head, body)
            # The first half may arrive before traffic is held, and the second after.
            for part in (response[: len(response) // 2], response[len(response) // 2 :]):
                await self._flowing()
                writer.write(part)
                await writer.drain()

    async def _respond(self, method: str, path: str, head: bytes, body: bytes) -> bytes:
        refusal = self.refusal
        if refusal is None or not refusal.applies(method, path) or self._random.random() >= refusal.share:
            return await self._exchange(method, head, body)
        self.refused += 1
        if self._random.random() < refusal.late_share:
            await self._exchange(method, head, body)
        return refusal.response if method != "HEAD" else refusal.response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    async def _exchange(self, method: str, head: bytes, body: bytes) -> bytes:
        """Sends one request on a connection of its own. Returns the response, with the length of its body in it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=1 << 20)
        try:
            first, _, headers = head.partition(b"\r\n")
            writer.write(first + b"\r\nConnection: close\r\n" + _CONNECTION_HEADERS.sub(b"", headers) + body)
            await writer.drain()
            response = await reader.read(-1)
        finally:
            writer.close()
        answer, _, content = response.partition(b"\r\n\r\n")
        if not answer:
            raise ConnectionResetError
        answer = _CONNECTION_HEADERS.sub(b"", answer + b"\r\n")
        has_body = method != "HEAD" and answer.split(b" ", 2)[1] not in _EMPTY
        if has_body and not _LENGTH.search(answer) and not _CHUNKED.search(answer):
            answer += b"Content-Length: %d\r\n" % len(content)
        return answer + b"\r\n" + content


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None  # the client has closed the connection


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


def http_response(status: str, body: str, media_type: str, **headers: str) -> bytes:
    """A response as bytes. `status` is such as `503 Slow Down`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


class Relays:
    """The relays of one stack, on a thread of their own."""

    def __init__(self, ports: dict[str, int], services: dict[str, int], randomness: random.Random) -> None:
        self.broker = Relay(ports["broker"], services["broker"])
        self.cache = Relay(ports["cache"], services["cache"])
        self.storage = HttpRelay(ports["storage"], services["emulator"], randomness)
        self.functions = HttpRelay(ports["functions"], services["emulator"], randomness)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []

    def start(self) -> None:
        """Listens at every port."""
        self._thread.start()
        for relay in (self.broker, self.cache, self.storage, self.functions):
            self._servers.append(self._run(relay.start()))

    def close(self) -> None:
        """Stops listening and cuts every connection."""
        self._run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _cancel_all(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # connections that were closed end in the loop

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
