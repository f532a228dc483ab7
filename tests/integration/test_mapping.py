"""The local mapping's poller with a real broker: batches, acknowledgement, redelivery, reconnecting, stopping."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from darkroom.services import aws
from localstack.aws import poller
from localstack.aws.deployed import DeployedMapping
from localstack.aws.poller import InvocationFailedError, Poller
from tests.support.tcp_relay import Relay
from tests.support.waiting import wait_until

StartPoller = Callable[..., Poller]

ARN = "arn:aws:mq:us-east-1:000000000000:broker:b:1"

#: Seconds until an expected event has happened even on a busy machine.
TIMEOUT_S = 15.0


class Function:
    """Replaces a Lambda function: records events, takes `takes_s` seconds, fails the first `failures` times.

    `at_once` is the largest number of simultaneous invocations.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.failures = 0
        self.takes_s = 0.0
        self.at_once = 0
        self._running = 0

    def __call__(self, payload: bytes) -> None:
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        self.times.append(time.monotonic())
        self.events.append(json.loads(payload))
        time.sleep(self.takes_s)
        self._running -= 1
        if self.failures:
            self.failures -= 1
            raise InvocationFailedError("requested")

    def has_events(self, count: int) -> bool:
        return len(self.events) == count

    @property
    def batches(self) -> list[list[dict[str, Any]]]:
        return [messages for event in self.events for messages in event["rmqMessagesByQueue"].values()]


def parameters() -> pika.URLParameters:
    account = aws.secret(os.environ["DARKROOM_BROKER_SECRET_ARN"])
    parameters = pika.URLParameters(os.environ["DARKROOM_BROKER_URL"])
    parameters.credentials = pika.PlainCredentials(account["username"], account["password"])
    return parameters


class Queue:
    """A queue of the broker, and the messages in it."""

    def __init__(self, channel: BlockingChannel) -> None:
        self.name = f"mapping-{uuid.uuid4().hex[:12]}"
        self._channel = channel

    def declare(self) -> None:
        self._channel.queue_declare(self.name, durable=True, arguments={"x-queue-type": "quorum"})

    def delete(self) -> None:
        self._channel.queue_delete(self.name)

    def publish(self, *bodies: str | bytes) -> None:
        for body in bodies:
            self._channel.basic_publish("", self.name, body, pika.BasicProperties(message_id=str(body[:20])))

    def ready(self) -> int:
        """Messages ready for delivery. The broker needs a moment to requeue those of a poller that has stopped."""
        return int(self._channel.queue_declare(self.name, passive=True).method.message_count)


@pytest.fixture
def queue() -> Iterator[Queue]:
    connection = pika.BlockingConnection(parameters())
    queue = Queue(connection.channel())
    queue.declare()
    yield queue
    queue.delete()
    connection.close()


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(parameters().host, parameters().port)
    yield relay
    relay.close()


@pytest.fixture
def poll(queue: Queue, function: Function, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartPoller]:
    monkeypatch.setattr(poller, "FIRST_PAUSE_S", 0.05)
    started: list[Poller] = []

    def connect() -> pika.BlockingConnection:
        through = parameters()
        through.host, through.port = "127.0.0.1", relay.port
        return pika.BlockingConnection(through)

    def poll(batch_size: int = 10, window_s: float = 0) -> Poller:
        mapping = DeployedMapping("uuid", ARN, "function", queue.name, "tests", "secret", batch_size, window_s)
        started.append(Poller(mapping, connect, function))
        started[-1].start()
        return started[-1]

    yield poll
    for one in started:
        one.stop()
        one.join(TIMEOUT_S)


def test_message_is_delivered_as_an_event_and_acknowledged(queue: Queue, poll: StartPoller, function: Function) -> None:
    running = poll()
    queue.publish("hello")

    wait_until(lambda: function.events)
    running.stop()
    running.join(TIMEOUT_S)

    assert list(function.events[0]) == ["eventSource", "eventSourceArn", "rmqMessagesByQueue"]
    assert function.events[0]["eventSourceArn"] == ARN
    ((key, (message,)),) = function.events[0]["rmqMessagesByQueue"].items()
    assert key == f"{queue.name}::tests"
    assert (message["data"], message["redelivered"]) == ("aGVsbG8=", False)
    assert queue.ready() == 0


def test_backlog_is_delivered_in_batches_of_the_deployed_size_one_at_a_time(
    queue: Queue, poll: StartPoller, function: Function
) -> None:
    queue.publish(*(f"{number}" for number in range(25)))
    function.takes_s = 0.05

    poll(batch_size=10)
    wait_until(lambda: sum(map(len, function.batches)) == 25)

    sizes = [len(batch) for batch in function.batches]
    assert max(sizes) == 10
    assert len(sizes) <= 5, "messages for full batches were ready"
    assert function.at_once == 1
    assert [message["basicProperties"]["messageId"] for batch in function.batches for message in batch] == [
        f"{number}" for number in range(25)
    ]


