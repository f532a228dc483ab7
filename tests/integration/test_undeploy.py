"""Deleting a stack with everything in its bucket, against the emulated CloudFormation, S3 and EC2.

The emulator deletes a bucket with its objects, so a failed deletion is that of a network which something still uses:
on AWS, the network interfaces of Lambda do that for up to 20 minutes.
"""

import json
import threading
import uuid
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError

from localstack.errors import StackError
from tests.support.waiting import wait_until
from tools import undeploy

TEMPLATE = {
    "Resources": {
        "MediaBucket": {"Type": "AWS::S3::Bucket"},
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    }
}


@pytest.fixture
def stack() -> str:
    name = f"undeploy-{uuid.uuid4().hex[:8]}"
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    return name


@pytest.fixture
def used_network(stack: str) -> Iterator[str]:
    """A subnet of the stack's network that does not belong to the stack."""
    vpc = boto3.client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId="Vpc")
    network = vpc["StackResourceDetail"]["PhysicalResourceId"]
    ec2 = boto3.client("ec2")
    subnet = str(ec2.create_subnet(VpcId=network, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"])
    yield subnet
    if exists(stack):
        removal(stack).run()


def removal(name: str, pause_s: float = 0.1) -> undeploy.Removal:
    return undeploy.Removal(boto3.Session(), name, pause_s=pause_s, poll_s=0.1)


def fill(bucket: str) -> int:
    """Makes old versions, a delete marker and an unfinished upload. Returns how many there are."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(5):
        for version in (b"first", b"second"):
            s3.put_object(Bucket=bucket, Key=f"uploads/{number}", Body=version)
    s3.delete_object(Bucket=bucket, Key="uploads/0")
    s3.create_multipart_upload(Bucket=bucket, Key="processed/unfinished")
    return 12


def exists(name: str) -> bool:
    try:
        (found,) = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError:
        return False
    return bool(found["StackStatus"] != "DELETE_COMPLETE")


def test_bucket_is_emptied_of_versions_markers_and_unfinished_uploads(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undeploy, "_BATCH", 3)
    s3 = boto3.client("s3")
    deletion = removal(stack)
    made = fill(deletion.bucket)

    assert undeploy.empty(s3, deletion.bucket) == made

    left = s3.list_object_versions(Bucket=deletion.bucket)
    assert not left.get("Versions", []) + left.get("DeleteMarkers", [])
    assert not s3.list_multipart_uploads(Bucket=deletion.bucket).get("Uploads", [])
    s3.delete_bucket(Bucket=deletion.bucket)  # refused for a bucket with a version left
    deletion.run()  # with a bucket that is gone already


def test_stack_is_deleted_with_its_bucket(stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    deletion = removal(stack)
    made = fill(deletion.bucket)

    deletion.run()

    assert f"Deleted {made} objects" in capsys.readouterr().out
    assert not exists(stack)
    assert deletion.bucket not in [entry["Name"] for entry in boto3.client("s3").list_buckets()["Buckets"]]


def test_deletion_is_repeated_until_nothing_uses_the_network(
    stack: str, used_network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave_after_failure() -> None:
        cloudformation = boto3.client("cloudformation")
        wait_until(
            lambda: cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "DELETE_FAILED"
        )
        boto3.client("ec2").delete_subnet(SubnetId=used_network)

    leaving = threading.Thread(target=leave_after_failure)
    leaving.start()
    try:
        removal(stack, pause_s=2).run()
    finally:
        leaving.join()

    assert not exists(stack)
    assert "DELETE_FAILED:\n  Vpc: " in capsys.readouterr().out


def test_what_cannot_be_deleted_is_named(stack: str, used_network: str) -> None:
    with pytest.raises(StackError, match=r"Vpc\. Run make undeploy again"):
        removal(stack).run()

    boto3.client("ec2").delete_subnet(SubnetId=used_network)


def test_unknown_stack_is_an_error() -> None:
    with pytest.raises(StackError, match="no stack"):
        removal("undeploy-unknown")
