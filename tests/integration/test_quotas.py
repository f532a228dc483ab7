"""Quotas of tenants, through the handler: what is refused, for how long, and what is counted in a real Redis and S3."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from darkroom import config
from darkroom.contracts.jobs import JobRef
from darkroom.contracts.tenants import Principal, Quotas, Scope, UploadLimits
from darkroom.jobs import ingestion, ledger, uploads
from darkroom.services import s3
from darkroom.services.redis import keys
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.usage import SLOT_MS, measure
from darkroom.tenants.context import to_context
from darkroom.timestamps import utc_now
from tests.integration.api_jobs import JPEG, MP4
from tests.integration.quota_client import ACME, GIB, Client, end_of_month, refused, seconds_until
from tests.integration.redis_jobs import claim
from tests.integration.usage_jobs import HOUR_MS, has_counted_since
from tests.support.gateway import Reply, call


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "closed")
    config.settings.cache_clear()


@pytest.fixture(autouse=True)
def counted_for_long() -> None:
    has_counted_since(int(time.time() * 1000) - HOUR_MS, ACME)


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


def test_who_has_an_upload_link_is_not_told_what_the_tenant_uses() -> None:
    principal = Principal(
        tenant=ACME,
        scopes=[Scope.UPLOAD],
        credential="acme-7q2xk4mzt5ba",
        quotas=Quotas(stored_bytes=1_234_567, requests_per_s=None),
        limits=UploadLimits(),
    )
    body = {"name": "photo.jpg", "media_type": "image/jpeg", "size_bytes": 1_234_568}

    reply = call("POST", "/uploads", json_body=body, authorizer=to_context(principal))

    assert refused(reply, "quota_stored_bytes") == config.settings().link_expiry_s
    assert reply.json["detail"] == "The tenant has no storage left."
    assert "1234567" not in str(reply.headers)
