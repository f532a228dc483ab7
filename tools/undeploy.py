"""Deletes a stack from AWS with everything in its bucket, and repeats what fails until nothing is left.

    python -m tools.undeploy darkroom

CloudFormation deletes only an empty bucket, and a deletion stalls while Lambda's network interfaces still exist. Both
leave the broker and the cache running, which are the expensive parts.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from localstack.errors import StackError
from tools.deploy import log_groups

#: Deletions of the stack. Lambda removes unused network interfaces within 20 minutes.
_ATTEMPTS = 5

#: Seconds between two attempts, between two looks at the stack, and until one deletion must have ended.
_PAUSE_S = 300
_POLL_S = 10
_DELETION_S = 3600

_BUCKET = "MediaBucket"
_BROKER = "Broker"
_DELETED = "DELETE_COMPLETE"

#: Keys in one request.
_BATCH = 1000


class Removal:
    """The deletion of one stack, found by its name. Raises StackError if there is none."""

    def __init__(self, session: Any, name: str, *, pause_s: float = _PAUSE_S, poll_s: float = _POLL_S) -> None:
        self._cloudformation = session.client("cloudformation")
        self._s3 = session.client("s3")
        self._logs = session.client("logs")
        self._pause_s, self._poll_s = pause_s, poll_s
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                raise StackError(f"There is no stack {name} in {session.region_name}.") from error
            raise
        self.stack_id = str(stack["StackId"])  # after the deletion, a stack is found only by its id
        self.bucket = self._physical_id(_BUCKET)
        self._broker = self._physical_id(_BROKER)

    def run(self) -> None:
        """Empties the bucket and deletes the stack, several times if needed. Raises StackError if a part is left."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self.bucket:
                print(f"Deleted {empty(self._s3, self.bucket)} objects of {self.bucket}.", flush=True)
            self._cloudformation.delete_stack(StackName=self.stack_id)
            status = self._wait()
            if status == _DELETED:
                self._delete_broker_logs()
                return
            print(f"The deletion ended with {status}:", *self._problems(), sep="\n  ", flush=True)
            if attempt < _ATTEMPTS:
                print(f"It is repeated in {self._pause_s:.0f} s.", flush=True)
                time.sleep(self._pause_s)
        raise StackError(
            "These resources are left, and the broker and the cache are paid for as long as they exist: "
            f"{', '.join(self._left())}. Run make undeploy again."
        )

    def _physical_id(self, logical_id: str) -> str:
        found = [entry for entry in self._resources() if entry["LogicalResourceId"] == logical_id]
        return str(found[0].get("PhysicalResourceId", "")) if found else ""

    def _resources(self) -> list[dict[str, Any]]:
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.stack_id)
        return [entry for page in pages for entry in page["StackResourceSummaries"]]

    def _left(self) -> list[str]:
        return sorted(entry["LogicalResourceId"] for entry in self._resources() if entry["ResourceStatus"] != _DELETED)

    def _wait(self) -> str:
        """Waits for the end of a deletion. Returns the status of the stack."""
        deadline = time.monotonic() + _DELETION_S
        while (status := self._status()) == "DELETE_IN_PROGRESS" and time.monotonic() < deadline:
            time.sleep(self._poll_s)
        return status

    def _status(self) -> str:
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=self.stack_id)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return _DELETED
            raise
        return str(stack["StackStatus"])

    def _problems(self) -> list[str]:
        """The resources whose deletion failed, with the reason."""
        return [
            f"{entry['LogicalResourceId']}: {entry.get('ResourceStatusReason', 'no reason was given')}"
            for entry in self._resources()
            if entry["ResourceStatus"] == "DELETE_FAILED"
        ]

    def _delete_broker_logs(self) -> None:
        if self._broker:  # Amazon MQ made the groups, so they are not in the stack
            for group in log_groups(self._logs, self._broker):
                self._logs.delete_log_group(logGroupName=group)


def empty(s3: Any, bucket: str) -> int:
    """Deletes every version of every object, and every unfinished upload. Returns how many. Raises StackError."""
    deleted = 0
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            deleted += sum(_delete(s3, bucket, batch) for batch in _batches(found))
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", []):
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                deleted += 1
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return deleted


def _batches(versions: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    for start in range(0, len(versions), _BATCH):
        yield versions[start : start + _BATCH]


def _delete(s3: Any, bucket: str, versions: list[dict[str, str]]) -> int:
    keys = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in versions]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    if answer.get("Errors"):
        first = answer["Errors"][0]
        raise StackError(f"{first['Key']} in {bucket} was not deleted: {first['Message']}")
    return len(keys)


def _confirmed(name: str, removal: Removal) -> bool:
    print(f"This deletes {removal.stack_id}\nwith every upload and result in {removal.bucket or 'its bucket'}.")
    return input("Type the name of the stack to confirm: ").strip() == name


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.undeploy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", help="name of the stack")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args()
    try:
        removal = Removal(boto3.Session(), arguments.name)
        if not arguments.yes and not _confirmed(arguments.name, removal):
            print("Nothing was deleted.")
            return 1
        removal.run()
    except (StackError, BotoCoreError, ClientError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"{arguments.name} is deleted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
