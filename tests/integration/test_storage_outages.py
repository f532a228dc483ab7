"""Runs while S3 stalls, or while their file is uploaded again: the job is retried and does not fail."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from darkroom import config
from darkroom.av import ffmpeg
from darkroom.contracts.jobs import Job
from darkroom.contracts.operations import Operation
from darkroom.errors import CorruptMediaError, SourceReplacedError, StorageUnavailableError
from darkroom.jobs import acceptance, ledger, uploads
from darkroom.media.task import Rendition, Task
from darkroom.services import aws, s3
from darkroom.timeouts import BACKGROUND, use_timeouts
from tests.integration.conftest import MakeJob, Upload, view_of
from tests.integration.runs import run, settle_at_once
from tests.support.tcp_relay import Relay
from tests.support.tenants import upload_key

#: Bytes of a file that neither the first response nor the buffers of the sockets between can hold.
LARGE_BYTES = 64 * 1024 * 1024

#: Seconds that a response of S3 may take in these tests.
READ_S = 1.0


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay between this process and S3. It stalls when a test says so."""
    endpoint = urlsplit(aws.client("s3").meta.endpoint_url)
    aws.secret(config.settings().broker_secret_arn)
    relay = Relay(endpoint.hostname or "", endpoint.port or 80)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{relay.port}")
    use_timeouts(replace(BACKGROUND, storage_read_s=READ_S))
    aws.client.cache_clear()
    yield relay
    relay.close()
    use_timeouts(BACKGROUND)
    monkeypatch.undo()
    aws.client.cache_clear()


@pytest.fixture
def job(clips: Callable[[str], Path], upload: Upload, make_job: MakeJob) -> Job:
    """An accepted job on a large file that begins like a video."""
    content = clips("video.mkv").read_bytes()
    job = make_job(Operation.VIDEO_METADATA, upload(content.ljust(LARGE_BYTES, b"\0"), "video/x-matroska"), {})
    acceptance.accept(job)
    return job


@pytest.fixture(autouse=True)
def settle() -> Iterator[None]:
    with settle_at_once():
        yield


def assert_retried(job: Job, code: str) -> None:
    assert ledger.read_result(job.ref) is None, "the job has failed"
    assert [failure.code for failure in view_of(job.job_id).errors] == [code]


def test_storage_that_stalls_during_a_download_is_an_outage(relay: Relay, job: Job) -> None:
    def download(task: Task, _params: Any) -> list[Rendition]:
        assert task.source.size_bytes == LARGE_BYTES
        relay.stall()
        try:
            task.source.download()
        finally:
            relay.resume()
        return []

    began = time.monotonic()
    assert run(job, download) == "failed_attempt"

    assert time.monotonic() - began < READ_S + 15
    assert_retried(job, "storage_unavailable")


def test_storage_that_stalls_while_ffmpeg_reads_a_link_is_an_outage(relay: Relay, job: Job, binaries: Path) -> None:
    def read(task: Task, _params: Any) -> list[Rendition]:
        location = task.source.ffmpeg_input()
        relay.stall()
        try:
            ffmpeg.read("ffprobe", location, "matroska", task)
        finally:
            relay.resume()
        return []

    assert run(job, read) == "failed_attempt"

    assert_retried(job, "storage_unavailable")


def test_storage_that_stalls_before_the_first_byte_is_an_outage_soon(relay: Relay, job: Job) -> None:
    relay.stall()
    began = time.monotonic()

    with pytest.raises(StorageUnavailableError):
        s3.get(upload_key(job.source.file_id))

    assert time.monotonic() - began < BACKGROUND.storage_attempts * READ_S + 15, "with the pauses between the attempts"


# Files that are replaced ------------------------------------------------------------------------------------------


@pytest.fixture
def replace_file(job: Job) -> Callable[[], None]:
    """Uploads other bytes as the file of the job, as a client may with the form."""

    def replace_file() -> None:
        content = s3.get(upload_key(job.source.file_id))
        assert content is not None
        metadata = uploads.metadata_of("photo.jpg", [])
        s3.put(upload_key(job.source.file_id), content[:-1], media_type="video/x-matroska", metadata=metadata)

    return replace_file


def test_link_to_a_replaced_file_is_refused(job: Job, replace_file: Callable[[], None], binaries: Path) -> None:
    def read(task: Task, _params: Any) -> list[Rendition]:
        location = task.source.ffmpeg_input()
        replace_file()
        with pytest.raises(SourceReplacedError) as caught:
            ffmpeg.read("ffprobe", location, "matroska", task)
        raise caught.value

    assert run(job, read) == "failed_attempt"

    assert_retried(job, "source_replaced")


@pytest.mark.parametrize("fails", [False, True])
def test_file_that_was_replaced_during_a_run_ends_the_attempt(
    job: Job, replace_file: Callable[[], None], fails: bool
) -> None:
    def work(task: Task, _params: Any) -> list[Rendition]:
        task.source.ffmpeg_input()
        replace_file()
        if fails:
            raise CorruptMediaError("The bytes do not fit together.")
        return []

    run(job, work)

    assert_retried(job, "source_replaced")


def test_download_is_of_one_version_of_the_file(job: Job, replace_file: Callable[[], None]) -> None:
    sizes: list[int] = []

    def download(task: Task, _params: Any) -> list[Rendition]:
        assert task.source.size_bytes == LARGE_BYTES
        replace_file()
        sizes.append(task.source.download().stat().st_size)
        return []

    assert run(job, download) == "completed"

    assert sizes == [LARGE_BYTES]
