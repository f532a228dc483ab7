"""The life of one run, with operations of a line each in the place of the seven."""

import json
import tempfile
from pathlib import Path

import pytest

from darkroom import ids
from darkroom.contracts.jobs import MAX_ATTEMPTS, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError, StorageUnavailableError
from darkroom.jobs import ledger, lifecycle, source, uploads, worker
from darkroom.media.task import Rendition
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import slots, views
from darkroom.services.redis.client import redis_client

RESIZE = Operation.RESIZE
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


class Context:
    def __init__(self, remaining_ms=60_000):
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self):
        return self.remaining_ms


@pytest.fixture
def accepted(make_job, upload):
    job = make_job(file_id=upload(PNG, "image/png", "Łódź.png"))
    lifecycle.accept(job)
    return job


def copy(task, params):
    return [Rendition(task.source.read(), "png", "image/png", width_px=1, height_px=1)]


def run(job, operation=copy, attempt=1):
    handler = worker.bind(job.operation, operation)
    event = {
        "message": json.loads(lifecycle.message_for(job, attempt).model_dump_json()),
        "traceparent": job.traceparent,
    }
    return handler(event, Context())["outcome"]


def objects_of(job):
    return list(s3.keys_after(f"processed/default/{job.job_id}/"))


def scratch():
    return list(Path(tempfile.gettempdir()).glob("darkroom-*"))


def test_a_run_ends_its_job_and_its_output_is_there(accepted):
    assert run(accepted) == "completed"

    result = ledger.read_result(accepted.job_id)
    view = views.fetch(accepted.job_id)
    assert view.status is Status.COMPLETED
    assert view.result == result
    [output] = result.outputs
    assert (output.name, output.size_bytes, output.media_type) == ("Łódź-resize.png", len(PNG), "image/png")
    assert s3.get(output.key) == PNG
    assert slots.in_flight()[RESIZE] == 0
    assert scratch() == []


def test_several_outputs_of_one_kind_lie_side_by_side(accepted):
    def twice(task, params):
        return [Rendition(content, "png", "image/png", name=name) for name, content in (("01", b"one"), ("02", b"two"))]

    assert run(accepted, twice) == "completed"

    outputs = ledger.read_result(accepted.job_id).outputs
    assert [output.name for output in outputs] == ["Łódź-resize-01.png", "Łódź-resize-02.png"]
    assert [s3.get(output.key) for output in outputs] == [b"one", b"two"]


def test_a_second_delivery_of_the_same_message_does_nothing(accepted):
    run(accepted)
    first = ledger.read_result(accepted.job_id)

    assert run(accepted) == "ended"

    assert ledger.read_result(accepted.job_id) == first
    assert len(objects_of(accepted)) == 1


def test_a_run_beside_a_live_one_does_nothing(accepted):
    outcomes = []

    def meanwhile(task, params):
        outcomes.append(run(accepted))
        return copy(task, params)

    assert run(accepted, meanwhile) == "completed"
    assert outcomes == ["leased"]


def test_bad_media_fails_the_job_at_once_with_its_code(accepted):
    def broken(task, params):
        raise CorruptMediaError("The file ends in the middle of a picture.")

    assert run(accepted, broken) == "failed"

    result = ledger.read_result(accepted.job_id)
    assert (result.status, result.error.code) == (Status.FAILED, "corrupt_media")
    assert scratch() == []


def test_what_a_program_said_about_bad_media_is_in_the_log(accepted, caplog):
    def broken(task, params):
        error = CorruptMediaError("The file is damaged.")
        error.add_note("FFmpeg's exit code 1: moov atom not found")
        raise error

    run(accepted, broken)

    [record] = [record for record in caplog.records if record.getMessage() == "attempt failed"]
    assert record.notes == ["FFmpeg's exit code 1: moov atom not found"]
    assert "moov" not in ledger.read_result(accepted.job_id).error.message


def test_trouble_that_passes_queues_the_job_again(accepted, take):
    def unlucky(task, params):
        raise StorageUnavailableError("The object store does not answer.")

    take("darkroom.resize")
    assert run(accepted, unlucky) == "retried"

    view = views.fetch(accepted.job_id)
    assert (view.status, view.attempt, view.errors[0].code) == (Status.QUEUED, 1, "storage_unavailable")
    assert rabbitmq._on_channel(lambda channel: channel.basic_get("darkroom.resize.retry.2s"))[0] is not None
    assert run(accepted, attempt=2) == "completed"


def test_a_defect_is_tried_again_and_ends_as_internal_error(accepted, caplog):
    def defective(task, params):
        raise ZeroDivisionError

    outcomes = [run(accepted, defective, attempt) for attempt in range(1, MAX_ATTEMPTS + 1)]

    assert outcomes == ["retried"] * MAX_ATTEMPTS
    result = ledger.read_result(accepted.job_id)
    assert (result.status, result.error.code, result.attempt) == (Status.FAILED, "internal_error", MAX_ATTEMPTS)
    assert [failure.code for failure in views.fetch(accepted.job_id).errors] == ["internal_error"] * (MAX_ATTEMPTS - 1)


