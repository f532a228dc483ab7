"""A state machine of the life cycle, explored by Hypothesis: the real code on real Redis, RabbitMQ and S3.

The machine takes steps in any order: messages arrive twice and out of order, processes crash at any write, settle is
late, repeated or never invoked, Redis is emptied, messages are lost. After every step, the view and the ledger must be
consistent. At the end, every accepted job must have ended exactly once, with nothing left behind.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
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
from darkroom.media.task import Rendition, Task
from darkroom.services.redis import slots
from darkroom.services.redis.client import redis_client
from functions.dispatch import app as dispatch
from tests.integration.crash_injection import AFTER, BEFORE
from tests.integration.simulation import (
    RESIZE,
    Simulation,
    channel,
    copy_twice,
    fail_on_corrupt_media,
    fail_on_outage,
    start_empty,
    work_queues,
)

#: Slots of the operation in the simulated deployment.
SLOTS = 2

#: The most jobs of one example, so that they interact.
JOBS = 4

#: Selects a job or an invocation; taken modulo their number.
INDEXES = st.integers(0, 5)

#: The next process crashes at this write from now, before or after it; 0 is no crash.
CRASHES = st.integers(0, 9)
WHEN = st.sampled_from([BEFORE, AFTER])


class JobLifeCycle(RuleBasedStateMachine):
    """The steps of clients and of AWS, and the faults, in any order."""

    def __init__(self) -> None:
        super().__init__()
        start_empty("model")
        self.simulation = Simulation()
        self.accepted: list[str] = []
        self.redis_was_emptied = False

    def _crash(self, at: int, when: str) -> None:
        """Makes the next process that makes write `at`, counted from now, crash at it."""
        crashes = self.simulation.crashes
        crashes.crash_at = len(crashes.writes) + at if at else 0
        crashes.when = when

    # Steps of clients -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.simulation.jobs) < JOBS)
    @rule(crash=CRASHES, when=WHEN)
    def accept(self, crash: int, when: str) -> None:
        self._crash(crash, when)
        job = self.simulation.new_job()
        if self.simulation.accept(job):
            self.accepted.append(job.job_id)

    @precondition(lambda self: len(self.simulation.jobs) < JOBS)
    @rule(crash=CRASHES, when=WHEN, notified=st.booleans())
    def upload(self, crash: int, when: str, notified: bool) -> None:
        self._crash(crash, when)
        file_id = self.simulation.upload_with_jobs(1)
        self.accepted.append(self.simulation.jobs[-1])
        if notified:
            self.simulation.notify_ingest(file_id)

    @precondition(lambda self: self.simulation.jobs)
    @rule(which=INDEXES, crash=CRASHES, when=WHEN)
    def cancel(self, which: int, crash: int, when: str) -> None:
        self._crash(crash, when)
        self.simulation.cancel(self.simulation.jobs[which % len(self.simulation.jobs)])

    # Steps of AWS ---------------------------------------------------------------------------------------------------

    @rule(crash=CRASHES, when=WHEN, again=st.booleans())
    def deliver(self, crash: int, when: str, again: bool) -> None:
        self._crash(crash, when)
        self.simulation.deliver(again=again)

    @rule(
        which=INDEXES,
        crash=CRASHES,
        when=WHEN,
        again=st.booleans(),
        invokes_settle=st.booleans(),
        operation=st.sampled_from([copy_twice, copy_twice, copy_twice, fail_on_corrupt_media, fail_on_outage]),
    )
    def run(
        self,
        which: int,
        crash: int,
        when: str,
        again: bool,
        invokes_settle: bool,
        operation: Callable[[Task, Any], list[Rendition]],
    ) -> None:
        self._crash(crash, when)
        self.simulation.operation, self.simulation.invokes_settle = operation, invokes_settle
        self.simulation.run(which, again=again)

    @rule(
        which=INDEXES,
        event=st.sampled_from(["cancel", "flush", "lease expired", "second run"]),
        invokes_settle=st.booleans(),
    )
    def run_while_something_happens(self, which: int, event: str, invokes_settle: bool) -> None:
        self._crash(0, BEFORE)
        simulation = self.simulation

        def disturbed(task: Task, params: Any) -> list[Rendition]:
            simulation.operation = copy_twice
            if event == "cancel":
                for job_id in simulation.jobs:
                    simulation.cancel(job_id)
            elif event == "flush":
                self.flush()
            elif event == "lease expired":
                simulation.advance_time()
                simulation.sweep()
                simulation.deliver()
            simulation.run(which)
            return copy_twice(task, params)

        simulation.operation, simulation.invokes_settle = disturbed, invokes_settle
        simulation.run(which)
        simulation.operation = copy_twice

    @rule(which=INDEXES, crash=CRASHES, when=WHEN, again=st.booleans())
    def settle(self, which: int, crash: int, when: str, again: bool) -> None:
        self._crash(crash, when)
        self.simulation.settle(which, again=again)

    @rule(crash=CRASHES, when=WHEN, late=st.booleans())
    def sweep(self, crash: int, when: str, late: bool) -> None:
        self._crash(crash, when)
        if late:
            self.simulation.advance_time()
        self.simulation.sweep()

    # Faults ---------------------------------------------------------------------------------------------------------

    @rule()
    def flush(self) -> None:
        """Redis loses everything."""
        redis_client().flushdb()
        self.redis_was_emptied = True

    @rule()
    def purge(self) -> None:
        """RabbitMQ loses the messages."""
        for queue in work_queues():
            channel().queue_purge(queue)

    @rule()
    def forget_failures(self) -> None:
        """Lambda does not invoke settle for the runs that have crashed so far."""
        self.simulation.failures.clear()

    # Invariants -----------------------------------------------------------------------------------------------------

    @invariant()
    def view_and_ledger_are_consistent(self) -> None:
        problems = self.simulation.inconsistencies()
        assert not problems, "; ".join(problems)

    @invariant()
    def taken_slots_are_within_the_limit(self) -> None:
        taken = slots.in_flight()[RESIZE]
        assert taken <= SLOTS or self.redis_was_emptied, f"{taken} of {SLOTS} slots are taken"

    def teardown(self) -> None:
        self._crash(0, BEFORE)
        self.simulation.operation, self.simulation.invokes_settle = copy_twice, True
        self.simulation.run_until_idle()
        problems = self.simulation.final_problems(self.accepted)
        assert not problems, "; ".join(problems)


@pytest.fixture(autouse=True)
def small_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("DARKROOM_IN_FLIGHT_IMAGE", str(SLOTS))
    monkeypatch.setattr(dispatch, "RESERVE_MS", 59_900)  # dispatch returns a message at once when no slot is free
    monkeypatch.setattr(dispatch, "SLOT_WAIT_S", 0.01)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


EXAMPLES = int(os.environ.get("DARKROOM_MODEL_EXAMPLES", "80"))


def test_every_accepted_job_ends_once_after_any_sequence_of_steps_and_faults() -> None:
    run_state_machine_as_test(
        JobLifeCycle,
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
