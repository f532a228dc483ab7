"""Each step of sweep runs on its own: whatever stops one, the others do their work, and the failure is reported."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from darkroom import ids
from darkroom.errors import BrokerUnavailableError, CacheUnavailableError, StorageUnavailableError
from darkroom.services.redis import views
from functions.sweep import app
from tests.integration.conftest import BreakService, MakeJob, Take, on_channel
from tests.integration.sweeping import sweep

NAMES = [step.name for step in app.STEPS]

#: The steps that need S3.
STORAGE_STEPS = ["restored", "recovered", "ingested", "cleaned", "deleted", "usage_saved", "key_uses_saved"]

Pass = Callable[[], dict[str, Any]]


@dataclass
class Clock:
    """Replaces the module `time`. Only the test moves it."""

    now_s: float = 0.0

    def monotonic(self) -> float:
        return self.now_s


def replace_work(monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[float], int]) -> None:
    steps = tuple(replace(step, work=work) if step.name == name else step for step in app.STEPS)
    monkeypatch.setattr(app, "STEPS", steps)


@pytest.mark.parametrize("name", NAMES)
def test_unexpected_exception_in_a_step_stops_no_other(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(_deadline: float) -> int:
        raise ZeroDivisionError

    replace_work(monkeypatch, name, fail)

    done = sweep()

    assert done["failed"] == [name]
    assert done.keys() == {*NAMES, "failed"}


def test_failed_step_is_counted_in_a_metric(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_deadline: float) -> int:
        raise BrokerUnavailableError("The RabbitMQ request failed.")

    replace_work(monkeypatch, "recovered", fail)

    sweep()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"sweep_step_failed"' in line]
    assert [(line["sweep_step_failed"], line["step"]) for line in lines] == [([1.0], "recovered")]


@pytest.mark.parametrize(
    ("error", "left_out"),
    [
        (StorageUnavailableError, [*STORAGE_STEPS]),
        (CacheUnavailableError, [*STORAGE_STEPS, "reported"]),
        (BrokerUnavailableError, ["restored"]),
    ],
)
def test_steps_that_need_an_unavailable_dependency_do_not_wait_for_it_again(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], left_out: list[str]
) -> None:
    def fail(_deadline: float) -> int:
        raise error

    replace_work(monkeypatch, "restored", fail)

    assert sweep()["failed"] == left_out


def test_every_step_has_a_part_of_the_time_even_if_another_uses_up_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(app, "time", clock)
    left_s: dict[str, float] = {}

    def record(name: str, *, until_deadline: bool) -> Callable[[float], int]:
        def work(deadline: float) -> int:
            left_s[name] = deadline - clock.now_s
            if until_deadline:
                clock.now_s = deadline
            return 0

        return work

    steps = tuple(replace(step, work=record(step.name, until_deadline=step.name == "restored")) for step in app.STEPS)
    monkeypatch.setattr(app, "STEPS", steps)

    sweep(remaining_ms=app.RESERVE_MS + 22_000)

    assert list(left_s) == NAMES
    assert left_s["restored"] == pytest.approx(8)
    assert left_s["recovered"] == pytest.approx(4)
    assert left_s["repaired"] == pytest.approx(14), "what the others have not used"


def test_no_step_begins_to_read_s3_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(app, "time", clock)

    def take_all(_deadline: float) -> int:
        clock.now_s = 1_000
        return 0

    replace_work(monkeypatch, "restored", take_all)

    assert sweep()["failed"] == STORAGE_STEPS[1:]


def test_longest_request_to_s3_fits_in_the_reserve() -> None:
    limits = app.PASS_TIMEOUTS
    backoff_s = 1.0  # botocore's longest before a second attempt

    longest_s = limits.storage_attempts * (limits.connect_s + limits.storage_read_s) + backoff_s

    assert longest_s * 1000 < app.RESERVE_MS


def test_queues_are_repaired_while_redis_and_s3_are_unavailable(break_service: BreakService) -> None:
    on_channel("queue_delete", "darkroom.resize")
    break_service("cache")
    break_service("storage")

    sweep()

    assert on_channel("queue_declare", "darkroom.resize", passive=True).method.message_count == 0


def test_load_is_reported_with_the_oldest_job_and_the_depth_of_the_dead_letters(
    make_job: MakeJob, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    views.create(make_job(job_id=ids.new_id(at_ms=int(time.time() * 1000) - 90_000)))
    on_channel("basic_publish", "", "darkroom.parked", b"nonsense")

    sweep()

    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"CloudWatchMetrics"' in line]
    values = {name: line[name][0] for line in metrics for name in line if isinstance(line[name], list)}
    assert 90 <= values["oldest_waiting"] < 150
    assert (values["parked_messages"], values["dead_messages"]) == (1, 0)
    assert take("darkroom.parked") is not None
