"""Sweep's step for the usage crashes at each of its writes, one by one. What is counted must be exact in the end."""

import time
from collections.abc import Callable

import pytest

from darkroom import ids
from darkroom.jobs import lifecycle
from darkroom.services.redis.client import redis_client
from functions.sweep import recounting
from functions.sweep import usage as sweep_usage
from tests.integration.crash_injection import AFTER, BEFORE, CrashInjector, ProcessCrash, inject_crashes
from tests.integration.simulation import new_deployment
from tests.integration.usage_jobs import (
    HOUR_MS,
    TENANTS,
    accept,
    counted,
    has_counted_since,
    make_job,
    make_result,
    truth_in_s3,
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recounting, "RECORDED_WITHIN_S", 0)
    monkeypatch.setattr(recounting, "LISTED_KEYS", 3)


def run(injector: CrashInjector, work: Callable[[], object]) -> None:
    """Runs a process, and another one if it crashes."""
    for _ in range(2):
        try:
            with inject_crashes(injector, lambda _arguments: None):
                work()
            return
        except ProcessCrash:
            injector.start_process()
    pytest.fail("both processes crashed")


def lose_data_between_jobs(number: int, when: str) -> CrashInjector:
    """Jobs of two tenants, before and after a loss of Redis, with a crash at write `number` (0: none)."""
    new_deployment("usage")
    injector = CrashInjector(number, when)
    now_ms = int(time.time() * 1000)
    has_counted_since(now_ms - 24 * HOUR_MS, *TENANTS[:2])

    def use(tenant: str, created_ms: int) -> None:
        job = make_job(tenant, created_ms)
        run(injector, lambda: accept(job))
        result = make_result(job, int(time.time() * 1000))
        run(injector, lambda: lifecycle.end(job, result))

    def sweep(passes: int) -> None:
        for _ in range(passes):
            run(injector, lambda: sweep_usage.keep_usage(time.monotonic() + 60))

    for tenant in TENANTS[:2]:
        use(tenant, now_ms - 5 * HOUR_MS)
        use(tenant, now_ms)
    sweep(1)
    use(TENANTS[0], ids.created_ms(ids.new_id()))
    redis_client().flushdb()
    use(TENANTS[1], ids.created_ms(ids.new_id()))
    sweep(4)
    use(TENANTS[1], ids.created_ms(ids.new_id()))
    sweep(1)
    assert counted() == truth_in_s3(), f"crash {when} write {number}, {injector.crashed_write}: {injector.writes}"
    return injector


def test_usage_is_exact_after_a_crash_at_any_write() -> None:
    undisturbed = lose_data_between_jobs(0, BEFORE)
    writes = undisturbed.writes

    assert {"usage/acme", "result.json"} <= {part for part in ("usage/acme", "result.json") if part in " ".join(writes)}
    for number in range(1, len(writes) + 1):
        lose_data_between_jobs(number, AFTER)
