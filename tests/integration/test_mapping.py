"""The local mapping's poller against a real broker: batches, acknowledgement, giving back, reconnecting, ending."""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pika
import pytest

from darkroom.services import aws
from localstack.aws import poller
from localstack.aws.deployed import DeployedMapping
from localstack.aws.poller import InvocationFailedError, Poller

ARN = "arn:aws:mq:us-east-1:000000000000:broker:b:1"

#: Seconds within which what must happen has happened, even on a busy machine.
PATIENCE_S = 15.0


class Function:
    """Stands where Lambda stands: takes events, fails and dawdles as it is told."""

    def __init__(self) -> None:
        self.events: list[dict] = []
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
            raise InvocationFailedError("as told")

    @property
    def batches(self) -> list[list[dict]]:
        return [messages for event in self.events for messages in event["rmqMessagesByQueue"].values()]


class Relay:
    """Carries connections to the broker until they are cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)

    def cut(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()


def parameters() -> pika.URLParameters:
    account = aws.secret(os.environ["DARKROOM_BROKER_SECRET_ARN"])
    parameters = pika.URLParameters(os.environ["DARKROOM_BROKER_URL"])
    parameters.credentials = pika.PlainCredentials(account["username"], account["password"])
    return parameters


@pytest.fixture
def channel() -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(parameters())
    yield connection.channel()
    connection.close()


@pytest.fixture
def queue(channel) -> Iterator[str]:
    name = f"mapping-{uuid.uuid4().hex[:12]}"
    declare(channel, name)
    yield name
    channel.queue_delete(name)


def declare(channel, name: str) -> None:
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(parameters().host, parameters().port)
    yield relay
    relay.close()


@pytest.fixture
def poll(queue, function, relay, monkeypatch) -> Iterator[Callable[..., Poller]]:
    monkeypatch.setattr(poller, "FIRST_PAUSE_S", 0.05)
    started: list[Poller] = []

    def connect() -> pika.BlockingConnection:
        through = parameters()
        through.host, through.port = "127.0.0.1", relay.port
        return pika.BlockingConnection(through)

    def poll(batch_size: int = 10, window_s: float = 0) -> Poller:
        mapping = DeployedMapping("uuid", ARN, "function", queue, "tests", "secret", batch_size, window_s)
        started.append(Poller(mapping, connect, function))
        started[-1].start()
        return started[-1]

    yield poll
    for one in started:
        one.stop()
        one.join(PATIENCE_S)


def publish(channel, queue: str, *bodies: str | bytes) -> None:
    for body in bodies:
        channel.basic_publish("", queue, body, pika.BasicProperties(message_id=str(body[:20])))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def left(channel, queue: str) -> int:
    """Messages that nobody holds. The broker takes a moment to notice what a poller that has gone gave back."""
    return channel.queue_declare(queue, passive=True).method.message_count


def test_message_is_delivered_as_an_event_and_acknowledged(channel, queue, poll, function):
    running = poll()
    publish(channel, queue, "hello")

    until(lambda: function.events)
    running.stop()
    running.join(PATIENCE_S)

    assert list(function.events[0]) == ["eventSource", "eventSourceArn", "rmqMessagesByQueue"]
    assert function.events[0]["eventSourceArn"] == ARN
    ((key, (message,)),) = function.events[0]["rmqMessagesByQueue"].items()
    assert key == f"{queue}::tests"
    assert (message["data"], message["redelivered"]) == ("aGVsbG8=", False)
    assert left(channel, queue) == 0


def test_backlog_comes_in_batches_of_the_deployed_size_one_after_the_other(channel, queue, poll, function):
    publish(channel, queue, *(f"{number}" for number in range(25)))
    function.takes_s = 0.05

    poll(batch_size=10)
    until(lambda: sum(map(len, function.batches)) == 25)

    sizes = [len(batch) for batch in function.batches]
    assert max(sizes) == 10
    assert len(sizes) <= 5, "full batches were at hand"
    assert function.at_once == 1
    assert [message["basicProperties"]["messageId"] for batch in function.batches for message in batch] == [
        f"{number}" for number in range(25)
    ]


def test_without_a_window_a_message_is_not_kept_waiting(channel, queue, poll, function):
    poll(window_s=0)
    publish(channel, queue, "first, to be sure that it is connected")
    until(lambda: len(function.events) == 1)
    waits = []

    for number in range(2, 7):
        published = time.monotonic()
        publish(channel, queue, f"{number}")
        until(lambda number=number: len(function.events) == number)
        waits.append(function.times[-1] - published)

    assert min(waits) < 0.1


def test_within_the_window_messages_are_gathered(channel, queue, poll, function):
    poll(window_s=1.0)
    publish(channel, queue, "first")
    time.sleep(0.2)
    publish(channel, queue, "second")

    until(lambda: function.events)

    assert [len(batch) for batch in function.batches] == [2]


def test_full_batch_does_not_wait_for_its_window(channel, queue, poll, function):
    publish(channel, queue, "1", "2")
    begun = time.monotonic()

    poll(batch_size=2, window_s=10.0)
    until(lambda: function.events)

    assert function.times[0] - begun < 8


def test_failed_batch_is_given_back_whole_and_delivered_again(channel, queue, poll, function):
    publish(channel, queue, "1", "2", "3")
    function.failures = 1

    running = poll(batch_size=3, window_s=0.5)
    until(lambda: len(function.events) == 2)
    running.stop()
    running.join(PATIENCE_S)

    first, second = function.batches
    assert [message["redelivered"] for message in first] == [False] * 3
    assert [message["redelivered"] for message in second] == [True] * 3
    assert sorted(message["data"] for message in first) == sorted(message["data"] for message in second)
    assert left(channel, queue) == 0


def test_pause_grows_with_every_failure_and_ends_with_success(channel, queue, poll, function):
    function.failures = 4
    publish(channel, queue, "1")

    poll()
    until(lambda: len(function.events) == 5)
    pauses = [after - before for before, after in zip(function.times, function.times[1:], strict=False)]

    assert all(pause >= expected for pause, expected in zip(pauses, (0.05, 0.1, 0.2, 0.4), strict=True))
    publish(channel, queue, "2")
    until(lambda: len(function.events) == 6)


def test_poller_waits_for_a_queue_that_is_made_later(channel, queue, poll, function):
    channel.queue_delete(queue)
    poll()
    time.sleep(0.3)

    declare(channel, queue)
    publish(channel, queue, "late")

    until(lambda: function.events)


def test_poller_survives_that_its_queue_is_deleted_and_made_again(channel, queue, poll, function):
    poll()
    publish(channel, queue, "before")
    until(lambda: len(function.events) == 1)

    channel.queue_delete(queue)
    time.sleep(0.1)
    declare(channel, queue)
    publish(channel, queue, "after")

    until(lambda: len(function.events) == 2)


def test_poller_connects_again_when_the_connection_is_lost(channel, queue, poll, function, relay):
    poll()
    for number in range(3):
        publish(channel, queue, f"{number}")
        until(lambda number=number: len(function.events) == number + 1)
        relay.cut()

    assert function.at_once == 1


def test_batch_at_work_when_the_connection_is_lost_is_delivered_again_but_not_twice_at_once(
    channel, queue, poll, function, relay
):
    function.takes_s = 1.0
    poll()
    publish(channel, queue, "1")
    until(lambda: function.events)

    relay.cut()
    until(lambda: len(function.events) == 2)

    assert function.at_once == 1
    assert function.batches[1][0]["redelivered"]


def test_poller_that_is_told_to_stop_finishes_the_batch_at_work(channel, queue, poll, function):
    function.takes_s = 0.5
    running = poll(batch_size=1)
    publish(channel, queue, "1", "2", "3")
    until(lambda: function.events)

    running.stop()
    running.join(PATIENCE_S)

    assert len(function.events) == 1
    until(lambda: left(channel, queue) == 2)


def test_poller_that_is_told_to_stop_does_not_wait_for_a_slow_function(channel, queue, poll, function, monkeypatch):
    monkeypatch.setattr(poller, "STOP_GRACE_S", 0.2)
    function.takes_s = 3.0
    running = poll(batch_size=1)
    publish(channel, queue, "1")
    until(lambda: function.events)

    asked = time.monotonic()
    running.stop()
    running.join(PATIENCE_S)

    assert time.monotonic() - asked < 2
    until(lambda: left(channel, queue) == 1)


def test_batch_closes_before_its_payload_is_too_large(channel, queue, poll, function):
    publish(channel, queue, *(bytes(2_500_000) for _ in range(3)))

    poll()
    until(lambda: sum(map(len, function.batches)) == 3)

    assert [len(batch) for batch in function.batches] == [1, 1, 1]


def test_message_too_large_for_one_invocation_is_dropped(channel, queue, poll, function):
    publish(channel, queue, bytes(5_000_000), "small")

    running = poll()
    until(lambda: function.events)
    running.stop()
    running.join(PATIENCE_S)

    assert [message["data"] for batch in function.batches for message in batch] == ["c21hbGw="]
    assert left(channel, queue) == 0
