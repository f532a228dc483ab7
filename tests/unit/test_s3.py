"""Storing and deleting objects, with stubbed responses of S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from darkroom import config
from darkroom.errors import FileTooLargeError, StorageUnavailableError
from darkroom.services import aws, s3
from darkroom.timeouts import BACKGROUND, INTERACTIVE, Timeouts, use_timeouts
from tests.support.settings import REQUIRED_SETTINGS


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in REQUIRED_SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    config.settings.cache_clear()
    aws.client.cache_clear()
    with Stubber(aws.client("s3")) as stubber:
        yield stubber
    config.settings.cache_clear()
    aws.client.cache_clear()


def test_delete_raises_for_an_object_that_s3_did_not_remove(stub: Any) -> None:
    stub.add_response("delete_objects", {"Errors": [{"Key": "b", "Code": "InternalError"}]})

    with pytest.raises(StorageUnavailableError, match="1 of 2 objects: InternalError"):
        s3.delete(["a", "b"])


def test_file_above_the_limit_of_s3_is_not_an_outage(stub: Any, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with path.open("wb") as file:
        file.truncate(s3.PUT_MAX_BYTES + 1)

    with pytest.raises(FileTooLargeError) as raised:
        s3.put_file("a", path, media_type="video/mp4")

    assert not raised.value.retryable


def test_objects_are_removed_in_batches_of_a_thousand(stub: Any) -> None:
    keys = [f"{number:04}" for number in range(1001)]
    for batch in (keys[:1000], keys[1000:]):
        objects = [{"Key": key} for key in batch]
        stub.add_response("delete_objects", {}, {"Bucket": "a-bucket", "Delete": {"Objects": objects, "Quiet": True}})

    s3.delete(keys)

    stub.assert_no_pending_responses()


@pytest.fixture
def without_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A deployment on AWS: no endpoint is configured."""
    for name, value in REQUIRED_SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()
    aws.client.cache_clear()
    aws._session.cache_clear()


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1"])
@pytest.mark.usefixtures("without_endpoint")
def test_links_and_forms_name_the_regional_host_of_the_bucket(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    aws.client.cache_clear()
    aws._session.cache_clear()

    link = s3.link("a/key", expires_s=60)
    form = s3.upload_form("a/key", media_type="image/png", metadata={}, max_bytes=1, expires_s=60)

    assert link.startswith(f"https://a-bucket.s3.{region}.amazonaws.com/a/key?")
    assert form["url"] == f"https://a-bucket.s3.{region}.amazonaws.com/"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.usefixtures("without_endpoint")
def test_links_name_the_endpoint_of_an_emulator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv(name, "http://localhost:4566")
    aws.client.cache_clear()
    aws._session.cache_clear()

    assert s3.link("a/key", expires_s=60).startswith("http://localhost:4566/a-bucket/a/key?")


@pytest.mark.parametrize("timeouts", [INTERACTIVE, BACKGROUND])
@pytest.mark.usefixtures("without_endpoint")
def test_client_has_the_limits_of_the_process(timeouts: Timeouts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    use_timeouts(timeouts)
    try:
        aws.client.cache_clear()
        made = aws.client("s3").meta.config
    finally:
        use_timeouts(BACKGROUND)

    assert (made.connect_timeout, made.read_timeout) == (timeouts.connect_s, timeouts.storage_read_s)
    assert made.retries["total_max_attempts"] == timeouts.storage_attempts