def test_message_is_delivered_at_once_without_a_window(queue: Queue, poll: StartPoller, function: Function) -> None:
    poll(window_s=0)
    queue.publish("first, to make sure that it is connected")
    wait_until(lambda: len(function.events) == 1)
    waits = []

    for number in range(2, 7):
        published = time.monotonic()
        queue.publish(f"{number}")
        wait_until(partial(function.has_events, number))
        waits.append(function.times[-1] - published)

    assert min(waits) < 0.1


def test_messages_within_the_window_are_one_batch(queue: Queue, poll: StartPoller, function: Function) -> None:
    poll(window_s=1.0)
    queue.publish("first")
    time.sleep(0.2)
    queue.publish("second")

    wait_until(lambda: function.events)

    assert [len(batch) for batch in function.batches] == [2]


def test_full_batch_does_not_wait_for_its_window(queue: Queue, poll: StartPoller, function: Function) -> None:
    queue.publish("1", "2")
    started_at = time.monotonic()

    poll(batch_size=2, window_s=10.0)
    wait_until(lambda: function.events)

    assert function.times[0] - started_at < 8


def test_failed_batch_is_requeued_whole_and_redelivered(queue: Queue, poll: StartPoller, function: Function) -> None:
    queue.publish("1", "2", "3")
    function.failures = 1

    running = poll(batch_size=3, window_s=0.5)
    wait_until(lambda: len(function.events) == 2)
    running.stop()
    running.join(TIMEOUT_S)

    first, second = function.batches
    assert [message["redelivered"] for message in first] == [False] * 3
    assert [message["redelivered"] for message in second] == [True] * 3
    assert sorted(message["data"] for message in first) == sorted(message["data"] for message in second)
    assert queue.ready() == 0


def test_pause_grows_with_every_failure_until_a_success(queue: Queue, poll: StartPoller, function: Function) -> None:
    function.failures = 4
    queue.publish("1")

    poll()
    wait_until(lambda: len(function.events) == 5)
    pauses = [after - before for before, after in zip(function.times, function.times[1:], strict=False)]

    assert all(pause >= expected for pause, expected in zip(pauses, (0.05, 0.1, 0.2, 0.4), strict=True))
    queue.publish("2")
    wait_until(lambda: len(function.events) == 6)


def test_poller_waits_for_its_queue_to_be_declared(queue: Queue, poll: StartPoller, function: Function) -> None:
    queue.delete()
    poll()
    time.sleep(0.3)

    queue.declare()
    queue.publish("late")

    wait_until(lambda: function.events)


def test_poller_continues_after_its_queue_was_deleted_and_declared_again(
    queue: Queue, poll: StartPoller, function: Function
) -> None:
    poll()
    queue.publish("before")
    wait_until(lambda: len(function.events) == 1)

    queue.delete()
    time.sleep(0.1)
    queue.declare()
    queue.publish("after")

    wait_until(lambda: len(function.events) == 2)


def test_poller_reconnects_after_the_connection_was_lost(
    queue: Queue, poll: StartPoller, function: Function, relay: Relay
) -> None:
    poll()
    for number in range(3):
        queue.publish(f"{number}")
        wait_until(partial(function.has_events, number + 1))
        relay.cut()

    assert function.at_once == 1


def test_batch_in_flight_on_a_lost_connection_is_redelivered_after_its_invocation_ended(
    queue: Queue, poll: StartPoller, function: Function, relay: Relay
) -> None:
    function.takes_s = 1.0
    poll()
    queue.publish("1")
    wait_until(lambda: function.events)

    relay.cut()
    wait_until(lambda: len(function.events) == 2)

    assert function.at_once == 1
    assert function.batches[1][0]["redelivered"]


def test_stopping_poller_finishes_the_batch_in_flight(queue: Queue, poll: StartPoller, function: Function) -> None:
    function.takes_s = 0.5
    running = poll(batch_size=1)
    queue.publish("1", "2", "3")
    wait_until(lambda: function.events)

    running.stop()
    running.join(TIMEOUT_S)

    assert len(function.events) == 1
    wait_until(lambda: queue.ready() == 2)


def test_stopping_poller_does_not_wait_for_a_slow_function(
    queue: Queue, poll: StartPoller, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "STOP_GRACE_S", 0.2)
    function.takes_s = 3.0
    running = poll(batch_size=1)
    queue.publish("1")
    wait_until(lambda: function.events)

    stopped_at = time.monotonic()
    running.stop()
    running.join(TIMEOUT_S)

    assert time.monotonic() - stopped_at < 2
    wait_until(lambda: queue.ready() == 1)


def test_batch_is_closed_before_its_payload_is_too_large(queue: Queue, poll: StartPoller, function: Function) -> None:
    queue.publish(*(bytes(2_500_000) for _ in range(3)))

    poll()
    wait_until(lambda: sum(map(len, function.batches)) == 3)

    assert [len(batch) for batch in function.batches] == [1, 1, 1]


def test_message_too_large_for_one_invocation_is_dropped(queue: Queue, poll: StartPoller, function: Function) -> None:
    queue.publish(bytes(5_000_000), "small")

    running = poll()
    wait_until(lambda: function.events)
    running.stop()
    running.join(TIMEOUT_S)

    assert [message["data"] for batch in function.batches for message in batch] == ["c21hbGw="]
    assert queue.ready() == 0
