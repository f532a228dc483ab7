"""A Redis whose memory is full: running jobs go on and end, new jobs are refused before anything is written."""

import re
from collections.abc import Callable

import pytest

from darkroom.contracts.jobs import Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheFullError
from darkroom.jobs import acceptance, lifecycle
from darkroom.services import s3
from darkroom.services.redis import keys, memory, open_jobs, slots, views
from darkroom.services.redis.client import redis_client
from tests.integration.api_jobs import JPEG, complete, start
from tests.integration.conftest import MakeJob, Take, Upload, result_of, view_of
from tests.integration.redis_jobs import acquire, claim, finish, progress, requeue
from tests.integration.sweeping import accept_without_publishing, open_entries, result_for, sweep
from tests.support.gateway import Reply, call
from tests.support.redis_server import RedisServer
from tests.support.tenants import ref_of


def fill(own_redis: RedisServer, share: float) -> None:
    """Limits the memory so that this share of it is used. A share of 1 or more makes Redis refuse what needs memory."""
    used_bytes = own_redis.client().info("memory")["used_memory"]
    own_redis.configure("maxmemory", int(used_bytes / share))
    memory._recent_share.cache_clear()


def new_job(file_id: str) -> Reply:
    return start(file_id)


def new_form(_file_id: str) -> Reply:
    body = {"name": "a.jpg", "media_type": "image/jpeg", "jobs": [{"operation": "thumbnail"}]}
    return call("POST", "/uploads", json_body=body)


def objects() -> set[str]:
    return set(s3.keys_after(""))


def test_jobs_that_were_accepted_are_claimed_and_end_at_full_memory(own_redis: RedisServer, make_job: MakeJob) -> None:
    running, queued = make_job(), make_job()
    for job in (running, queued):
        views.create(job)
    acquire(running, limit=2)
    claim(running)
    fill(own_redis, 1.5)
    with pytest.raises(CacheFullError):
        views.create(make_job())

    assert acquire(queued, limit=2) is slots.Slot.ACQUIRED
    assert claim(queued, run="run-2").outcome == "claimed"
    assert progress(queued, "run-2", 0.5)
    assert requeue(queued, run="run-2")
    assert acquire(queued, attempt=2, limit=2) is slots.Slot.ACQUIRED
    assert claim(queued, attempt=2, run="run-3").outcome == "claimed"
    assert progress(running, "run-1", 0.9)
    for job in (running, queued):
        assert finish(job, attempt=1)

    assert [view_of(job.job_id).status for job in (running, queued)] == [Status.COMPLETED] * 2
    assert slots.in_flight()[Operation.RESIZE] == 0
    assert views.count_queued(Operation.RESIZE) == 0


def test_scripts_that_redis_does_not_have_yet_run_at_full_memory(own_redis: RedisServer, make_job: MakeJob) -> None:
    job = make_job()
    views.create(job)
    redis_client().script_flush()
    fill(own_redis, 1.5)

    assert acquire(job) is slots.Slot.ACQUIRED
    assert claim(job).outcome == "claimed"
    assert finish(job)


def test_run_whose_job_ends_at_full_memory_although_redis_lost_its_view_leaks_no_slot(
    own_redis: RedisServer, make_job: MakeJob
) -> None:
    job = make_job()
    acceptance.accept(job)
    acquire(job)
    claim(job)
    redis_client().delete(keys.view_of(job.ref))
    fill(own_redis, 1.5)

    with pytest.raises(CacheFullError):
        lifecycle.end(job, lifecycle.canceled_result(job, attempt=1))

    assert result_of(job.job_id).status is Status.CANCELED
    assert slots.in_flight()[Operation.RESIZE] == 0
    assert call("GET", f"/jobs/{job.job_id}").json["status"] == "canceled"


@pytest.mark.parametrize("request_job", [new_job, new_form])
def test_new_jobs_are_refused_above_four_fifths_of_the_memory_and_leave_nothing(
    own_redis: RedisServer, upload: Upload, request_job: Callable[[str], Reply]
) -> None:
    file_id = upload(JPEG)
    assert request_job(file_id).status < 300
    fill(own_redis, 0.81)
    before = objects(), set(redis_client().keys("*"))

    reply = request_job(file_id)

    assert (reply.status, reply.json["code"]) == (503, "cache_full")
    assert int(reply.headers["retry-after"]) > 0
    assert (objects(), set(redis_client().keys("*"))) == before
    fill(own_redis, 0.5)
    assert request_job(file_id).status < 300


def test_retry_is_refused_and_repeated_requests_are_answered(own_redis: RedisServer, upload: Upload) -> None:
    key = {"idempotency-key": "order-4711"}
    file_id = upload(JPEG)
    old_id, repeated_id = start(file_id).json["job_id"], start(file_id, **key).json["job_id"]
    call("DELETE", f"/jobs/{old_id}")
    fill(own_redis, 0.81)

    assert call("POST", f"/jobs/{old_id}/retry").json["code"] == "cache_full"
    assert start(file_id, **key).json["job_id"] == repeated_id


def test_open_jobs_are_shown_canceled_and_completed_at_full_memory(own_redis: RedisServer, upload: Upload) -> None:
    file_id = upload(JPEG)
    canceled_id, completed_id, lost_id = (start(file_id).json["job_id"] for _ in range(3))
    redis_client().delete(keys.view_of(ref_of(lost_id)))
    fill(own_redis, 1.5)

    assert call("DELETE", f"/jobs/{canceled_id}").json["status"] == "canceled"
    assert complete(completed_id, "a.webp").status is Status.COMPLETED
    assert call("GET", f"/jobs/{lost_id}").json["status"] == "queued"

    listed = {job["job_id"]: job["status"] for job in call("GET", "/jobs").json["jobs"]}
    assert listed == {canceled_id: "canceled", completed_id: "completed", lost_id: "queued"}
    assert start(file_id).status == 503


def test_health_shows_how_much_of_the_memory_is_used(own_redis: RedisServer) -> None:
    fill(own_redis, 0.25)

    cache = call("GET", "/health").json["parts"]["cache"]

    assert cache["status"] == "ok"
    assert re.fullmatch(r"The status cache is available\. \d\d% of its memory is used\.", cache["detail"])


def test_memory_use_is_that_of_redis(own_redis: RedisServer) -> None:
    assert memory.memory_use().share == 0  # without a limit
    fill(own_redis, 0.25)

    use = memory.memory_use()

    assert str(use.max_bytes) == own_redis.client().config_get("maxmemory")["maxmemory"]
    assert 0.2 < use.share < 0.35


def test_sweep_publishes_due_jobs_and_removes_entries_of_ended_ones_at_full_memory(
    own_redis: RedisServer, make_job: MakeJob, take: Take
) -> None:
    due, ended = make_job(), make_job()
    for job in (due, ended):
        accept_without_publishing(job)
    lifecycle.end(ended, result_for(ended))
    sweep()  # reads the index for the first time
    take("darkroom.resize")
    open_jobs.postpone([due.ref], -1, published=False)
    fill(own_redis, 1.5)

    assert sweep()["recovered"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == due.job_id
    assert open_jobs.due(10) == []
    assert open_entries() == [due.job_id]
