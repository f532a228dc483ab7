"""The rate of requests of a tenant and `GET /usage`, through the handler, with a real Redis and S3."""

import signal
import time

import pytest

from darkroom import config
from darkroom.contracts.jobs import JobRef
from darkroom.contracts.tenants import Quotas, Scope
from darkroom.jobs import ledger
from darkroom.services.redis import keys
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from tests.integration.api_jobs import MP4
from tests.integration.quota_client import ACME, GIB, Client, end_of_month, refused
from tests.integration.redis_jobs import claim
from tests.integration.usage_jobs import HOUR_MS, has_counted_since
from tests.support.gateway import call
from tests.support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "closed")
    config.settings.cache_clear()


def test_requests_above_the_rate_are_refused_until_the_next_token() -> None:
    client = Client(quotas=Quotas(requests_per_s=1))

    answers = [client.send("GET", "/operations") for _ in range(10)]
    over = client.send("GET", "/operations")

    assert [answer.status for answer in answers] == [200] * 10
    assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"requests";q=10;w=10'] * 10
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == [
        f"r={left}" for left in range(9, -1, -1)
    ]
    assert answers[0].headers["ratelimit"] == '"requests";r=9;t=1'
    assert refused(over, "quota_requests") == 1
    assert over.headers["ratelimit-policy"] == '"requests";q=10;w=10'
    assert over.headers["ratelimit"] == '"requests";r=0;t=1'
    time.sleep(1.05)
    assert client.send("GET", "/operations").status == 200
    refused(client.send("GET", "/operations"), "quota_requests")


def test_tenants_have_buckets_of_their_own() -> None:
    quotas = Quotas(requests_per_s=1)
    for _ in range(10):
        Client("acme", quotas).send("GET", "/operations")

    refused(Client("acme", quotas).send("GET", "/operations"), "quota_requests")
    assert Client("umbra", quotas).send("GET", "/operations").status == 200


def test_refusals_for_other_reasons_count_and_have_the_headers() -> None:
    client = Client(ACME, Quotas(requests_per_s=1), Scope.WRITE)

    missing_scope = client.send("GET", "/operations")
    unknown_path = client.send("POST", "/jobs", {})

    assert (missing_scope.status, missing_scope.headers["ratelimit"]) == (403, '"requests";r=9;t=1')
    assert (unknown_path.status, unknown_path.headers["ratelimit"]) == (422, '"requests";r=8;t=2')


def test_lower_quota_takes_effect_at_once_and_the_bucket_never_owes_more_than_it_holds() -> None:
    seconds, micros = redis_client().time()
    redis_client().set(keys.requests_of(ACME), (seconds + 3_600) * 1_000_000 + micros)  # empty for an hour

    wait_s = refused(Client(quotas=Quotas(requests_per_s=1)).send("GET", "/operations"), "quota_requests")

    assert wait_s == 1


def test_unlimited_tenant_gets_no_headers_and_costs_no_request_to_redis(own_redis: RedisServer) -> None:
    Client().send("GET", "/operations")
    observer = own_redis.client()
    before = observer.info("stats")["total_commands_processed"]

    reply = Client().send("GET", "/operations")

    assert reply.status == 200
    assert not {"ratelimit", "ratelimit-policy"} & set(reply.headers)
    assert observer.info("stats")["total_commands_processed"] - before == 1  # the one before


def test_without_redis_there_is_no_limit(own_redis: RedisServer) -> None:
    client = Client(quotas=Quotas(requests_per_s=1, jobs_per_month=1))
    file_id = client.file()
    own_redis.signal(signal.SIGSTOP)

    began = time.monotonic()
    answers = [client.send("GET", "/operations") for _ in range(15)] + [client.start(file_id) for _ in range(2)]

    assert [answer.status for answer in answers] == [200] * 15 + [202] * 2
    assert time.monotonic() - began < 15  # it is tried again after some seconds only: else each would take one
    own_redis.signal(signal.SIGCONT)


def test_usage_shows_each_quota_with_its_limit_and_its_use() -> None:
    has_counted_since(int(time.time() * 1000) - HOUR_MS, ACME)
    client = Client(quotas=Quotas())
    video = client.file(MP4, "video/mp4")
    running, _queued = (client.start(video, "video_compress").json["job_id"] for _ in range(2))
    job = ledger.read_job(JobRef(ACME, running))
    assert job is not None
    claim(job)

    usage = client.send("GET", "/usage").json

    month_end = end_of_month().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    today = utc_now()[:10]
    assert usage == {
        "tenant": ACME,
        "month": today[:7],
        "is_complete": True,
        "quotas": {
            "requests": {"limit": 500, "used": usage["quotas"]["requests"]["used"], "window_s": 10},
            "queued_jobs": {"limit": 2_000, "used": 1},
            "in_flight_jobs": {"limit": None, "used": {"video_compress": 1}},
            "upload_bytes": {"limit": None},
            "stored_bytes": {
                "limit": 100 * GIB,
                "used": len(MP4),
                "reserved": 0,
                "by_day": {today: len(MP4)},
            },
            "monthly_jobs": {"limit": 100_000, "used": 2, "resets_at": month_end},
            "monthly_video_minutes": {"limit": 10_000, "used": 0.0, "resets_at": month_end},
        },
    }
    assert 0 <= usage["quotas"]["requests"]["used"] <= 3  # 50 a second come back


def test_usage_of_an_open_deployment_has_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "open")
    config.settings.cache_clear()

    quotas = call("GET", "/usage").json["quotas"]

    assert {name: quota["limit"] for name, quota in quotas.items()} == dict.fromkeys(quotas)
