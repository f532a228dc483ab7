"""A job's life with a crash at each write, one by one.

A scenario runs once without a crash, which counts its writes. Then it runs once per write, and the process that makes
this write is killed. The retries of Lambda, S3 and the mapping, and sweep, must then bring every accepted job to one
end, with nothing left behind.

A crash before a write equals a crash after the previous one, so each scenario runs with a crash after every write and
one before the first. `DARKROOM_EVERY_POINT=1` runs both for every write, and every scenario also without settle.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from darkroom.jobs import lifecycle
from darkroom.media.task import Rendition, Task
from darkroom.services import rabbitmq
from darkroom.services.redis.client import redis_client
from tests.integration.crash_injection import AFTER, BEFORE, CrashInjector
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

#: Runs one scenario. Returns the ids of the jobs whose client got a response, which must not be lost.
Scenario = Callable[[Simulation], list[str]]

EVERY_POINT = bool(os.environ.get("DARKROOM_EVERY_POINT"))


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(lifecycle, "MAX_ATTEMPTS", 2)  # more would only make the scenarios longer


def submitted(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def uploaded_with_two_jobs(simulation: Simulation) -> list[str]:
    file_id = simulation.upload_with_jobs(2)
    if not simulation.notify_ingest(file_id):
        simulation.notify_ingest(file_id)  # Lambda retries an asynchronous invocation
    simulation.run_until_idle()
    return list(simulation.jobs)


def uploaded_and_ingest_never_retried(simulation: Simulation) -> list[str]:
    file_id = simulation.upload_with_jobs(2)
    simulation.notify_ingest(file_id)
    simulation.run_until_idle()
    return list(simulation.jobs)


def uploaded_with_jobs_that_do_not_accept_the_file(simulation: Simulation) -> list[str]:
    file_id = simulation.upload_with_jobs(2, b"just text, whatever its name")
    if not simulation.notify_ingest(file_id):
        simulation.notify_ingest(file_id)
    simulation.run_until_idle()
    return list(simulation.jobs)


def corrupt_media(simulation: Simulation) -> list[str]:
    simulation.operation = fail_on_corrupt_media
    return submitted(simulation)


def outage_during_the_first_run(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    simulation.deliver()
    simulation.operation = fail_on_outage
    simulation.run()
    simulation.operation = copy_twice
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def raise_zero_division_error(_task: Task, _params: Any) -> list[Rendition]:
    raise ZeroDivisionError


def defect_in_the_operation(simulation: Simulation) -> list[str]:
    simulation.operation = raise_zero_division_error
    return submitted(simulation)


def canceled_while_queued(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    simulation.cancel(job.job_id)
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def canceled_during_the_run(simulation: Simulation) -> list[str]:
    job = simulation.new_job()

    def cancel_then_copy(task: Task, params: Any) -> list[Rendition]:
        simulation.cancel(job.job_id)
        return copy_twice(task, params)

    simulation.operation = cancel_then_copy
    responded = simulation.accept(job)
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def delivered_twice(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    simulation.deliver(again=True)
    simulation.run(again=True)
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def redis_emptied_during_the_run(simulation: Simulation) -> list[str]:
    job = simulation.new_job()

    def flush_then_copy(task: Task, params: Any) -> list[Rendition]:
        redis_client().flushdb()
        return copy_twice(task, params)

    simulation.operation = flush_then_copy
    responded = simulation.accept(job)
    simulation.deliver()
    simulation.run()
    simulation.operation = copy_twice
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def redis_emptied_before_the_run(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    redis_client().flushdb()
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def message_lost(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    channel().queue_purge(rabbitmq.queue_of(RESIZE))
    simulation.run_until_idle()
    return [job.job_id] if responded else []


def queues_lost(simulation: Simulation) -> list[str]:
    job = simulation.new_job()
    responded = simulation.accept(job)
    for queue in work_queues():
        channel().queue_delete(queue)
    simulation.sweep()
    simulation.run_until_idle()
    return [job.job_id] if responded else []


SCENARIOS = [
    submitted,
    uploaded_with_two_jobs,
    uploaded_and_ingest_never_retried,
    uploaded_with_jobs_that_do_not_accept_the_file,
    corrupt_media,
    outage_during_the_first_run,
    defect_in_the_operation,
    canceled_while_queued,
    canceled_during_the_run,
    delivered_twice,
    redis_emptied_during_the_run,
    redis_emptied_before_the_run,
    message_lost,
    queues_lost,
]

WITHOUT_SETTLE = [submitted, uploaded_and_ingest_never_retried, canceled_during_the_run, redis_emptied_during_the_run]


def simulate(scenario: Scenario, crash_at: int, when: str, *, invokes_settle: bool) -> Simulation:
    start_empty("crash")
    simulation = Simulation(CrashInjector(crash_at, when), invokes_settle=invokes_settle)
    accepted = scenario(simulation)
    problems = simulation.final_problems(accepted)
    crash = f"crash {when} write {crash_at} ({simulation.crashes.crashed_at})" if crash_at else "no crash"
    settle = "with settle" if invokes_settle else "without settle"
    assert not problems, (
        f"{crash}, {settle}: {'; '.join(problems)}. Writes: {simulation.crashes.writes}. {simulation.last_error!r}"
    )
    return simulation


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_job_survives_a_crash_at_every_write(scenario: Scenario) -> None:
    crash_at_every_write(scenario, invokes_settle=True)


@pytest.mark.parametrize(
    "scenario", SCENARIOS if EVERY_POINT else WITHOUT_SETTLE, ids=lambda scenario: scenario.__name__
)
def test_a_job_survives_a_crash_that_only_sweep_notices(scenario: Scenario) -> None:
    crash_at_every_write(scenario, invokes_settle=False)


def crash_at_every_write(scenario: Scenario, *, invokes_settle: bool) -> None:
    without_crash = simulate(scenario, 0, BEFORE, invokes_settle=invokes_settle)
    writes = range(1, len(without_crash.crashes.writes) + 1)
    points = [(number, when) for number in writes for when in ((BEFORE, AFTER) if EVERY_POINT else (AFTER,))]
    failures = []
    for number, when in [(1, BEFORE), *points]:
        try:
            simulation = simulate(scenario, number, when, invokes_settle=invokes_settle)
        except AssertionError as error:
            failures.append(str(error))
        else:
            if not simulation.crashes.crashed_at:  # this run needed fewer passes of sweep, and so fewer writes
                assert number > len(writes) - 3, f"the second run had no write {number} of {len(writes)}"
                break
    assert not failures, "\n".join(failures)


def test_every_kind_of_write_is_counted() -> None:
    """Without this, the other tests would pass if a client library's writes were no longer intercepted."""
    writes = " ".join(simulate(submitted, 0, BEFORE, invokes_settle=True).crashes.writes)

    for write in ("job.json", "redis EVALSHA", "publish darkroom.resize", "Invoke", "processed/", "result.json"):
        assert write in writes
