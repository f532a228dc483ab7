"""Storing and deleting objects, with stubbed responses of S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from darkroom import config
from darkroom.errors import FileTooLargeError, StorageUnavailableError
from darkroom.services import aws, s3
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
