"""One run, from its invocation to the end of the attempt, with operations of one line instead of the real ones."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom import ids
from darkroom.contracts.jobs import Job, Status
from darkroom.errors import CorruptMediaError
from darkroom.jobs import acceptance, ledger, lifecycle, source
from darkroom.media.task import Rendition, Task
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import slots
from darkroom.services.redis.client import redis_client
from tests.integration.conftest import (
    PNG,
    MakeJob,
    Take,
    Upload,
    failure_code_of,
    result_of,
    view_of,
)
from tests.integration.redis_jobs import acquire
from tests.integration.runs import RESIZE, copy, run, settle_at_once
from tests.support.tenants import upload_key


@pytest.fixture(autouse=True)
def reports() -> Iterator[list[dict[str, Any]]]:
    """What runs report to settle, which is started at once."""
    with settle_at_once() as received:
        yield received


def objects_of(job: Job) -> list[str]:
    return list(s3.keys_after(f"processed/default/{job.job_id}/"))


def temporary_directories() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("darkroom-*"))


def test_run_completes_its_job_and_uploads_the_output(accepted: Job) -> None:
    assert run(accepted) == "completed"

    result = result_of(accepted.job_id)
    view = view_of(accepted.job_id)
    assert view.status is Status.COMPLETED
    assert view.result == result
    [output] = result.outputs
    assert (output.name, output.size_bytes, output.media_type) == ("Łódź-resize.png", len(PNG), "image/png")
    assert s3.get(output.key) == PNG
    assert slots.in_flight()[RESIZE] == 0
    assert temporary_directories() == []


def test_outputs_of_one_type_have_different_names(accepted: Job) -> None:
    def twice(_task: Task, _params: Any) -> list[Rendition]:
        return [Rendition(content, "png", "image/png", name=name) for name, content in (("01", b"one"), ("02", b"two"))]

    assert run(accepted, twice) == "completed"

    outputs = result_of(accepted.job_id).outputs
    assert [output.name for output in outputs] == ["Łódź-resize-01.png", "Łódź-resize-02.png"]
    assert [s3.get(output.key) for output in outputs] == [b"one", b"two"]


def test_second_delivery_of_a_message_does_nothing(accepted: Job) -> None:
    run(accepted)
    first = ledger.read_result(accepted.ref)

    assert run(accepted) == "ended"

    assert ledger.read_result(accepted.ref) == first
    assert len(objects_of(accepted)) == 1


def test_second_run_of_a_leased_job_does_nothing(accepted: Job) -> None:
    outcomes = []

    def run_again(task: Task, params: Any) -> list[Rendition]:
        outcomes.append(run(accepted))
        return copy(task, params)

    assert run(accepted, run_again) == "completed"
    assert outcomes == ["leased"]


def test_corrupt_media_fails_the_job_without_a_retry(accepted: Job) -> None:
    def corrupt(_task: Task, _params: Any) -> list[Rendition]:
        raise CorruptMediaError("The image ends early.")

    assert run(accepted, corrupt) == "failed"

    assert result_of(accepted.job_id).status is Status.FAILED
    assert failure_code_of(accepted.job_id) == "corrupt_media"
    assert temporary_directories() == []


def test_notes_of_an_error_are_logged_and_not_shown_to_clients(accepted: Job, caplog: pytest.LogCaptureFixture) -> None:
    def corrupt(_task: Task, _params: Any) -> list[Rendition]:
        error = CorruptMediaError("The file is damaged.")
        error.add_note("FFmpeg's exit code 1: moov atom not found")
        raise error

    run(accepted, corrupt)

    [record] = [record for record in caplog.records if record.getMessage() == "attempt failed"]
    assert vars(record)["notes"] == ["FFmpeg's exit code 1: moov atom not found"]
    error = result_of(accepted.job_id).error
    assert error is not None
    assert "moov" not in error.message


def test_canceled_job_never_starts(accepted: Job) -> None:
    lifecycle.end(accepted, lifecycle.canceled_result(accepted, attempt=0))

    assert run(accepted) == "ended"
    assert objects_of(accepted) == []


def test_cancel_stops_the_run_and_removes_its_outputs(accepted: Job) -> None:
    def cancel_and_report(task: Task, params: Any) -> list[Rendition]:
        lifecycle.end(accepted, lifecycle.canceled_result(accepted, attempt=1))
        task.report_progress(0.5)
        return copy(task, params)

    assert run(accepted, cancel_and_report) == "superseded"

    assert result_of(accepted.job_id).status is Status.CANCELED
    assert objects_of(accepted) == []
    assert temporary_directories() == []


def test_run_that_finishes_after_the_cancel_does_not_complete_the_job(accepted: Job) -> None:
    def cancel_without_report(task: Task, params: Any) -> list[Rendition]:
        lifecycle.end(accepted, lifecycle.canceled_result(accepted, attempt=1))
        return copy(task, params)

    assert run(accepted, cancel_without_report) == "superseded"

    assert view_of(accepted.job_id).status is Status.CANCELED
    assert objects_of(accepted) == []


def test_job_whose_view_was_lost_is_restored_from_the_ledger_and_run(accepted: Job) -> None:
    redis_client().flushdb()

    assert run(accepted) == "completed"
    assert view_of(accepted.job_id).status is Status.COMPLETED


def test_ended_job_whose_view_was_lost_is_not_run_again(accepted: Job) -> None:
    run(accepted)
    redis_client().flushdb()

    assert run(accepted) == "ended"
    assert view_of(accepted.job_id).status is Status.COMPLETED
    assert len(objects_of(accepted)) == 1


def test_message_of_an_unknown_job_is_parked(make_job: MakeJob, take: Take) -> None:
    job = make_job()
    acquire(job)

    assert run(job) == "missing"

    parked = take(rabbitmq.PARKED_QUEUE)
    assert parked["body"]["job_id"] == job.job_id
    assert "never accepted" in parked["headers"]["x-reason"]
    assert slots.in_flight()[RESIZE] == 0


def test_run_continues_when_the_view_is_lost_meanwhile(accepted: Job) -> None:
    def lose_the_view(task: Task, params: Any) -> list[Rendition]:
        redis_client().flushdb()
        task.report_progress(0.5)
        return copy(task, params)

    assert run(accepted, lose_the_view) == "completed"
    assert result_of(accepted.job_id).status is Status.COMPLETED
    assert view_of(accepted.job_id).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (b"", "image/png", "empty_file"),
        (b"just text, whatever its name", "", "unsupported_media_type"),
        (PNG, "image/jpeg", "media_type_mismatch"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64, "video/mp4", "wrong_media_kind"),
    ],
)
def test_file_that_cannot_be_processed_fails_the_job_before_the_operation_runs(
    make_job: MakeJob, upload: Upload, content: bytes, media_type: str, code: str
) -> None:
    def never(_task: Task, _params: Any) -> list[Rendition]:
        raise AssertionError("the operation ran")

    job = make_job(file_id=upload(content, media_type or "application/octet-stream"))
    acceptance.accept(job)

    assert run(job, never) == "failed"
    assert failure_code_of(job.job_id) == code


def test_missing_file_fails_the_job(make_job: MakeJob) -> None:
    job = make_job(file_id=ids.new_id())
    acceptance.accept(job)

    assert run(job) == "failed"
    assert failure_code_of(job.job_id) == "file_not_found"


def test_large_source_is_read_through_a_link_and_a_small_one_from_disk(
    accepted: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    locations: list[str] = []

    def locate(task: Task, params: Any) -> list[Rendition]:
        locations.append(task.source.ffmpeg_input())
        return copy(task, params)

    run(accepted, locate)
    assert Path(locations[0]).name.startswith("source-")

    second = accepted.model_copy(update={"job_id": ids.new_id()})
    acceptance.accept(second)
    monkeypatch.setattr(source, "WHOLE_FILE_BYTES", 1)
    run(second, locate)
    assert locations[1].startswith(aws.client("s3").meta.endpoint_url)
    assert upload_key(accepted.source.file_id) in locations[1]
