"""The checks of chaos find what they look for, and excuse what a fault explains."""

import json
import time

import pytest

from tests.chaos.faults.kinds import BROKER, CACHE, EMULATOR, STORAGE, InjectedFault, killed
from tests.chaos.function_logs import FailedInvocation, failures_in, requests_in
from tests.chaos.monitor import is_late, order_of
from tests.chaos.timelines import timeline_problems
from tests.chaos.tracking import TrackedJob, Tracker
from tests.chaos.traffic import Exchange
from tests.chaos.watching import filter_problem

NOW = 1_800_000_000.0
DELAYS_S = (1, 2, 5, 10)


def fault(kind: str, *affects: str, start: float = 0, end: float = 5) -> InjectedFault:
    return InjectedFault(kind, frozenset(affects), NOW + start, NOW + end)


def exchange(status: int, seconds: float, *, retry_after: bool = False, wait_s: float = 0) -> Exchange:
    return Exchange(NOW, seconds, "GET /jobs/{id}", status, "", retry_after, wait_s)


def test_response_is_wrong_if_it_is_a_5xx_but_503_with_retry_after() -> None:
    assert exchange(500, 1).problem
    assert exchange(502, 1).problem
    assert exchange(503, 1).problem
    assert not exchange(503, 1, retry_after=True).problem
    assert not exchange(404, 1).problem


def test_response_is_wrong_if_it_takes_longer_than_its_limit_and_the_time_it_was_asked_to_wait() -> None:
    assert exchange(200, 10.5).problem
    assert not exchange(200, 10.5, wait_s=3).problem
    assert exchange(200, 13.5, wait_s=3).problem
    assert not exchange(0, 40).problem


def test_status_after_a_terminal_one_is_a_contradiction() -> None:
    tracker = Tracker()
    tracker.track(TrackedJob("a", "image", "resize", NOW))
    tracker.update("a", "canceled", {}, time.time(), "DELETE")

    tracker.update("a", "queued", {}, time.time() - 5, "GET /jobs")
    assert tracker.errors == []
    tracker.update("a", "queued", {}, time.time() + 5, "GET /jobs")
    tracker.update("a", "completed", {}, time.time() - 5)

    assert tracker.errors == [
        "a was canceled and is queued by GET /jobs",
        "a was canceled and is completed by GET by id",
    ]


def test_claim_is_late_if_the_slot_of_the_attempt_had_expired() -> None:
    timeline = "1000 accepted 0\n2000 dispatched 1\n16999 claimed 1\n20000 attempt_failed 1\n21000 dispatched 2"

    assert not is_late(timeline, 1, 15_000)
    assert is_late(timeline, 1, 14_000)
    assert not is_late(timeline, 2, 1)  # no run has claimed it
    assert is_late(f"{timeline}\n40000 claimed 2", 2, 15_000)
    assert not is_late("16999 claimed 1", 1, 1)  # Redis did not know the job when it was dispatched
    assert not is_late("", 1, 1)


def test_job_in_a_list_must_match_its_filter() -> None:
    summary = {"job_id": "a", "status": "queued", "operation": "resize"}

    assert not filter_problem(summary, {"status": "queued"})
    assert filter_problem(summary, {"status": "canceled"})


@pytest.mark.parametrize(("before", "after"), [("", "1 a"), ("1 a", "1 b"), ("1 b", "2 "), ("9 b", "10 a")])
def test_cursor_moves_forward_within_a_cycle_and_to_the_next(before: str, after: str) -> None:
    assert order_of(before) < order_of(after)


def lines(*own: str, seconds: float = 2) -> list[tuple[int, str]]:
    texts = [
        "START RequestId: 1",
        *own,
        "END RequestId: 1",
        f"REPORT RequestId: 1\tDuration: {seconds * 1000:.0f} ms\t",
    ]
    return [(int(NOW * 1000), text) for text in texts]


TRACEBACK = ("Traceback (most recent call last):", '  File "app.py", line 1, in handler')


def test_invocation_that_returned_has_not_failed() -> None:
    assert list(failures_in("settle", lines('{"level":"INFO","message":"settled"}'))) == []


