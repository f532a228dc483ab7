import pytest
from botocore.stub import Stubber

from darkroom import aws, config, storage
from darkroom.errors import FileTooLargeError, StorageUnavailableError


@pytest.fixture
def s3(monkeypatch):
    variables = ("BUCKET", "CACHE_URL", "BROKER_URL", "BROKER_SECRET_ARN", "FUNCTION_PREFIX")
    for name in variables:
        monkeypatch.setenv(f"{config.PREFIX}{name}", "a")
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    for cached in (config.settings, aws.client):
        cached.cache_clear()
    with Stubber(aws.client("s3")) as stub:
        yield stub
    for cached in (config.settings, aws.client):
        cached.cache_clear()


def test_an_object_that_is_not_removed_is_an_error_though_the_request_succeeds(s3):
    s3.add_response("delete_objects", {"Errors": [{"Key": "b", "Code": "InternalError"}]})

    with pytest.raises(StorageUnavailableError, match="1 of 2 objects: InternalError"):
        storage.delete(["a", "b"])


def test_a_file_that_s3_would_refuse_each_time_is_not_an_outage(s3, tmp_path):
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.truncate(storage.PUT_MAX_BYTES + 1)

    with pytest.raises(FileTooLargeError) as raised:
        storage.put_file("a", path, media_type="video/mp4")

    assert not raised.value.retryable


def test_objects_are_removed_in_batches_that_s3_takes(s3):
    keys = [f"{number:04}" for number in range(1001)]
    for batch in (keys[:1000], keys[1000:]):
        objects = [{"Key": key} for key in batch]
        s3.add_response("delete_objects", {}, {"Bucket": "a", "Delete": {"Objects": objects, "Quiet": True}})

    storage.delete(keys)

    s3.assert_no_pending_responses()
