"""The API while Redis hangs: it responds within seconds, from the ledger."""

import signal
import time

from tests.integration.api_jobs import JPEG, accepted, start
from tests.integration.conftest import Upload, result_of
from tests.support.gateway import Reply, call
from tests.support.redis_server import RedisServer

#: Seconds in which the API responds while one dependency hangs.
LONGEST_S = 5


def timed(method: str, target: str) -> tuple[Reply, float]:
    began = time.monotonic()
    return call(method, target), time.monotonic() - began


def test_jobs_are_accepted_shown_listed_and_canceled_while_redis_hangs(own_redis: RedisServer, upload: Upload) -> None:
    file_id = upload(JPEG)
    before = start(file_id).json["job_id"]
    own_redis.signal(signal.SIGSTOP)

    times_s = []
    for _ in range(5):
        began = time.monotonic()
        reply = start(file_id)
        times_s.append(time.monotonic() - began)
        assert reply.status == 202
        assert accepted(reply.json["job_id"])

    assert max(times_s) < LONGEST_S
    assert sum(times_s) < LONGEST_S + 2  # only the first waits for Redis
    for method, target, status in (
        ("GET", f"/jobs/{before}?wait=1", "queued"),
        ("DELETE", f"/jobs/{before}", "canceled"),
        ("GET", f"/jobs/{before}", "canceled"),
    ):
        reply, seconds = timed(method, target)
        assert (reply.status, reply.json["status"]) == (200, status)
        assert seconds < LONGEST_S
    listed, seconds = timed("GET", "/jobs")
    assert [job["status"] for job in listed.json["jobs"]] == ["queued"] * 5 + ["canceled"]
    assert seconds < LONGEST_S

    own_redis.signal(signal.SIGCONT)

    assert result_of(before).status == call("GET", f"/jobs/{before}").json["status"] == "canceled"
    assert [job["status"] for job in call("GET", "/jobs").json["jobs"]] == ["queued"] * 5 + ["canceled"]
