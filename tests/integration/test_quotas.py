"""Quotas of tenants, through the handler: what is refused, for how long, and what is counted in a real Redis and S3."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import JobRef, JobResult, Output, Status
from darkroom.contracts.tenants import UNLIMITED, Principal, Quotas, Scope
from darkroom.jobs import ingestion, ledger, lifecycle, uploads
from darkroom.services import s3
from darkroom.services.redis import keys
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.usage import SLOT_MS, measure
from darkroom.tenants.context import to_context
from darkroom.timestamps import next_month_ms, utc_now
from tests.integration.api_jobs import JPEG, MP4
from tests.integration.redis_jobs import claim
from tests.support.gateway import Reply, call, multipart
from tests.support.redis_server import RedisServer

ACME = "acme"
GIB = 1024**3


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "closed")
    config.settings.cache_clear()


class Client:
    """A client of a tenant with these quotas."""

    def __init__(self, tenant: str = ACME, quotas: Quotas = UNLIMITED, *scopes: Scope) -> None:
        self.tenant = tenant
        self._context = to_context(
            Principal(tenant=tenant, scopes=list(scopes or Scope), credential=f"{tenant}-key", quotas=quotas)
        )

    def send(self, method: str, target: str, body: Any = None, **headers: str) -> Reply:
        return call(method, target, json_body=body, headers=headers, authorizer=self._context)

    def upload(self, content: bytes = JPEG, headers: dict[str, str] | None = None) -> Reply:
        body, form = multipart({}, name="photo.jpg", media_type="image/jpeg", content=content)
        return call("POST", "/upload", body=body, headers={**form, **(headers or {})}, authorizer=self._context)

    def request_form(self, **more: Any) -> Reply:
        headers = more.pop("headers", {})
        return self.send("POST", "/uploads", {"name": "photo.jpg", "media_type": "image/jpeg", **more}, **headers)

    def start(self, file_id: str, operation: str = "resize", **headers: str) -> Reply:
        params = {"width": 100} if operation == "resize" else {}
        return self.send("POST", "/jobs", {"file_id": file_id, "operation": operation, "params": params}, **headers)

    def file(self, content: bytes = JPEG, media_type: str = "image/jpeg") -> str:
        """A file that was ingested."""
        file_id = ids.new_id()
        metadata = uploads.metadata_of("file", [])
        s3.put(uploads.key_of(self.tenant, file_id), content, media_type=media_type, metadata=metadata)
        ingestion.ingest(self.tenant, file_id)
        return file_id

    def complete(self, job_id: str, *, size_bytes: int = 1, duration_s: float | None = None) -> None:
        """Ends a job, as its run does."""
        job = ledger.read_job(JobRef(self.tenant, job_id))
        assert job is not None
        output = Output(
            name="x", key="x", media_type="video/mp4", size_bytes=size_bytes, sha256="0" * 64, duration_s=duration_s
        )
        result = JobResult(
            job_id=job_id, status=Status.COMPLETED, attempt=1, run="run", finished_at=utc_now(), outputs=[output]
        )
        lifecycle.end(job, result)


def refused(reply: Reply, code: str, status: int = 429) -> int | None:
    """Checks that a request is refused for a quota. Returns after how many seconds it may be repeated."""
    assert (reply.status, reply.json["code"]) == (status, code)
    text = reply.headers.get("retry-after")
    return None if text is None else int(text)


def seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()


def end_of_month() -> datetime:
    return datetime.fromtimestamp(next_month_ms(time.time() * 1000) / 1000, UTC)


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
    for _ in range(200):
        Client(quotas=Quotas(requests_per_s=20)).send("GET", "/operations")

    wait_s = refused(Client(quotas=Quotas(requests_per_s=1)).send("GET", "/operations"), "quota_requests")

    assert wait_s == 1


def test_unlimited_tenant_gets_no_headers_and_costs_no_request_to_redis(own_redis: RedisServer) -> None:
    Client().send("GET", "/operations")
    before = own_redis.client().info("stats")["total_commands_processed"]

    reply = Client().send("GET", "/operations")

    assert reply.status == 200
    assert not {"ratelimit", "ratelimit-policy"} & set(reply.headers)
    assert own_redis.client().info("stats")["total_commands_processed"] - before == 1  # this one


def test_without_redis_there_is_no_limit(own_redis: RedisServer) -> None:
    client = Client(quotas=Quotas(requests_per_s=1, jobs_per_month=1))
    file_id = client.file()
    own_redis.signal(signal.SIGSTOP)

    began = time.monotonic()
    answers = [client.send("GET", "/operations") for _ in range(15)] + [client.start(file_id) for _ in range(2)]

    assert [answer.status for answer in answers] == [200] * 15 + [202] * 2
    assert time.monotonic() - began < 8  # it is tried again after some seconds only
    own_redis.signal(signal.SIGCONT)


def test_queued_jobs_are_limited_and_those_that_run_or_have_ended_do_not_count() -> None:
    client = Client(quotas=Quotas(queued_jobs=2))
    file_id = client.file()
    first, _second = (client.start(file_id).json["job_id"] for _ in range(2))

    over = client.start(file_id)

    assert refused(over, "quota_queued_jobs") == 5
    assert over.headers["ratelimit-policy"].endswith(', "queued_jobs";q=2;darkroom-unit="jobs"')
    assert over.headers["ratelimit"].endswith(', "queued_jobs";r=0;t=5')
    job = ledger.read_job(JobRef(ACME, first))
    assert job is not None
    claim(job)
    third = client.start(file_id)
    assert third.status == 202
    refused(client.start(file_id), "quota_queued_jobs")
    assert client.send("DELETE", f"/jobs/{third.json['job_id']}").status == 200
    assert client.start(file_id).status == 202
    assert measure(ACME).queued_jobs == 2


def test_monthly_jobs_are_limited_until_the_month_ends() -> None:
    client = Client(quotas=Quotas(jobs_per_month=2))
    file_id = client.file()
    job_id = client.start(file_id).json["job_id"]
    client.send("DELETE", f"/jobs/{job_id}")
    assert client.send("POST", f"/jobs/{job_id}/retry").status == 202

    over = client.start(file_id)

    retry_after_s = refused(over, "quota_monthly_jobs")
    assert retry_after_s is not None
    assert abs(retry_after_s - seconds_until(end_of_month())) < 5
    assert refused(client.send("POST", f"/jobs/{job_id}/retry"), "quota_monthly_jobs")
    form = client.request_form(jobs=[{"operation": "resize", "params": {"width": 10}}])
    assert refused(form, "quota_monthly_jobs")
    assert client.request_form().status == 201
    assert Client("umbra", Quotas(jobs_per_month=2)).send("GET", "/usage").json["quotas"]["monthly_jobs"]["used"] == 0


def test_attached_jobs_count_together() -> None:
    client = Client(quotas=Quotas(jobs_per_month=2))
    jobs = [{"operation": "resize", "params": {"width": width}} for width in (10, 20, 30)]

    assert refused(client.request_form(jobs=jobs), "quota_monthly_jobs")
    assert client.request_form(jobs=jobs[:2]).status == 201


def test_video_minutes_are_limited_and_images_are_not() -> None:
    client = Client(quotas=Quotas(video_minutes_per_month=10))
    video, image = client.file(MP4, "video/mp4"), client.file()
    for minutes in (4, 5.9):
        client.complete(client.start(video, "video_compress").json["job_id"], duration_s=60 * minutes)
    last = client.start(video, "video_compress")
    assert last.status == 202  # the length of a video is not known before

    client.complete(last.json["job_id"], duration_s=600)

    over = client.start(video, "video_compress")
    assert abs((refused(over, "quota_monthly_video_minutes") or 0) - seconds_until(end_of_month())) < 5
    assert ';darkroom-unit="minutes";w=' in over.headers["ratelimit-policy"]
    assert client.start(image).status == 202
    assert client.send("GET", "/usage").json["quotas"]["monthly_video_minutes"]["used"] == 19.9


def test_repeated_request_is_never_refused() -> None:
    quotas = Quotas(jobs_per_month=1, queued_jobs=1, stored_bytes=1 * GIB)
    client = Client(quotas=quotas)
    file_id = client.file()
    sent: list[Callable[[], Reply]] = [
        lambda: client.start(file_id, **{"Idempotency-Key": "job"}),
        lambda: client.request_form(size_bytes=GIB // 2, headers={"Idempotency-Key": "form"}),
        lambda: client.upload(headers={"Idempotency-Key": "upload"}),
    ]
    first = [send() for send in sent]
    assert [reply.status for reply in first] == [202, 201, 201]
    redis_client().hincrby(keys.usage_of(ACME), f"bytes:{utc_now()[:10]}", GIB)

    again = [send() for send in sent]

    assert [reply.status for reply in again] == [202, 201, 201]
    assert [reply.json.get("job_id", reply.json["file_id"]) for reply in again] == [
        reply.json.get("job_id", reply.json["file_id"]) for reply in first
    ]
    assert measure(ACME).jobs == 1
    refused(client.start(file_id, **{"Idempotency-Key": "other"}), "quota_queued_jobs")
    refused(client.request_form(size_bytes=9, headers={"Idempotency-Key": "other form"}), "quota_stored_bytes")
    refused(client.request_form(size_bytes=9, headers={"Idempotency-Key": "other form"}), "quota_stored_bytes")


def test_larger_uploads_are_refused_for_good() -> None:
    client = Client(quotas=Quotas(upload_bytes=len(JPEG)))

    assert refused(client.upload(JPEG + b"0"), "quota_upload_bytes", 413) is None
    assert refused(client.request_form(size_bytes=len(JPEG) + 1), "quota_upload_bytes", 413) is None
    assert client.upload(JPEG).status == 201
    assert client.request_form().json["upload"]["max_bytes"] == len(JPEG)


def test_stored_bytes_are_limited_until_the_oldest_are_removed() -> None:
    client = Client(quotas=Quotas(stored_bytes=1_000))
    image = client.file(JPEG + b"0" * (900 - len(JPEG)))
    today = datetime.now(UTC).date()

    over = client.upload(JPEG + b"0" * 100)

    removed = datetime.combine(today + timedelta(days=config.settings().retention_days + 1), datetime.min.time(), UTC)
    assert abs((refused(over, "quota_stored_bytes") or 0) - seconds_until(removed)) < 5
    assert '"stored_bytes";q=1000;qu="content-bytes"' in over.headers["ratelimit-policy"]
    assert client.upload(JPEG).status == 201
    client.complete(client.start(image).json["job_id"], size_bytes=200)
    refused(client.start(image), "quota_stored_bytes")
    refused(client.request_form(size_bytes=1), "quota_stored_bytes")


def test_bytes_stored_on_days_whose_files_are_removed_do_not_count() -> None:
    kept = config.settings().retention_days
    days = {age: (datetime.now(UTC) - timedelta(days=age)).date().isoformat() for age in (kept + 1, kept, 0)}
    redis_client().hset(keys.usage_of(ACME), mapping={f"bytes:{day}": 10**age for age, day in days.items()})

    usage = measure(ACME)

    assert usage.stored_by_day == {days[kept]: 10**kept, days[0]: 1}


def test_open_forms_reserve_what_their_uploads_may_have() -> None:
    client = Client(quotas=Quotas(stored_bytes=1_000))
    form = client.request_form(size_bytes=600)
    assert form.status == 201

    assert (refused(client.request_form(size_bytes=600), "quota_stored_bytes") or 0) <= config.settings().link_expiry_s
    refused(client.request_form(), "quota_stored_bytes")  # without a size it could have 5 GiB
    assert measure(ACME).reserved_bytes == 600

    file_id = form.json["file_id"]
    s3.put(uploads.key_of(ACME, file_id), JPEG, media_type="image/jpeg", metadata=uploads.metadata_of("a.jpg", []))
    for _ in range(2):
        ingestion.ingest(ACME, file_id)

    assert measure(ACME).reserved_bytes == 0
    assert measure(ACME).stored_bytes == len(JPEG)
    assert client.request_form(size_bytes=600).status == 201


def test_reservation_ends_with_its_form() -> None:
    client = Client(quotas=Quotas(stored_bytes=1_000))
    client.request_form(size_bytes=600)
    usage = measure(ACME)
    (field,) = [name for name in usage.fields if name.startswith("forms@")]

    past = usage.now_ms // SLOT_MS - 1
    redis_client().hdel(keys.usage_of(ACME), field)
    redis_client().hset(keys.usage_of(ACME), f"forms@{past}", 600)

    assert measure(ACME).reserved_bytes == 0


def test_usage_shows_each_quota_with_its_limit_and_its_use() -> None:
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
        "is_complete": False,
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
    assert 1 <= usage["quotas"]["requests"]["used"] <= 3


def test_usage_of_an_open_deployment_has_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "open")
    config.settings.cache_clear()

    quotas = call("GET", "/usage").json["quotas"]

    assert {name: quota["limit"] for name, quota in quotas.items()} == dict.fromkeys(quotas)
