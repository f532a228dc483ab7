"""A model of the life cycle, explored by Hypothesis with the real code under it, against real Redis, RabbitMQ and S3.

The machine takes steps in any order: messages come twice and out of order, runs die at any write and before anybody
notices, news is late and repeated, Redis is emptied, messages are lost. After every step what a client sees must be
consistent; in the end every accepted job must have ended, once, with nothing left behind.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from darkroom import config
from darkroom.services import aws, rabbitmq
from darkroom.services.redis import slots
from darkroom.services.redis.client import redis_client
from functions.dispatch import app as dispatch
from tests.integration.crash_injection import AFTER, BEFORE
from tests.integration.simulation import RESIZE, World, channel, copy, corrupt, unlucky

#: Runs at the same time, in the model's deployment.
LIMIT = 2

JOBS = st.integers(0, 5)
WHEN = st.sampled_from([BEFORE, AFTER])
#: How many writes from now the process dies; 0 is never.
DEATH = st.integers(0, 9)


class LifeOfJobs(RuleBasedStateMachine):
    """Steps of everything that takes part in a job's life, and of everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        os.environ["DARKROOM_BUCKET"] = f"model-{uuid.uuid4().hex[:16]}"
        config.settings.cache_clear()
        aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
        redis_client().flushdb()
        for queue in self._queues():
            channel().queue_purge(queue)
        self.world = World()
        self.accepted: list[str] = []
        self.forgotten = False

    def _queues(self) -> list[str]:
        return [rabbitmq.queue_of(RESIZE), *(rabbitmq.retry_queue_of(RESIZE, s) for s in rabbitmq.RETRY_DELAYS_S)]

    def _doomed(self, writes: int, when: str) -> None:
        """The next process that makes that many writes dies of it."""
        effects = self.world.effects
        effects.number = len(effects.made) + writes if writes else 0
        effects.when = when

    # What people do -------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.jobs) < 4)
    @rule(death=DEATH, when=WHEN)
    def accept(self, death: int, when: str) -> None:
        self._doomed(death, when)
        job = self.world.new_job()
        if self.world.accept(job):
            self.accepted.append(job.job_id)

    @precondition(lambda self: len(self.world.jobs) < 4)
    @rule(death=DEATH, when=WHEN, told=st.booleans())
    def upload(self, death: int, when: str, told: bool) -> None:
        self._doomed(death, when)
        file_id = self.world.upload_with_jobs(1)
        self.accepted.append(self.world.jobs[-1])
        if told:
            self.world.announce(file_id)

    @precondition(lambda self: self.world.jobs)
    @rule(which=JOBS, death=DEATH, when=WHEN)
    def cancel(self, which: int, death: int, when: str) -> None:
        self._doomed(death, when)
        self.world.cancel(self.world.jobs[which % len(self.world.jobs)])

    # What AWS does --------------------------------------------------------------------------------------------------

    @rule(death=DEATH, when=WHEN, again=st.booleans())
    def deliver(self, death: int, when: str, again: bool) -> None:
        self._doomed(death, when)
        self.world.deliver(keep=again)

    @rule(
        which=JOBS,
        death=DEATH,
        when=WHEN,
        again=st.booleans(),
        told=st.booleans(),
        operation=st.sampled_from([copy, copy, copy, corrupt, unlucky]),
    )
    def run(self, which: int, death: int, when: str, again: bool, told: bool, operation) -> None:
        self._doomed(death, when)
        self.world.operation, self.world.told = operation, told
        self.world.run(which, keep=again)

    @rule(which=JOBS, during=st.sampled_from(["cancel", "flush", "sweep late", "twin"]), told=st.booleans())
    def run_while_something_happens(self, which: int, during: str, told: bool) -> None:
        self._doomed(0, BEFORE)
        world = self.world

        def disturbed(task, params):
            world.operation = copy
            if during == "cancel":
                for job_id in world.jobs:
                    world.cancel(job_id)
            elif during == "flush":
                self.flush()
            elif during == "sweep late":
                world.pass_time()
                world.sweep()
                world.deliver()
            world.run(which)
            return copy(task, params)

        world.operation, world.told = disturbed, told
        world.run(which)
        world.operation = copy

    @rule(which=JOBS, death=DEATH, when=WHEN, again=st.booleans())
    def settle(self, which: int, death: int, when: str, again: bool) -> None:
        self._doomed(death, when)
        self.world.settle(which, keep=again)

    @rule(death=DEATH, when=WHEN, late=st.booleans())
    def sweep(self, death: int, when: str, late: bool) -> None:
        self._doomed(death, when)
        if late:
            self.world.pass_time()
        self.world.sweep()

    # What must not matter -------------------------------------------------------------------------------------------

    @rule()
    def flush(self) -> None:
        """Redis loses everything."""
        redis_client().flushdb()
        self.forgotten = True

    @rule()
    def purge(self) -> None:
        """Messages are lost."""
        for queue in self._queues():
            channel().queue_purge(queue)

    @rule()
    def forget_news(self) -> None:
        """Lambda loses what it was to tell settle."""
        self.world.failures.clear()

    # What must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def consistent(self) -> None:
        wrong = self.world.look()
        assert not wrong, "; ".join(wrong)

    @invariant()
    def within_limits(self) -> None:
        taken = slots.in_flight()[RESIZE]
        assert taken <= LIMIT or self.forgotten, f"{taken} slots of {LIMIT} are taken"

    def teardown(self) -> None:
        self._doomed(0, BEFORE)
        self.world.operation, self.world.told = copy, True
        self.world.drain()
        wrong = self.world.reckon(self.accepted)
        assert not wrong, "; ".join(wrong)


@pytest.fixture(autouse=True)
def small_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", str(LIMIT))
    monkeypatch.setattr(dispatch, "RESERVE_MS", 59_900)  # a full house gives messages back at once
    monkeypatch.setattr(dispatch, "SLOT_WAIT_S", 0.01)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


EXAMPLES = int(os.environ.get("DARKROOM_MODEL_EXAMPLES", "80"))


def test_whatever_happens_in_whatever_order_every_accepted_job_ends_once() -> None:
    run_state_machine_as_test(
        LifeOfJobs,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            derandomize="DARKROOM_MODEL_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
