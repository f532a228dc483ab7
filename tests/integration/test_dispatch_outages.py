"""Dispatch while Lambda throttles, fails, does not respond or resets connections, and while Redis or RabbitMQ is away.

RabbitMQ, Redis, the mapping's poller and dispatch are real. Lambda is a stub that decides about each call.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from darkroom import config, timeouts
from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError
from darkroom.jobs import lifecycle
from darkroom.services import aws, rabbitmq
from darkroom.services.redis import leases, script_runner, slots, views
from functions.dispatch import app
from functions.dispatch.invoker import CALLS_WHILE_AVAILABLE
from tests.integration.conftest import BreakService, MakeJob, Take, on_channel
from tests.integration.dispatching import Worker, almost_over, batch, body_of, mapping
from tests.support.lambda_context import LambdaContext
from tests.support.lambda_stub import LambdaStub, Reply, accept, running_stub
from tests.support.waiting import wait_until

RESIZE = Operation.RESIZE
DELAYED = f"darkroom.resize.retry.{app.OUTAGE_DELAY_S}s"

#: Seconds without a response after which a call has failed. The stub answers within a fraction.
READ_TIMEOUT_S = 1.0


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, clean: None) -> Iterator[LambdaStub]:
    """Replaces Lambda."""
    stub = LambdaStub(latency_s=0.005)
    limits = replace(timeouts.BACKGROUND, storage_read_s=READ_TIMEOUT_S)
    timeouts.use_timeouts(limits)
    with running_stub(stub) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        aws.client.cache_clear()
        yield stub
    timeouts.use_timeouts(timeouts.BACKGROUND)
    aws.client.cache_clear()


def queue_jobs(make_job: MakeJob, count: int) -> list[Job]:
    jobs = [make_job() for _ in range(count)]
    for job in jobs:
        views.create(job)
        rabbitmq.publish(lifecycle.message_for(job, 1), job.traceparent)
    return jobs


def three_jobs_for_two_slots(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "2")
    config.settings.cache_clear()
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        views.create(job)
    return jobs


@contextmanager
def counted_scripts() -> Iterator[Counter[str]]:
    """Counts the scripts that Redis runs."""
    calls: Counter[str] = Counter()

    def run(name: str, *arguments: Any) -> Any:
        calls[name] += 1
        return script_runner.run_script(name, *arguments)

    with patch.object(slots, "run_script", run):
        yield calls


def depth(queue: str) -> int:
    return int(on_channel("queue_declare", queue, passive=True).method.message_count)


def decide_at_random(seed: int, **shares: float) -> Callable[[dict[str, Any], int], Reply]:
    """Decides by chance, but the same way in every run. `shares` are probabilities by the name of a reply."""
    chance = random.Random(seed)
    replies = [Reply[name] for name in shares]
    rest = 1 - sum(shares.values())
    return lambda _payload, _earlier: chance.choices([*replies, Reply.ACCEPTED], [*shares.values(), rest])[0]


FAULTS = {
    "throttled on half of the calls": {"THROTTLED": 0.5},
    "errors": {"FAILED": 0.3},
    "no response": {"LOST": 0.15},
    "connections reset": {"RESET_BEFORE": 0.15, "RESET_AFTER": 0.15},
    "all of them": {"THROTTLED": 0.3, "FAILED": 0.1, "LOST": 0.05, "RESET_BEFORE": 0.05, "RESET_AFTER": 0.05},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_job_is_started_and_claimed_once_with_few_calls(
    fault: str, make_job: MakeJob, stub: LambdaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "60")
    config.settings.cache_clear()
    stub.decide = decide_at_random(20, **FAULTS[fault])
    jobs = queue_jobs(make_job, 120)

    with Worker(stub, jobs) as worker, mapping(batch_size=50) as busy:
        wait_until(lambda: len(worker.claimed) == len(jobs))
        wait_until(lambda: not (busy.locked() or depth(DELAYED) or rabbitmq.depth(RESIZE)))

    assert set(worker.claimed.values()) == {1}
    assert worker.attempts == {1}
    assert all(count > 0 for name, count in stub.replies.items() if name in FAULTS[fault])
    assert max(stub.calls.values()) <= 4 * CALLS_WHILE_AVAILABLE
    assert stub.calls.total() <= 3 * len(jobs)
    assert slots.in_flight()[RESIZE] == 0


def test_calls_are_rare_while_lambda_refuses_all(make_job: MakeJob, stub: LambdaStub, take: Take) -> None:
    stub.decide = lambda _payload, _earlier: Reply.THROTTLED
    jobs = [make_job() for _ in range(20)]
    for job in jobs:
        views.create(job)

    outcomes = app.handler(batch(*map(body_of, jobs)), almost_over(3))

    assert outcomes == {"delayed": 20}
    assert max(stub.calls.values()) <= 8  # pauses of 0.05 to 0.1 s, then twice as long each time
    assert slots.in_flight()[RESIZE] == 0
    returned = [take(DELAYED) for _ in jobs]
    assert [each["body"]["attempt"] for each in returned] == [1] * 20
    assert [each["body"]["job_id"] for each in returned] == [job.job_id for job in jobs]
    assert take(DELAYED) is None


@pytest.mark.parametrize("reply", [Reply.LOST, Reply.FAILED, Reply.RESET_AFTER, Reply.RESET_BEFORE])
def test_run_that_lambda_may_have_started_keeps_its_slot(
    reply: Reply, make_job: MakeJob, stub: LambdaStub, take: Take
) -> None:
    job = make_job()
    views.create(job)
    stub.decide = lambda _payload, _earlier: reply

    assert app.handler(batch(body_of(job)), almost_over()) == {"delayed": 1}

    assert slots.in_flight()[RESIZE] == 1
    assert take(DELAYED)["body"]["attempt"] == 1


def test_slot_of_a_run_that_an_earlier_delivery_may_have_started_is_not_released(
    make_job: MakeJob, stub: LambdaStub
) -> None:
    job = make_job()
    views.create(job)
    stub.decide = lambda _payload, _earlier: Reply.FAILED
    app.handler(batch(body_of(job)), almost_over())
    stub.decide = lambda _payload, _earlier: Reply.THROTTLED

    assert app.handler(batch(body_of(job)), almost_over()) == {"delayed": 1}

    assert stub.replies[Reply.THROTTLED] >= 1
    assert slots.in_flight()[RESIZE] == 1


def test_refused_call_after_an_unanswered_one_keeps_the_slot(make_job: MakeJob, stub: LambdaStub) -> None:
    job = make_job()
    views.create(job)
    stub.decide = lambda _payload, earlier: Reply.FAILED if earlier == 0 else Reply.THROTTLED

    assert app.handler(batch(body_of(job)), almost_over(1.5)) == {"delayed": 1}

    assert stub.replies[Reply.THROTTLED] >= 1
    assert slots.in_flight()[RESIZE] == 1


def test_slot_of_a_refused_run_is_free_while_the_rest_of_the_batch_waits(
    make_job: MakeJob, stub: LambdaStub, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next message starts the job: the end of the batch may be minutes away."""
    jobs = three_jobs_for_two_slots(make_job, monkeypatch)
    refused = jobs[1].job_id
    stub.decide = lambda payload, earlier: (
        Reply.THROTTLED
        if payload["message"]["job_id"] == refused and earlier < CALLS_WHILE_AVAILABLE
        else Reply.ACCEPTED
    )

    assert app.handler(batch(*map(body_of, jobs)), almost_over(6)) == {"started": 2, "delayed": 1}

    assert [each["message"]["job_id"] for each in stub.started] == [jobs[0].job_id, refused]
    assert take(DELAYED)["body"]["job_id"] == refused


