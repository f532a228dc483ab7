"""The poller of one mapping: consumes messages from a queue and passes them to a function, one batch at a time.

A batch closes when it is full, when the window since its first message is over, or when the next message would make the
payload too large. Success acknowledges the whole batch; an error requeues it, after a pause that grows with every
error. After a lost connection the poller reconnects, without limit.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError

from localstack.aws import rmq_event
from localstack.aws.deployed import DeployedMapping

log = logging.getLogger("mapping")

#: Invokes the function with an event. Raises InvocationFailedError unless it succeeds.
Invoke = Callable[[bytes], None]
Connect = Callable[[], BlockingConnection]

#: Seconds before a batch is requeued: after the first of consecutive errors, and at most.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

#: Seconds between two connection attempts: at first, and at most.
FIRST_RECONNECT_S = 0.2
LONGEST_RECONNECT_S = 5.0

#: Seconds that a stopping poller waits for a running invocation. Messages not acknowledged by then are redelivered.
STOP_GRACE_S = 3.0

#: Batches held by the poller: the one in flight, and the next one.
_PREFETCHED_BATCHES = 2


class InvocationFailedError(Exception):
    """The function failed, was throttled or did not respond."""


@dataclass(frozen=True)
class _Message:
    tag: int
    record: bytes


class Poller:
    """Polls one queue in a thread of its own, until it is stopped."""

    def __init__(self, mapping: DeployedMapping, connect: Connect, invoke: Invoke) -> None:
        self.mapping = mapping
        self._connect = connect
        self._invoke = invoke
        self._stopping = threading.Event()
        self._session: _Session | None = None
        self._invoking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=mapping.queue, daemon=True)

    def start(self) -> None:
        """Starts polling."""
        self._thread.start()

    def stop(self) -> None:
        """Stops consuming and returns at once. `join` waits for the batch in flight, up to STOP_GRACE_S."""
        self._stopping.set()
        session = self._session
        if session:
            session.stop()

    def join(self, timeout_s: float) -> None:
        """Waits until the poller has stopped."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = FIRST_RECONNECT_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._poll_connection()
            except (AMQPError, OSError) as error:
                if time.monotonic() - started > LONGEST_RECONNECT_S:
                    pause_s = FIRST_RECONNECT_S  # the connection had been established
                log.warning("%s: %r; reconnecting in %.1f s", self.mapping.queue, error, pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_RECONNECT_S)

    def _poll_connection(self) -> None:
        connection = self._connect()
        self._session = _Session(self.mapping, connection, self._invoke, self._invoking, self._stopping)
        try:
            self._session.run()
        finally:
            self._session = None


class _Session:
    """Polling over one connection. One thread handles AMQP and heartbeats, another one invokes the function."""

    def __init__(
        self,
        mapping: DeployedMapping,
        connection: BlockingConnection,
        invoke: Invoke,
        invoking: threading.Lock,
        stopping: threading.Event,
    ) -> None:
        self._source = rmq_event.Source(mapping.source_arn, mapping.queue, mapping.virtual_host)
        self._mapping = mapping
        self._connection = connection
        self._channel: BlockingChannel = connection.channel()
        self._invoke = invoke
        self._invoking = invoking
        self._stopping = stopping
        self._over = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._arrived: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._left_over: _Message | None = None

    def run(self) -> None:
        """Consumes until `stop` is called. Raises AMQPError or OSError when the connection is lost."""
        worker = threading.Thread(target=self._work, name=f"{self._mapping.queue} batches", daemon=True)
        try:
            self._channel.basic_qos(prefetch_count=min(self._mapping.batch_size * _PREFETCHED_BATCHES, 65_535))
            self._channel.basic_consume(self._mapping.queue, self._on_message)
            worker.start()
            log.info("%s: consuming", self._mapping.queue)
            if not self._stopping.is_set():
                self._channel.start_consuming()
            self._finish_batch()
        finally:
            self._over.set()
            self._arrived.put(None)
            if self._connection.is_open:
                self._connection.close()

    def stop(self) -> None:
        """Ends `run` from another thread."""
        self._on_connection(self._channel.stop_consuming)

    def _finish_batch(self) -> None:
        """Waits for the batch in flight, so that it can still be acknowledged on this connection."""
        until = time.monotonic() + STOP_GRACE_S
        while not self._idle.is_set() and time.monotonic() < until:
            self._connection.process_data_events(time_limit=0.05)
        self._connection.process_data_events(time_limit=0)

    def _on_message(self, channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        record = rmq_event.record(properties, body, redelivered=method.redelivered)
        if len(record) + rmq_event.overhead_bytes(self._source) > rmq_event.MAX_PAYLOAD_BYTES:
            log.error("%s: dropped a message of %d bytes, too large for one invocation", self._mapping.queue, len(body))
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        self._arrived.put(_Message(method.delivery_tag, record))

    def _work(self) -> None:
        errors = 0
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            with self._invoking:  # a batch of a lost connection may still be in flight
                if self._over.is_set() or self._stopping.is_set():
                    return
                errors = 0 if self._deliver(batch, errors) else errors + 1

    def _next_batch(self) -> list[_Message] | None:
        """Waits for the first message and collects its batch. None when the session is over."""
        first = self._left_over or self._arrived.get()
        self._left_over = None
        if first is None:
            return None
        batch = [first]
        size_bytes = rmq_event.overhead_bytes(self._source) + len(first.record)
        until = time.monotonic() + self._mapping.window_s
        while len(batch) < self._mapping.batch_size:
            message = self._receive(until)
            if message is None:
                break
            size_bytes += len(message.record) + len(", ")
            if size_bytes > rmq_event.MAX_PAYLOAD_BYTES:
                self._left_over = message
                break
            batch.append(message)
        return None if self._over.is_set() else batch

    def _receive(self, until: float) -> _Message | None:
        remaining_s = until - time.monotonic()
        try:
            return self._arrived.get(timeout=remaining_s) if remaining_s > 0 else self._arrived.get_nowait()
        except queue.Empty:
            return None

    def _deliver(self, batch: list[_Message], errors_before: int) -> bool:
        """Invokes the function, then acknowledges or requeues the batch. Returns whether the function succeeded."""
        self._idle.clear()
        try:
            self._invoke(rmq_event.event(self._source, [message.record for message in batch]))
        except InvocationFailedError as error:
            pause_s = min(FIRST_PAUSE_S * 2**errors_before, LONGEST_PAUSE_S)
            log.warning("%s: %s; requeuing %d messages in %.1f s", self._mapping.queue, error, len(batch), pause_s)
            self._stopping.wait(pause_s)
            self._settle(lambda: self._requeue(batch))
            return False
        self._settle(lambda: self._acknowledge(batch))
        return True

    def _settle(self, action: Callable[[], None]) -> None:
        """Runs the action on the connection's thread; no batch is in flight afterwards."""

        def act() -> None:
            action()
            self._idle.set()

        self._on_connection(act)

    def _acknowledge(self, batch: list[_Message]) -> None:
        for message in batch:
            self._channel.basic_ack(message.tag)

    def _requeue(self, batch: list[_Message]) -> None:
        for message in batch:
            self._channel.basic_nack(message.tag, requeue=True)

    def _on_connection(self, action: Callable[[], None]) -> None:
        try:
            self._connection.add_callback_threadsafe(action)
        except AMQPError:
            log.warning(
                "%s: the connection was lost with a batch in flight, which will be redelivered", self._mapping.queue
            )
