"""GET /jobs, through the handler, with real Redis and S3."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.jobs import acceptance, ledger, lifecycle
from darkroom.services import s3
from darkroom.services.redis import keys, leases, views
from darkroom.services.redis.client import redis_client
from tests.integration.api_jobs import JPEG, complete, start
from tests.integration.conftest import BreakService, MakeJob, Upload, forget_connections
from tests.support.gateway import call
from tests.support.tenants import ref_of

InLedger = Callable[..., list[str]]

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


def canceled(job: Job) -> None:
    lifecycle.end(job, lifecycle.canceled_result(job, attempt=0))


@pytest.fixture
def many(make_job: MakeJob) -> list[str]:
    """Seven jobs, oldest first: every other a thumbnail, every third canceled."""
    made, first_ms = [], int(time.time() * 1000) - MINUTE_MS
    for number in range(7):
        operation = Operation.THUMBNAIL if number % 2 else Operation.RESIZE
        job = make_job(operation, params={} if number % 2 else {"width": 1}, job_id=ids.new_id(first_ms + number))
        acceptance.accept(job)
        if number % 3 == 0:
            canceled(job)
        made.append(job.job_id)
    return made


@pytest.fixture
def in_ledger(make_job: MakeJob) -> InLedger:
    """Writes jobs to the ledger that Redis does not have."""

    def in_ledger(*ages_ms: int, ended: bool = True) -> list[str]:
        now_ms = int(time.time() * 1000)
        jobs = [make_job(job_id=ids.new_id(now_ms - age_ms)) for age_ms in ages_ms]
        for job in jobs:
            ledger.write_job(job)
            if ended:
                ledger.write_result(job.ref, lifecycle.canceled_result(job, attempt=0))
        return [job.job_id for job in jobs]

    return in_ledger


def pages(target: str) -> list[list[str]]:
    """The ids of the jobs on each page."""
    found, following = [], target
    while following is not None:
        page = call("GET", following).json
        found.append([job["job_id"] for job in page["jobs"]])
        following = page["next"]
    return found


def listed(target: str) -> list[str]:
    return [job_id for page in pages(target) for job_id in page]


def statuses(target: str) -> dict[str, str]:
    return {job["job_id"]: job["status"] for job in call("GET", target).json["jobs"]}


def test_jobs_are_listed_newest_first_page_by_page(many: list[str]) -> None:
    newest_first = many[::-1]

    assert pages("/jobs") == [newest_first]
    assert pages("/jobs?limit=3") == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert pages(f"/jobs?limit=3&before={many[3]}") == [newest_first[4:7], []]


def test_list_can_be_filtered_and_its_pages_keep_the_filter(many: list[str]) -> None:
    thumbnails = [many[5], many[3], many[1]]

    assert listed("/jobs?operation=thumbnail&limit=2") == thumbnails
    assert listed("/jobs?status=canceled&limit=1") == [many[6], many[3], many[0]]
    assert listed("/jobs?status=canceled&operation=thumbnail") == [many[3]]
    assert listed("/jobs?status=failed") == []


def test_listed_job_is_a_summary(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    (job,) = call("GET", "/jobs").json["jobs"]
    whole = call("GET", job["status_url"]).json

    assert job.items() <= whole.items()
    assert job["result_path"] == whole["result_path"] != None  # noqa: E711
    assert "download_url" not in job


def test_filtered_list_reads_a_limited_number_of_jobs_per_page(
    many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.job_list.SCAN_LIMIT", 4)
    monkeypatch.setattr("api.job_list._BATCH", 2)

    found = pages("/jobs?status=canceled")

    assert [job_id for page in found for job_id in page] == [many[6], many[3], many[0]]
    assert len(found) == 2


def test_job_that_awaits_its_upload_is_not_listed() -> None:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "thumbnail"}]}
    call("POST", "/uploads", json_body=body)

    assert call("GET", "/jobs").json == {"jobs": [], "next": None}


# Jobs that Redis does not have ------------------------------------------------------------------------------------


def test_list_is_complete_at_once_after_redis_lost_its_data(many: list[str]) -> None:
    before = call("GET", "/jobs").json
    redis_client().flushdb()

    after = call("GET", "/jobs").json

    assert [(job["job_id"], job["status"]) for job in after["jobs"]] == [
        (job["job_id"], job["status"]) for job in before["jobs"]
    ]
    assert pages("/jobs?limit=3") == [many[:3:-1], many[3:0:-1], many[:1]]
    assert listed("/jobs?status=canceled&limit=2") == [many[6], many[3], many[0]]
    assert listed("/jobs?operation=thumbnail") == [many[5], many[3], many[1]]


def test_pages_continue_with_jobs_that_redis_no_longer_has_without_gaps_or_duplicates(
    many: list[str], in_ledger: InLedger
) -> None:
    older = in_ledger(2 * MINUTE_MS, 3 * MINUTE_MS, 60 * MINUTE_MS, DAY_MS, DAY_MS + 1, 6 * DAY_MS)
    expected = [*many[::-1], *older]

    for limit in (1, 2, 3, 5, 8, 13):
        assert listed(f"/jobs?limit={limit}") == expected, limit
    assert listed(f"/jobs?limit=4&before={older[1]}") == older[2:]
    assert listed("/jobs?status=canceled&limit=4") == [many[6], many[3], many[0], *older]
    assert listed("/jobs?status=queued&limit=2") == [job_id for job_id in many[::-1] if job_id not in many[::3]]


def test_jobs_that_redis_was_not_told_of_are_listed_between_the_others(many: list[str], in_ledger: InLedger) -> None:
    [unknown] = in_ledger(MINUTE_MS - 3, ended=False)  # accepted during an outage of Redis

    found = listed("/jobs?limit=2")

    assert sorted(found, reverse=True) == found
    assert set(found) == {*many, unknown}
    assert statuses("/jobs")[unknown] == "queued"


def test_jobs_accepted_and_canceled_during_an_outage_of_redis_are_listed_afterwards(
    upload: Upload, break_service: BreakService, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = upload(JPEG)
    known = start(file_id).json["job_id"]
    with without_redis(break_service, monkeypatch):
        during = [start(file_id).json["job_id"] for _ in range(2)]
        call("DELETE", f"/jobs/{during[0]}")
        call("DELETE", f"/jobs/{known}")

    assert statuses("/jobs") == {during[1]: "queued", during[0]: "canceled", known: "canceled"}
    assert listed("/jobs?status=canceled") == [during[0], known]
    assert listed("/jobs?status=queued") == [during[1]]


def test_jobs_are_listed_during_an_outage_of_redis(many: list[str], break_service: BreakService) -> None:
    break_service("cache")

    assert listed("/jobs?limit=3") == many[::-1]
    assert listed("/jobs?status=canceled") == [many[6], many[3], many[0]]


def test_jobs_older_than_the_retention_are_not_listed(many: list[str], in_ledger: InLedger) -> None:
    in_ledger(7 * DAY_MS + MINUTE_MS)

    assert listed("/jobs?limit=4") == many[::-1]


@pytest.mark.parametrize(
    "ages_ms",
    [
        [1000 + number for number in range(40)],
        [DAY_MS + number for number in range(40)],
        [number * 4 * 60 * MINUTE_MS for number in range(40)],
        [*range(5), *(2 * DAY_MS + number for number in range(30)), *(6 * DAY_MS + number for number in range(5))],
    ],
    ids=["dense", "dense and old", "sparse", "bursts"],
)
def test_list_finds_every_job_however_they_are_spread(
    in_ledger: InLedger, monkeypatch: pytest.MonkeyPatch, ages_ms: list[int]
) -> None:
    made = in_ledger(*ages_ms)
    monkeypatch.setattr("api.ledger_list.WINDOW_OBJECTS", 16)
    monkeypatch.setattr("api.ledger_list._WANTED_JOBS", 4)

    found = pages("/jobs?limit=10")

    assert [job_id for page in found for job_id in page] == made
    assert len(found) <= 8


def test_one_request_reads_few_pages_of_the_ledger(
    many: list[str], in_ledger: InLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_ledger(*(DAY_MS + number * MINUTE_MS for number in range(30)))
    listings: list[str] = []
    keys_after = s3.keys_after

    def count_listing(prefix: str, start_after: str) -> Iterator[str]:
        listings.append(start_after)
        return keys_after(prefix, start_after)

    monkeypatch.setattr(s3, "keys_after", count_listing)

    def listings_of(target: str) -> int:
        listings.clear()
        call("GET", target)
        return len(listings)

    assert listings_of("/jobs?limit=5") == 1
    assert listings_of("/jobs?limit=20") <= 3
    redis_client().flushdb()
    assert listings_of("/jobs?limit=20") <= 3


# What a client was told ---------------------------------------------------------------------------------------------


@contextmanager
def without_redis(break_service: BreakService, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    url = os.environ["DARKROOM_CACHE_URL"]
    break_service("cache")
    yield
    monkeypatch.setenv("DARKROOM_CACHE_URL", url)
    forget_connections()


def test_job_that_was_told_canceled_is_listed_as_canceled(
    upload: Upload, break_service: BreakService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    leases.claim(ref_of(job_id), Operation.RESIZE, attempt=1, run="a", lease_ms=60_000)
    job = ledger.read_job(ref_of(job_id))
    assert job is not None
    ledger.write_result(job.ref, lifecycle.canceled_result(job, attempt=1))  # Redis did not respond then

    assert views.fetch(ref_of(job_id)).status == "running"  # type: ignore[union-attr]
    assert statuses("/jobs") == {job_id: "canceled"}
    assert listed("/jobs?status=canceled") == [job_id]
    assert listed("/jobs?status=running") == []


def test_list_is_unavailable_during_an_outage_of_the_object_store(many: list[str], break_service: BreakService) -> None:
    break_service("storage")

    reply = call("GET", "/jobs")

    assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")
    assert int(reply.headers["retry-after"]) > 0


def test_record_in_redis_that_cannot_be_read_is_listed_from_the_ledger(many: list[str]) -> None:
    redis_client().hset(keys.view_of(ref_of(many[2])), "status", "paused")

    assert listed("/jobs") == many[::-1]


def test_record_in_the_ledger_that_cannot_be_read_is_left_out(many: list[str], in_ledger: InLedger) -> None:
    [unreadable, older] = in_ledger(2 * MINUTE_MS, 3 * MINUTE_MS)
    s3.put(ledger.result_key(ref_of(unreadable)), b"{}", media_type="application/json")

    assert listed("/jobs?limit=3") == [*many[::-1], older]