def test_message_whose_calls_failed_returns_while_the_rest_of_the_batch_waits(
    make_job: MakeJob, stub: LambdaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = three_jobs_for_two_slots(make_job, monkeypatch)
    stub.decide = lambda payload, _: Reply.FAILED if payload["message"]["job_id"] == jobs[1].job_id else Reply.ACCEPTED

    with ThreadPoolExecutor(1) as threads:
        outcomes = threads.submit(app.handler, batch(*map(body_of, jobs)), almost_over(6))
        wait_until(lambda: depth(DELAYED) + rabbitmq.depth(RESIZE) >= 1)
        assert not outcomes.done()

    assert outcomes.result() == {"started": 1, "delayed": 1, "requeued": 1}
    assert slots.in_flight()[RESIZE] == 2


def test_message_of_a_started_run_starts_no_other_one(make_job: MakeJob, stub: LambdaStub) -> None:
    job = make_job()
    views.create(job)
    stub.decide = lambda _payload, _earlier: Reply.LOST
    app.handler(batch(body_of(job)), almost_over(0.1))
    calls = stub.calls.total()
    leases.claim(job.ref, RESIZE, attempt=1, run="a-run", lease_ms=60_000)

    assert app.handler(batch(body_of(job)), LambdaContext()) == {"stale": 1}
    assert stub.calls.total() == calls


def test_runs_start_in_the_order_of_their_messages_within_the_limit(
    make_job: MakeJob, stub: LambdaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "1")
    config.settings.cache_clear()
    jobs = [make_job() for _ in range(30)]
    for job in jobs:
        views.create(job)

    with Worker(stub, jobs, delay_s=0.01) as worker:
        assert app.handler(batch(*map(body_of, jobs)), LambdaContext()) == {"started": 30}

    assert [each["message"]["job_id"] for each in stub.started] == [job.job_id for job in jobs]
    assert worker.most_in_flight == 1


def test_messages_without_a_slot_are_requeued_in_their_order(
    make_job: MakeJob, stub: LambdaStub, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "2")
    config.settings.cache_clear()
    jobs = [make_job() for _ in range(10)]
    for job in jobs:
        views.create(job)

    assert app.handler(batch(*map(body_of, jobs)), almost_over()) == {"started": 2, "requeued": 8}

    assert {each["message"]["job_id"] for each in stub.started} == {job.job_id for job in jobs[:2]}
    assert [take("darkroom.resize")["body"]["job_id"] for _ in range(8)] == [job.job_id for job in jobs[2:]]


def test_freed_slots_of_the_past_do_not_make_dispatch_try_again_and_again(
    make_job: MakeJob, stub: LambdaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", "1")
    config.settings.cache_clear()
    earlier = [make_job() for _ in range(20)]
    for job in earlier:
        views.create(job)
    with Worker(stub, earlier):
        app.handler(batch(*map(body_of, earlier)), LambdaContext())
    holder, waiting = make_job(), make_job()
    for job in (holder, waiting):
        views.create(job)
    with counted_scripts() as calls:
        app.handler(batch(body_of(holder), body_of(waiting)), almost_over(1))

    assert calls["acquire_slots"] <= 2


def test_valid_messages_start_although_an_invalid_one_cannot_be_parked(
    make_job: MakeJob, stub: LambdaStub, break_service: BreakService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    views.create(job)
    break_service("broker")

    with pytest.raises(BrokerUnavailableError):
        app.handler(batch(b"not json", body_of(job)), LambdaContext())

    assert stub.calls[job.job_id] == 1


def test_outage_of_redis_delays_the_message_of_the_same_attempt(
    make_job: MakeJob, stub: LambdaStub, break_service: BreakService, take: Take
) -> None:
    job = make_job()
    break_service("cache")

    assert app.handler(batch(body_of(job, attempt=3)), almost_over()) == {"delayed": 1}

    assert take(DELAYED)["body"]["attempt"] == 3
    assert not stub.calls


def test_batch_that_can_be_neither_started_nor_requeued_is_delivered_again(
    make_job: MakeJob, stub: LambdaStub, break_service: BreakService
) -> None:
    jobs = [make_job(), make_job()]
    for job in jobs:
        views.create(job)
    refused = jobs[1].job_id
    stub.decide = lambda payload, _: Reply.THROTTLED if payload["message"]["job_id"] == refused else Reply.ACCEPTED
    break_service("broker")

    with pytest.raises(BrokerUnavailableError):
        app.handler(batch(*map(body_of, jobs)), almost_over())

    with Worker(stub, jobs) as worker:
        wait_until(lambda: len(worker.claimed) == 1)
        stub.decide = accept
        # The message of the ended job starts the other one, which leaves nothing to do for its own message.
        assert app.handler(batch(*map(body_of, jobs)), LambdaContext()) == {"started": 1, "stale": 1}
    assert set(worker.claimed.values()) == {1}
    assert set(worker.claimed) == {job.job_id for job in jobs}
