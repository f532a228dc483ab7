"""Deleting a stack with everything in its bucket, against the emulated CloudFormation and S3."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from localstack.errors import StackError
from tools import undeploy

TEMPLATE = {"Resources": {"MediaBucket": {"Type": "AWS::S3::Bucket"}}}


@pytest.fixture
def stack() -> Iterator[str]:
    name = f"undeploy-{uuid.uuid4().hex[:8]}"
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    yield name
    cloudformation.delete_stack(StackName=name)


def removal(name: str) -> undeploy.Removal:
    return undeploy.Removal(boto3.Session(), name, pause_s=0.1, poll_s=0.1)


def fill(bucket: str) -> None:
    """Objects in more than one request's batch, old versions, a delete marker and an unfinished upload."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(5):
        for version in (b"first", b"second"):
            s3.put_object(Bucket=bucket, Key=f"uploads/{number}", Body=version)
    s3.delete_object(Bucket=bucket, Key="uploads/0")
    s3.create_multipart_upload(Bucket=bucket, Key="processed/unfinished")


def exists(name: str) -> bool:
    listed = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    return any(entry["StackName"] == name and entry["StackStatus"] != "DELETE_COMPLETE" for entry in listed)


def test_stack_with_a_full_bucket_is_deleted(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undeploy, "_BATCH", 3)
    deletion = removal(stack)
    fill(deletion.bucket)

    deletion.run()

    assert not exists(stack)
    assert deletion.bucket not in [entry["Name"] for entry in boto3.client("s3").list_buckets()["Buckets"]]


def test_plain_deletion_of_that_stack_fails_and_is_completed_afterwards(stack: str) -> None:
    deletion = removal(stack)
    fill(deletion.bucket)
    cloudformation = boto3.client("cloudformation")

    cloudformation.delete_stack(StackName=stack)
    (left,) = cloudformation.describe_stacks(StackName=deletion.stack_id)["Stacks"]
    assert left["StackStatus"] in ("DELETE_IN_PROGRESS", "DELETE_FAILED")

    removal(stack).run()
    assert not exists(stack)


def test_deletion_is_repeated_while_objects_arrive(
    stack: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deletion = removal(stack)
    emptied: list[str] = []

    def empty_and_upload(s3: Any, bucket: str) -> int:
        deleted = EMPTY(s3, bucket)
        emptied.append(bucket)
        if len(emptied) == 1:
            s3.put_object(Bucket=bucket, Key="uploads/late", Body=b"late")
        return deleted

    monkeypatch.setattr(undeploy, "empty", empty_and_upload)

    deletion.run()

    assert len(emptied) == 2
    assert "MediaBucket" in capsys.readouterr().out
    assert not exists(stack)


def test_what_cannot_be_deleted_is_named(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deletion = removal(stack)
    fill(deletion.bucket)
    with monkeypatch.context() as patched:
        patched.setattr(undeploy, "empty", lambda _s3, _bucket: 0)

        with pytest.raises(StackError, match=r"MediaBucket\. Run make undeploy again"):
            deletion.run()

    removal(stack).run()


def test_unknown_stack_is_an_error() -> None:
    with pytest.raises(StackError, match="no stack"):
        removal("undeploy-unknown")


EMPTY = undeploy.empty
