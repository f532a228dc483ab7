import threading

import httpx
import pytest

from darkroom import ids
from darkroom.contracts.jobs import JobResult, Status
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import ledger, uploads
from darkroom.services import aws, s3
from darkroom.timestamps import utc_now


def ending_of(job, status, run):
    return JobResult(job_id=job.job_id, status=status, attempt=1, run=run, finished_at=utc_now())


def test_a_job_is_written_down_once(make_job):
    job = make_job()

    assert ledger.write_job(job)
    assert not ledger.write_job(job)

    assert ledger.read_job(job.job_id) == job


def test_the_first_end_holds_and_every_other_writer_learns_it(make_job):
    job = make_job()
    ledger.write_job(job)
    first = ending_of(job, Status.COMPLETED, "run-1")

    assert ledger.write_result(first) == first
    assert ledger.write_result(ending_of(job, Status.FAILED, "run-2")) == first
    assert ledger.read_result(job.job_id) == first


def test_of_many_simultaneous_ends_exactly_one_holds(make_job):
    job = make_job()
    ledger.write_job(job)
    held = []

    def end(number):
        held.append(ledger.write_result(ending_of(job, Status.COMPLETED, f"run-{number}")).run)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(held) == 12
    assert set(held) == {ledger.read_result(job.job_id).run}


def test_the_ledger_lists_jobs_in_order_of_acceptance_from_any_moment(make_job):
    jobs = [make_job(job_id=ids.new_id(at_ms=1_000_000 + number)) for number in range(4)]
    for job in jobs:
        ledger.write_job(job)
    ledger.write_result(ending_of(jobs[1], Status.COMPLETED, "run-1"))

    listed = list(ledger.jobs_after(ids.first_id(1_000_001)))

    assert listed == [(jobs[1].job_id, True), (jobs[2].job_id, False), (jobs[3].job_id, False)]
    after = list(ledger.jobs_after(jobs[1].job_id))
    assert after == listed[1:]


def test_a_job_that_was_never_accepted_is_none():
    assert ledger.read_job(ids.new_id()) is None
    assert ledger.read_result(ids.new_id()) is None


def test_a_store_that_is_down_is_a_typed_error(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    aws.client.cache_clear()

    with pytest.raises(StorageUnavailableError):
        ledger.read_job(ids.new_id())


def test_an_upload_form_takes_the_file_it_was_made_for_and_nothing_else():
    form = s3.upload_form(
        uploads.key_of("a"), media_type="image/png", metadata={"name": "a.png"}, max_bytes=10, expires_s=60
    )

    def post(content, **fields):
        return httpx.post(form["url"], data=form["fields"] | fields, files={"file": content}).status_code

    assert post(b"x" * 11) == 400
    assert post(b"") == 400
    assert post(b"x", **{"Content-Type": "text/html"}) == 403
    assert post(b"x", **{"x-amz-meta-name": "b.png"}) == 403
    assert s3.head(uploads.key_of("a"), 16) is None
    assert post(b"x" * 10) == 204
    head = s3.head(uploads.key_of("a"), 4)
    assert (head.content, head.size_bytes, head.media_type) == (b"xxxx", 10, "image/png")
    assert head.metadata == {"name": "a.png"}


def test_the_head_of_an_empty_object_is_empty(upload):
    head = s3.head(uploads.key_of(upload(b"")), 16)

    assert (head.content, head.size_bytes) == (b"", 0)


def test_a_link_saves_under_a_name_in_any_script(upload):
    link = s3.link(uploads.key_of(upload(b"data")), expires_s=60, save_as="Łódź, фото.jpg")

    answer = httpx.get(link)

    assert answer.content == b"data"
    assert "filename*=UTF-8''%C5%81%C3%B3d%C5%BA" in answer.headers["content-disposition"]
