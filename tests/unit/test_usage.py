"""What tenants use, as it is read from Redis and from results, and how it is reported."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from api.rate_limits import RateLimit
from darkroom import config
from darkroom.contracts.jobs import JobResult, Output, Status
from darkroom.contracts.usage import MonthlyUsage
from darkroom.services.redis.script_runner import SCRIPTS
from darkroom.services.redis.usage import SLOT_MS, Usage
from darkroom.timestamps import day_of, epoch_ms, month_of, next_month_ms
from functions.sweep.checkpoints import changing_months, make_checkpoint, unneeded_fields
from tests.support.settings import REQUIRED_SETTINGS

#: The last slot of a month and the first of the next one.
NEW_YEAR_MS = epoch_ms("2027-01-01T00:00:00Z")
LAST, FIRST = NEW_YEAR_MS // SLOT_MS - 1, NEW_YEAR_MS // SLOT_MS


def test_slots_are_as_long_in_scripts_as_here() -> None:
    text = (SCRIPTS / "shared" / "usage.lua").read_text()

    assert re.findall(r"^local SLOT_MS = (\d+)$", text, re.MULTILINE) == [str(SLOT_MS)]
    assert 24 * 3_600_000 % SLOT_MS == 0, "a slot belongs to one day"


def test_settled_totals_leave_out_the_latest_slots_of_each_month_and_day() -> None:
    fields = {
        "jobs:2026-12": "100",
        "jobs:2027-01": "7",
        f"jobs@{LAST - 1}": "20",
        f"jobs@{LAST}": "30",
        f"jobs@{FIRST}": "7",
        "video_ms:2026-12": "5000",
        f"video_ms@{LAST}": "1000",
        "bytes:2026-12-31": "900",
        "bytes:2027-01-01": "50",
        f"bytes@{LAST}": "300",
        f"bytes@{FIRST}": "50",
    }
    current = Usage(NEW_YEAR_MS + 1, fields, queued_jobs=0, queued_by_operation={})

    settled = current.totals(jobs_before_ms=LAST * SLOT_MS, ended_before_ms=FIRST * SLOT_MS)

    assert settled.months == {
        "2026-12": MonthlyUsage(jobs=70, video_ms=5000),
        "2027-01": MonthlyUsage(jobs=0, video_ms=0),
    }
    assert settled.stored_bytes == {"2026-12-31": 900, "2027-01-01": 0}
    assert current.totals().months["2026-12"] == MonthlyUsage(jobs=100, video_ms=5000)
    assert (current.month, current.jobs, current.video_ms) == ("2027-01", 7, 0)


def test_forms_that_have_expired_and_those_with_more_released_than_reserved_reserve_nothing() -> None:
    fields = {f"forms@{LAST}": "1000", f"forms@{FIRST}": "20", f"forms@{FIRST + 1}": "-5", f"forms@{FIRST + 2}": "3"}

    assert Usage(NEW_YEAR_MS + 1, fields, queued_jobs=0, queued_by_operation={}).reserved_bytes == 23


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-11-25T00:30:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
        ("2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z"),
        ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
    ],
)
def test_month_ends_with_its_last_day_in_utc(at: str, end: str) -> None:
    assert next_month_ms(epoch_ms(at)) == epoch_ms(end)


def test_days_and_months_are_those_of_utc() -> None:
    at_ms = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() * 1000

    assert (day_of(at_ms), month_of(at_ms)) == ("2026-12-31", "2026-12")
    assert day_of(at_ms + 1000) == "2027-01-01"


def test_video_and_audio_of_the_outputs_count_and_animated_images_do_not() -> None:
    def output(media_type: str, duration_s: float | None, size_bytes: int) -> Output:
        return Output(
            name="x", key="x", media_type=media_type, size_bytes=size_bytes, sha256="0", duration_s=duration_s
        )

    result = JobResult(
        job_id="x",
        status=Status.COMPLETED,
        attempt=1,
        run="run",
        finished_at="2026-11-25T00:00:00.000Z",
        outputs=[
            output("video/mp4", 2.5, 100),
            output("audio/mpeg", 0.25, 10),
            output("image/gif", 9.0, 1),
            output("image/jpeg", None, 1),
        ],
    )

    assert (result.video_ms, result.output_bytes) == (2_750, 112)


@pytest.mark.parametrize(
    ("limit", "policy", "left"),
    [
        (RateLimit("requests", 500, 499, 10, 1), '"requests";q=500;w=10', '"requests";r=499;t=1'),
        (
            RateLimit("stored_bytes", 5, 0, reset_s=60, unit="content-bytes"),
            '"stored_bytes";q=5;qu="content-bytes"',
            '"stored_bytes";r=0;t=60',
        ),
        (
            RateLimit("monthly_jobs", 5, 0, 2_592_000, 3_600, "jobs"),
            '"monthly_jobs";q=5;darkroom-unit="jobs";w=2592000',
            '"monthly_jobs";r=0;t=3600',
        ),
        (
            RateLimit("upload_bytes", 5, 0, unit="content-bytes"),
            '"upload_bytes";q=5;qu="content-bytes"',
            '"upload_bytes";r=0',
        ),
    ],
)
def test_limit_is_reported_as_structured_fields(limit: RateLimit, policy: str, left: str) -> None:
    assert (limit.policy_item, limit.limit_item) == (policy, left)


@pytest.fixture
def seven_days(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in REQUIRED_SETTINGS.items():
        monkeypatch.setenv(name, value)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


@pytest.mark.usefixtures("seven_days")
def test_checkpoint_counts_again_what_ended_lately_from_the_oldest_of_its_jobs_on() -> None:
    hour = 4
    fields = {
        "jobs:2026-12": "9",
        f"open@{FIRST - 10 * hour}": "1",
        f"oldest@{FIRST}": str((FIRST - 30 * hour) * SLOT_MS),
        f"oldest@{FIRST - 2}": "1",
    }

    checkpoint = make_checkpoint("acme", Usage(NEW_YEAR_MS + 1, fields, queued_jobs=0, queued_by_operation={}))

    assert checkpoint.ended_from_ms == LAST * SLOT_MS
    assert checkpoint.jobs_from_ms == (FIRST - 2 * hour) * SLOT_MS
    assert checkpoint.listed_from_ms == (FIRST - 30 * hour) * SLOT_MS


@pytest.mark.usefixtures("seven_days")
@pytest.mark.parametrize(
    ("after_s", "months"), [(1, {"2026-12", "2027-01"}), (47 * 3600, {"2026-12", "2027-01"}), (49 * 3600, {"2027-01"})]
)
def test_previous_month_is_saved_while_it_may_change_and_then_left_alone(after_s: int, months: set[str]) -> None:
    fields = {"jobs:2026-12": "9", "video_ms:2026-12": "1", "jobs:2027-01": "1", "bytes:2026-12-20": "5"}
    current = Usage(NEW_YEAR_MS + 1000 * after_s, fields, queued_jobs=0, queued_by_operation={})

    assert changing_months(current) == months
    unneeded = {"bytes:2026-12-20"} | ({"jobs:2026-12", "video_ms:2026-12"} if len(months) == 1 else set())
    assert set(unneeded_fields(current)) == unneeded
