"""Sweep ingests awaited uploads whose event was lost, and removes their entries from the index."""

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import AttachedJob
from darkroom.contracts.operations import Operation
from darkroom.jobs import ingestion, open_index, uploads
from darkroom.jobs.open_index import Kind
from darkroom.services import s3
from darkroom.services.redis import files
from darkroom.services.redis.client import redis_client
from functions.sweep import missed_uploads
from tests.integration.conftest import PNG, BreakService, MakeJob, Take, Upload
from tests.integration.sweeping import aged_entries, id_of_age, let_looked_up_marks_expire, open_entries, sweep
from tests.support.gateway import call
from tests.support.tenants import TENANT, upload_key


@pytest.fixture(autouse=True)
def uploads_are_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads count as overdue at once."""
    monkeypatch.setattr(missed_uploads, "EVENT_WITHIN_S", -10)  # ages are in whole seconds


def issue_form(file_id: str | None = None) -> tuple[str, AttachedJob]:
    """A form with a job, as the API leaves it. Returns the file's id and the job."""
    file_id = file_id or ids.new_id()
    job = AttachedJob(job_id=ids.new_id(), operation=Operation.RESIZE, params={"width": 10})
    open_index.add_upload(TENANT, file_id)
    return file_id, job


def send(file_id: str, *jobs: AttachedJob) -> None:
    """The client sends the file."""
    s3.put(upload_key(file_id), PNG, media_type="image/png", metadata=uploads.metadata_of("a.png", list(jobs)))


@pytest.mark.parametrize("hours", [0, 20])
def test_upload_whose_event_was_lost_is_ingested_however_old_its_form_is(take: Take, hours: int) -> None:
    file_id, job = issue_form(id_of_age(hours * 3600))
    send(file_id, job)

    assert sweep()["ingested"] == 1

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert sweep()["ingested"] == 0
    assert open_entries(Kind.UPLOADS) == []


def test_form_with_jobs_is_in_the_index_and_one_without_is_not() -> None:
    body = {"name": "a.png", "media_type": "image/png"}

    call("POST", "/uploads", json_body=body)
    file_id = call("POST", "/uploads", json_body=body | {"jobs": [{"operation": "thumbnail"}]}).json["file_id"]

    assert open_entries(Kind.UPLOADS) == [file_id]


def test_no_form_is_issued_that_sweep_could_not_find(break_service: BreakService) -> None:
    break_service("storage")

    reply = call(
        "POST", "/uploads", json_body={"name": "a.png", "media_type": "image/png", "jobs": [{"operation": "thumbnail"}]}
    )

    assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")


def test_upload_that_was_reported_is_not_ingested_again_and_its_entry_is_removed() -> None:
    file_id, job = issue_form()
    send(file_id, job)
    ingestion.ingest(TENANT, file_id)

    assert sweep()["ingested"] == 0
    assert open_entries(Kind.UPLOADS) == []


def test_absent_upload_is_looked_up_when_its_age_has_doubled_and_found_when_it_arrives_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file_id, job = issue_form()
    lookups: list[str] = []
    exists = s3.exists

    def exists_and_count(key: str) -> bool:
        lookups.append(key)
        return exists(key)

    monkeypatch.setattr(s3, "exists", exists_and_count)
    with aged_entries(3600):
        for _ in range(3):
            sweep()
        assert len(lookups) == 1
        send(file_id, job)
        let_looked_up_marks_expire(3600)

        assert sweep()["ingested"] == 1
    assert len(lookups) == 2


def test_entry_of_a_form_that_was_never_used_is_removed_a_day_after_it_expired() -> None:
    issue_form()
    with aged_entries(missed_uploads.UPLOADING_S):
        sweep()
    assert len(open_entries(Kind.UPLOADS)) == 1

    redis_client().flushdb()
    with aged_entries(config.settings().link_expiry_s + missed_uploads.UPLOADING_S + 60):
        sweep()

    assert open_entries(Kind.UPLOADS) == []


def test_interrupted_ingestion_is_repeated(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id, job = issue_form()
    send(file_id, job)
    with monkeypatch.context() as patch:
        patch.setattr(files, "mark_ingested", lambda *_arguments, **_named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingestion.ingest(TENANT, file_id)

    assert sweep()["ingested"] == 1
    assert take("darkroom.resize")["body"]["job_id"] == job.job_id


def test_upload_without_a_form_is_left_alone(upload: Upload, make_job: MakeJob) -> None:
    file_id = upload(PNG, "image/png")

    assert sweep()["ingested"] == 0
    assert files.find_record(TENANT, file_id) is None
