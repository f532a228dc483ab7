"""Publishing to a real RabbitMQ: confirms, delays, dead letters, parked messages, outages."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pika.exceptions import ChannelClosedByBroker

from darkroom import config
from darkroom.contracts.jobs import MAX_ATTEMPTS
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError
from darkroom.jobs import lifecycle
from darkroom.services import rabbitmq
from tests.integration.conftest import MakeJob, Take, every_queue
from tests.support.broker import close_connections, on_channel
from tests.support.tcp_relay import Relay
from tests.support.waiting import wait_until


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay between this process and the broker."""
    url = urlsplit(config.settings().broker_url)
    relay = Relay(url.hostname or "", url.port or 5672)
    monkeypatch.setenv("DARKROOM_BROKER_URL", url._replace(netloc=f"127.0.0.1:{relay.port}").geturl())
    config.settings.cache_clear()
    yield relay
    rabbitmq.close()
    close_connections()
    relay.close()
    config.settings.cache_clear()


def test_published_message_is_persistent_and_has_its_trace(make_job: MakeJob, take: Take) -> None:
    job = make_job()

    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    taken = take("darkroom.resize")
    assert taken["body"] == {"job_id": job.job_id, "tenant": "default", "operation": "resize", "attempt": 1}
    assert taken["headers"]["traceparent"] == job.traceparent
    assert taken["properties"].message_id == job.job_id
    assert taken["properties"].delivery_mode == 2


def test_delayed_message_returns_to_the_queue_of_its_operation(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    began = time.monotonic()

    rabbitmq.publish_delayed(lifecycle.message_for(job, 2), job.traceparent, rabbitmq.RETRY_DELAYS_S[0])

    assert take("darkroom.resize") is None
    while (taken := take("darkroom.resize")) is None:
        assert time.monotonic() - began < rabbitmq.RETRY_DELAYS_S[0] + 60, "the message did not return"
        time.sleep(0.05)
    assert time.monotonic() - began >= rabbitmq.RETRY_DELAYS_S[0] / 2
    assert taken["body"]["attempt"] == 2
    assert taken["headers"]["traceparent"] == job.traceparent


def test_every_attempt_after_the_first_has_a_delay() -> None:
    assert len(rabbitmq.RETRY_DELAYS_S) == MAX_ATTEMPTS - 1
    assert [rabbitmq.retry_delay_s(attempt) for attempt in (1, 2, 3, 4, 5)] == [2, 10, 60, 300, 300]


def test_message_above_the_delivery_limit_is_dead_lettered(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    for _ in range(rabbitmq.DELIVERY_LIMIT + 1):
        method, _, _ = on_channel("basic_get", "darkroom.resize")
        if method is not None:
            on_channel("basic_reject", method.delivery_tag, requeue=True)
        time.sleep(0.02)

    deadline = time.monotonic() + 60
    while (dead := take(rabbitmq.DEAD_QUEUE)) is None:
        assert time.monotonic() < deadline, "the message did not reach the dead-letter queue"
        time.sleep(0.05)
    assert dead["body"]["job_id"] == job.job_id


def test_parked_message_has_its_reason(take: Take) -> None:
    rabbitmq.park(b"not json", None, "it is not JSON")

    parked = take(rabbitmq.PARKED_QUEUE)
    assert parked["body"] == b"not json"
    assert parked["headers"]["x-reason"] == "it is not JSON"


def test_publishing_reconnects_after_the_connection_was_lost(relay: Relay, make_job: MakeJob, take: Take) -> None:
    job = make_job()
    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
    relay.cut()

    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    assert relay.accepted == 2
    assert take("darkroom.resize")
    assert take("darkroom.resize")


def test_publishing_to_a_missing_queue_raises_broker_unavailable(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    monkeypatch.setattr(rabbitmq, "queue_of", lambda operation: f"nowhere.{operation}")

    with pytest.raises(BrokerUnavailableError):
        rabbitmq.publish(lifecycle.first_message(job), job.traceparent)


def test_depth_of_a_queue_is_the_number_of_its_messages(make_job: MakeJob) -> None:
    assert rabbitmq.depth(Operation.WATERMARK) == 0
    job = make_job(Operation.WATERMARK)

    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    wait_until(lambda: rabbitmq.depth(Operation.WATERMARK) == 1)


def test_depths_are_those_of_every_queue(make_job: MakeJob) -> None:
    rabbitmq.park(b"not json", None, "it is not JSON")
    job = make_job(Operation.WATERMARK)
    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
    expected = dict.fromkeys(every_queue(), 0) | {rabbitmq.PARKED_QUEUE: 1, "darkroom.watermark": 1}

    wait_until(lambda: rabbitmq.depths() == expected)


def test_topology_can_be_declared_again() -> None:
    rabbitmq.declare_topology()


def test_queues_of_operations_are_quorum_queues() -> None:
    with pytest.raises(ChannelClosedByBroker):  # a declaration must match the queue that exists
        on_channel("queue_declare", "darkroom.resize", durable=True, arguments={"x-queue-type": "classic"})


def test_outage_of_the_broker_raises_broker_unavailable(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    monkeypatch.setenv("DARKROOM_BROKER_URL", "amqp://127.0.0.1:1/%2F")
    rabbitmq.close()
    config.settings.cache_clear()

    with pytest.raises(BrokerUnavailableError):
        rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
