import socket
import time

import pytest
from pika.exceptions import ChannelClosedByBroker

from darkroom.contracts.jobs import MAX_ATTEMPTS
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError
from darkroom.jobs import lifecycle
from darkroom.services import rabbitmq


def test_a_published_message_waits_persistent_with_its_trace(make_job, take):
    job = make_job()

    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    taken = take("darkroom.resize")
    assert taken["body"] == {"job_id": job.job_id, "tenant": "default", "operation": "resize", "attempt": 1}
    assert taken["headers"]["traceparent"] == job.traceparent
    assert taken["properties"].message_id == job.job_id
    assert taken["properties"].delivery_mode == 2


def test_a_delayed_message_comes_back_to_its_operation_after_its_time(make_job, take):
    job = make_job()
    begun = time.monotonic()

    rabbitmq.publish_delayed(lifecycle.message_for(job, 2), job.traceparent, rabbitmq.RETRY_DELAYS_S[0])

    assert take("darkroom.resize") is None
    while (taken := take("darkroom.resize")) is None:
        assert time.monotonic() - begun < rabbitmq.RETRY_DELAYS_S[0] + 3, "the message did not come back"
        time.sleep(0.05)
    assert time.monotonic() - begun >= rabbitmq.RETRY_DELAYS_S[0] / 2
    assert taken["body"]["attempt"] == 2
    assert taken["headers"]["traceparent"] == job.traceparent


def test_there_is_one_delay_for_each_attempt_after_the_first():
    assert len(rabbitmq.RETRY_DELAYS_S) == MAX_ATTEMPTS - 1
    assert [rabbitmq.retry_delay_s(attempt) for attempt in (1, 2, 3, 4, 5)] == [2, 10, 60, 300, 300]


def test_a_message_delivered_too_often_is_dead_lettered(make_job, take):
    job = make_job()
    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    def reject(channel):
        method, _, _ = channel.basic_get("darkroom.resize")
        if method is not None:
            channel.basic_reject(method.delivery_tag, requeue=True)

    for _ in range(rabbitmq.DELIVERY_LIMIT + 1):
        rabbitmq._on_channel(reject)
        time.sleep(0.02)

    deadline = time.monotonic() + 5
    while (dead := take(rabbitmq.DEAD_QUEUE)) is None:
        assert time.monotonic() < deadline, "the message did not reach the dead queue"
        time.sleep(0.05)
    assert dead["body"]["job_id"] == job.job_id


def test_a_parked_message_carries_its_reason(take):
    rabbitmq.park(b"not json", None, "it is not JSON")

    parked = take(rabbitmq.PARKED_QUEUE)
    assert parked["body"] == b"not json"
    assert parked["headers"]["x-reason"] == "it is not JSON"


def test_publishing_survives_a_connection_that_died_meanwhile(make_job, take):
    job = make_job()
    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
    rabbitmq._connect().connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)

    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    assert take("darkroom.resize")
    assert take("darkroom.resize")


def test_a_connection_to_a_machine_that_is_gone_is_given_up_in_time(monkeypatch):
    opened = []
    monkeypatch.setattr(rabbitmq.pika, "BlockingConnection", opened.append)

    rabbitmq._open()

    # Before an API call's 29 seconds are over, trying once more on a new connection included.
    assert opened[0].tcp_options["TCP_USER_TIMEOUT"] <= 10_000


def test_a_message_without_a_queue_is_reported(make_job, monkeypatch):
    job = make_job()
    monkeypatch.setattr(rabbitmq, "queue_of", lambda operation: f"nowhere.{operation}")

    with pytest.raises(BrokerUnavailableError):
        rabbitmq.publish(lifecycle.first_message(job), job.traceparent)


def test_the_depth_of_a_queue_is_what_waits_in_it(make_job):
    assert rabbitmq.depth(Operation.WATERMARK) == 0
    job = make_job(Operation.WATERMARK)

    rabbitmq.publish(lifecycle.first_message(job), job.traceparent)

    deadline = time.monotonic() + 2
    while rabbitmq.depth(Operation.WATERMARK) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_declaring_the_topology_again_is_harmless():
    rabbitmq.declare_topology()


def test_work_queues_are_quorum_queues_and_refuse_to_be_declared_otherwise():
    def declare_classic(channel):
        channel.queue_declare("darkroom.resize", durable=True, arguments={"x-queue-type": "classic"})

    with pytest.raises(BrokerUnavailableError) as caught:
        rabbitmq._on_channel(declare_classic)
    assert isinstance(caught.value.__cause__, ChannelClosedByBroker)


def test_a_broker_that_is_down_is_a_typed_error(make_job, monkeypatch):
    job = make_job()
    monkeypatch.setenv("DARKROOM_BROKER_URL", "amqp://127.0.0.1:1/%2F")
    rabbitmq.close()
    rabbitmq.settings.cache_clear()

    with pytest.raises(BrokerUnavailableError):
        rabbitmq.publish(lifecycle.first_message(job), job.traceparent)