def test_an_outage_is_waited_out_and_uses_up_no_attempt(accepted):
    def unlucky(task, params):
        raise StorageUnavailableError("The object store does not answer.")

    def defective(task, params):
        raise ZeroDivisionError

    for attempt in range(1, 8):
        assert run(accepted, unlucky, attempt) == "retried"
    outcomes = [run(accepted, defective, attempt) for attempt in range(8, 8 + MAX_ATTEMPTS)]

    assert outcomes == ["retried"] * MAX_ATTEMPTS
    result = ledger.read_result(accepted.job_id)
    assert (result.status, result.error.code) == (Status.FAILED, "internal_error")


def test_an_outage_without_end_fails_the_job_in_the_end(accepted, monkeypatch):
    def unlucky(task, params):
        raise StorageUnavailableError("The object store does not answer.")

    monkeypatch.setattr(lifecycle, "MAX_STARTS", 7)
    for attempt in range(1, 8):
        run(accepted, unlucky, attempt)

    assert ledger.read_result(accepted.job_id).error.code == "storage_unavailable"


def test_a_canceled_job_never_starts(accepted):
    lifecycle.end(accepted, lifecycle.canceled_result(accepted, attempt=0))

    assert run(accepted) == "ended"
    assert objects_of(accepted) == []


def test_a_cancel_stops_the_run_and_removes_what_it_made(accepted):
    def slow(task, params):
        lifecycle.end(accepted, lifecycle.canceled_result(accepted, attempt=1))
        task.report_progress(0.5)
        return copy(task, params)

    assert run(accepted, slow) == "superseded"

    assert ledger.read_result(accepted.job_id).status is Status.CANCELED
    assert objects_of(accepted) == []
    assert scratch() == []


def test_a_run_that_finishes_after_the_cancel_loses(accepted):
    def blind(task, params):
        lifecycle.end(accepted, lifecycle.canceled_result(accepted, attempt=1))
        return copy(task, params)

    assert run(accepted, blind) == "superseded"

    assert views.fetch(accepted.job_id).status is Status.CANCELED
    assert objects_of(accepted) == []


def test_a_job_whose_view_was_lost_is_restored_from_the_ledger_and_run(accepted):
    redis_client().flushdb()

    assert run(accepted) == "completed"
    assert views.fetch(accepted.job_id).status is Status.COMPLETED


def test_an_ended_job_whose_view_was_lost_is_not_run_again(accepted):
    run(accepted)
    redis_client().flushdb()

    assert run(accepted) == "ended"
    assert views.fetch(accepted.job_id).status is Status.COMPLETED
    assert len(objects_of(accepted)) == 1


def test_a_message_of_a_job_of_which_nothing_is_known_is_parked(make_job, take):
    job = make_job()
    slots.acquire(job.job_id, job.operation, 1, limit=1)

    assert run(job) == "missing"

    parked = take(rabbitmq.PARKED_QUEUE)
    assert parked["body"]["job_id"] == job.job_id
    assert "never accepted" in parked["headers"]["x-reason"]
    assert slots.in_flight()[RESIZE] == 0


def test_the_view_lost_during_the_run_does_not_stop_it(accepted):
    def forgetful(task, params):
        redis_client().flushdb()
        task.report_progress(0.5)
        return copy(task, params)

    assert run(accepted, forgetful) == "completed"
    assert ledger.read_result(accepted.job_id).status is Status.COMPLETED
    assert views.fetch(accepted.job_id).status is Status.COMPLETED
    assert views.list_ids("default", before=None, limit=10) == [accepted.job_id]


def test_outputs_stay_when_it_is_unknown_whether_the_commit_was_written(accepted, monkeypatch):
    real = ledger.write_result

    def written_but_unanswered(result):
        real(result)
        raise StorageUnavailableError("The object store did not answer.")

    monkeypatch.setattr(ledger, "write_result", written_but_unanswered)
    with pytest.raises(StorageUnavailableError):
        run(accepted)

    [output] = ledger.read_result(accepted.job_id).outputs
    assert s3.exists(output.key)


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (b"", "image/png", "empty_file"),
        (b"just text, whatever its name", "", "unsupported_media_type"),
        (PNG, "image/jpeg", "media_type_mismatch"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64, "video/mp4", "wrong_media_kind"),
    ],
)
def test_a_file_that_is_not_fit_fails_the_job_before_the_operation_sees_it(make_job, upload, content, media_type, code):
    def never(task, params):
        raise AssertionError("the operation was run")

    job = make_job(file_id=upload(content, media_type or "application/octet-stream"))
    lifecycle.accept(job)

    assert run(job, never) == "failed"
    assert ledger.read_result(job.job_id).error.code == code


def test_a_file_that_is_gone_fails_the_job(make_job):
    job = make_job(file_id=ids.new_id())
    lifecycle.accept(job)

    assert run(job) == "failed"
    assert ledger.read_result(job.job_id).error.code == "file_not_found"


def test_a_large_source_is_read_through_a_link_and_a_small_one_from_disk(accepted, monkeypatch):
    places = []

    def where(task, params):
        places.append(task.source.ffmpeg_input())
        return copy(task, params)

    run(accepted, where)
    assert Path(places[0]).name.startswith("source-")

    second = accepted.model_copy(update={"job_id": ids.new_id()})
    lifecycle.accept(second)
    monkeypatch.setattr(source, "WHOLE_FILE_BYTES", 1)
    run(second, where)
    assert places[1].startswith(aws.client("s3").meta.endpoint_url)
    assert uploads.key_of(accepted.source.file_id) in places[1]