@pytest.mark.parametrize(
    ("own", "error"),
    [
        ((*TRACEBACK, "darkroom.errors.BrokerUnavailableError: no"), "darkroom.errors.BrokerUnavailableError"),
        ((*TRACEBACK, "KeyError: 'x'"), "KeyError"),
        (("Worker process died",), "died"),
        (("Task timed out after 60.00 seconds",), "Task timed out"),
    ],
)
def test_failed_invocation_is_found_with_its_time(own: tuple[str, ...], error: str) -> None:
    [failed] = failures_in("settle", lines(*own))

    assert failed.error == error
    assert (failed.started, failed.ended) == (NOW - 2, NOW)


def test_failed_step_of_sweep_is_found() -> None:
    entry = {"message": "sweep step failed", "step": "repaired", "code": "broker_unavailable", "reason": "no"}

    [failed] = failures_in("sweep", lines(json.dumps(entry)))

    assert failed.explained([fault("RabbitMQ hangs", BROKER)])
    assert not failed.explained([fault("Redis hangs", CACHE)])


def test_requests_of_the_api_are_found_with_their_time() -> None:
    entry = {"message": "request", "route": "/jobs", "status": 200, "ms": 12_500.5}

    assert list(requests_in(lines('{"message": "swept"}', '{"message": "requ', json.dumps(entry)))) == [(NOW, 12.5005)]


@pytest.mark.parametrize(
    ("function", "error", "affected", "explained"),
    [
        ("settle", "darkroom.errors.BrokerUnavailableError", BROKER, True),
        ("settle", "darkroom.errors.BrokerUnavailableError", STORAGE, False),
        ("settle", "darkroom.errors.StorageUnavailableError", EMULATOR, True),
        ("settle", "died", killed("settle"), True),
        ("settle", "died", killed("sweep"), False),
        ("settle", "KeyError", BROKER, False),
        ("settle", "Task timed out", BROKER, False),
        ("sweep", "darkroom.errors.BrokerUnavailableError", BROKER, False),
        ("sweep", "died", killed("sweep"), True),
    ],
)
def test_only_a_fault_of_what_failed_explains_a_failure(
    function: str, error: str, affected: str, explained: bool
) -> None:
    failed = FailedInvocation(function, NOW + 1, NOW + 3, error, "detail")

    assert failed.explained([fault("any", affected)]) is explained
    assert not failed.explained([fault("earlier", affected, start=-100, end=-50)])


def job(*events: tuple[float, str, int], errors: tuple[str, ...] = ()) -> TrackedJob:
    document = {
        "timeline": [
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW + at)) + f".{round(at % 1 * 1000):03}Z",
                "event": event,
                "attempt": attempt,
            }
            for at, event, attempt in events
        ],
        "errors": [{"code": code, "message": ""} for code in errors],
    }
    return TrackedJob("a", "image", "resize", NOW, NOW + 100, "completed", document)


def test_retry_must_wait_at_least_half_of_its_delay() -> None:
    early = job((0, "claimed", 2), (1, "attempt_failed", 2), (1.5, "claimed", 3))
    waited = job((0, "claimed", 2), (1, "attempt_failed", 2), (2.25, "claimed", 3))

    assert len(timeline_problems([early], [], DELAYS_S)[0]) == 1
    assert timeline_problems([early], [fault("any", BROKER)], DELAYS_S)[0] == []
    assert timeline_problems([waited], [], DELAYS_S)[0] == []


def test_killed_run_must_be_noticed_soon() -> None:
    kill = fault("running worker killed", killed("resize"), start=2, end=2)

    assert timeline_problems([job((0, "claimed", 1), (60, "attempt_failed", 1))], [kill], DELAYS_S)[1]
    assert not timeline_problems([job((0, "claimed", 1), (9, "attempt_failed", 1))], [kill], DELAYS_S)[1]


def test_run_must_not_count_as_died_unless_one_was_killed() -> None:
    died = job((0, "claimed", 1), (9, "attempt_failed", 1), errors=("worker_died",))

    assert timeline_problems([died], [fault("slow link", STORAGE)], DELAYS_S)[1]
    assert not timeline_problems([died], [fault("kill", killed("resize"))], DELAYS_S)[1]
