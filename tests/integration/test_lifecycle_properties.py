"""A stateful property test with Hypothesis: the handlers with a real Redis, RabbitMQ and S3, and steps in any order.

Messages arrive twice and out of order, processes crash at any write, events are late or repeated, Redis loses its data,
messages are lost. After every step, clients must see a consistent state. In the end, every accepted job must have
ended, once, and have left nothing behind.
"""

import os
from collections.abc import Iterator
from typing import Any

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
from darkroom.contracts.jobs import Priority
from darkroom.jobs import ledger
from darkroom.media.task import Rendition, Task
from darkroom.services.redis import slots
from darkroom.services.redis.client import redis_client
from functions.dispatch import app as dispatch
from tests.integration.crash_injection import AFTER, BEFORE
from tests.integration.simulation import (
    QUEUES,
    RESIZE,
    Operate,
    Simulation,
    channel,
    copy,
    fail_in_an_outage,
    find_corrupt,
    let_entries_be_looked_up_at_once,
    new_deployment,
)
from tests.support.tenants import ref_of

#: The most runs in flight.
LIMIT = 2

JOBS = st.integers(0, 5)
WHEN = st.sampled_from([BEFORE, AFTER])
#: How many writes from now the process crashes; 0 is never.
CRASH = st.integers(0, 9)


class JobLifecycle(RuleBasedStateMachine):
    """Every step that clients and AWS can take, and every failure."""

    def __init__(self) -> None:
        super().__init__()
        new_deployment("model")
        self.simulation = Simulation()
        self.accepted: list[str] = []
        self.data_lost = False

    def _plan_crash(self, writes: int, when: str) -> None:
        """Makes the process crash that makes the last of this many further writes; 0 is none."""
        injector = self.simulation.injector
        injector.number = len(injector.writes) + writes if writes else 0
        injector.when = when

    # Steps of clients -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.simulation.jobs) < 4)
    @rule(crash=CRASH, when=WHEN, priority=st.sampled_from(["normal", "batch"]))
    def accept(self, crash: int, when: str, priority: Priority) -> None:
        self._plan_crash(crash, when)
        job = self.simulation.new_job(priority=priority)
        if self.simulation.accept(job):
            self.accepted.append(job.job_id)

    @precondition(lambda self: self.simulation.jobs)
    @rule(which=JOBS, crash=CRASH, when=WHEN)
    def accept_again(self, which: int, crash: int, when: str) -> None:
        """A client repeats the request, with the same idempotency key."""
        job = ledger.read_job(ref_of(self.simulation.jobs[which % len(self.simulation.jobs)]))
        if job is not None:
            self._plan_crash(crash, when)
            self.simulation.accept(job)

    @precondition(lambda self: len(self.simulation.jobs) < 4)
    @rule(crash=CRASH, when=WHEN, reported=st.booleans())
    def upload(self, crash: int, when: str, reported: bool) -> None:
        self._plan_crash(crash, when)
        file_id = self.simulation.upload_with_jobs(1)
        self.accepted.append(self.simulation.jobs[-1])
        if reported:
            self.simulation.report_upload(file_id)

    @precondition(lambda self: self.simulation.jobs)
    @rule(which=JOBS, crash=CRASH, when=WHEN)
    def cancel(self, which: int, crash: int, when: str) -> None:
        self._plan_crash(crash, when)
        self.simulation.cancel(self.simulation.jobs[which % len(self.simulation.jobs)])

    # Steps of AWS ---------------------------------------------------------------------------------------------------

    @rule(crash=CRASH, when=WHEN, again=st.booleans())
    def deliver(self, crash: int, when: str, again: bool) -> None:
        self._plan_crash(crash, when)
        self.simulation.deliver(again=again)

    @rule(
        which=JOBS,
        crash=CRASH,
        when=WHEN,
        again=st.booleans(),
        reported=st.booleans(),
        operation=st.sampled_from([copy, copy, copy, find_corrupt, fail_in_an_outage]),
    )
    def run(self, which: int, crash: int, when: str, again: bool, reported: bool, operation: Operate) -> None:
        self._plan_crash(crash, when)
        self.simulation.operation, self.simulation.failures_reported = operation, reported
        self.simulation.run(which, again=again)

    @rule(
        which=JOBS, during=st.sampled_from(["cancel", "lose data", "sweep late", "run again"]), reported=st.booleans()
    )
    def run_during_another_step(self, which: int, during: str, reported: bool) -> None:
        self._plan_crash(0, BEFORE)
        simulation = self.simulation

        def disturbed(task: Task, params: Any) -> list[Rendition]:
            simulation.operation = copy
            if during == "cancel":
                for job_id in simulation.jobs:
                    simulation.cancel(job_id)
            elif during == "lose data":
                self.lose_data()
            elif during == "sweep late":
                simulation.pass_time()
                simulation.sweep()
                simulation.deliver()
            simulation.run(which)
            return copy(task, params)

        simulation.operation, simulation.failures_reported = disturbed, reported
        simulation.run(which)
        simulation.operation = copy

    @rule(which=JOBS, crash=CRASH, when=WHEN, again=st.booleans())
    def settle(self, which: int, crash: int, when: str, again: bool) -> None:
        self._plan_crash(crash, when)
        self.simulation.settle(which, again=again)

    @rule(crash=CRASH, when=WHEN, late=st.booleans())
    def sweep(self, crash: int, when: str, late: bool) -> None:
        self._plan_crash(crash, when)
        if late:
            self.simulation.pass_time()
        self.simulation.sweep()

    # Failures -------------------------------------------------------------------------------------------------------

    @rule()
    def lose_data(self) -> None:
        """Redis loses its data."""
        redis_client().flushdb()
        self.data_lost = True

    @rule()
    def lose_messages(self) -> None:
        """RabbitMQ loses its messages."""
        for queue in QUEUES:
            channel().queue_purge(queue)

    @rule()
    def lose_failures(self) -> None:
        """Lambda loses the records of failed runs."""
        self.simulation.failures.clear()

    # Checks ---------------------------------------------------------------------------------------------------------

    @invariant()
    def consistent(self) -> None:
        wrong = self.simulation.inconsistencies()
        assert not wrong, "; ".join(wrong)

    @invariant()
    def within_limits(self) -> None:
        taken = slots.in_flight()[RESIZE]
        assert taken <= LIMIT or self.data_lost, f"{taken} slots of {LIMIT} are taken"

    def teardown(self) -> None:
        self._plan_crash(0, BEFORE)
        self.simulation.operation, self.simulation.failures_reported = copy, True
        self.simulation.run_until_idle()
        wrong = self.simulation.problems_at_the_end(self.accepted)
        assert not wrong, "; ".join(wrong)


@pytest.fixture(autouse=True)
def small_deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", str(LIMIT))
    monkeypatch.setattr(dispatch, "REQUEUE_RESERVE_MS", 59_900)  # without a free slot, messages are requeued at once
    monkeypatch.setattr(dispatch, "SLOT_WAIT_S", 0.01)
    let_entries_be_looked_up_at_once(monkeypatch)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


EXAMPLES = int(os.environ.get("DARKROOM_MODEL_EXAMPLES", "80"))


def test_every_accepted_job_ends_once_after_any_steps_and_failures_in_any_order() -> None:
    run_state_machine_as_test(
        JobLifecycle,
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
