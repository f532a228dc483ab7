"""S3, the one bucket: reads, writes, presigned forms and links.

A missing object is `None`. Every other failure is StorageUnavailableError, which is retried.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from darkroom.config import bucket
from darkroom.errors import FileTooLargeError, StorageUnavailableError
from darkroom.services import aws

_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})
_EMPTY = "InvalidRange"
_EXISTS = frozenset({"PreconditionFailed", "412"})
_CONFLICT = frozenset({"ConditionalRequestConflict"})

#: The largest object that one PUT can write: 5 GiB.
PUT_MAX_BYTES = 5 * 1024**3

#: The most keys that one delete request can have.
_DELETE_BATCH = 1000


@dataclass(frozen=True)
class Head:
    """The first bytes of an object and its attributes. `metadata` is the user metadata of the upload.

    `written_s` is when it was written, in seconds since 1970 on S3's clock.
    """

    content: bytes
    size_bytes: int
    media_type: str
    metadata: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    written_s: int = 0


@dataclass(frozen=True)
class ListedObject:
    """An object in a listing: when it was written (seconds since 1970), and how long ago, both on S3's clock."""

    key: str
    written_s: int
    age_s: float
    size_bytes: int


@dataclass(frozen=True)
class Version:
    """The content of an object and its ETag, which changes with the content."""

    content: bytes
    etag: str


@contextlib.contextmanager
def map_storage_errors() -> Iterator[None]:
    """Raises StorageUnavailableError in place of botocore's errors, also of those raised while a body is read.

    botocore does not map every error of urllib3 that occurs while a body is read.
    """
    try:
        yield
    except (BotoCoreError, ClientError, HTTPError) as error:
        raise StorageUnavailableError(f"The S3 request failed: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def put(key: str, content: bytes, *, media_type: str, metadata: dict[str, str] | None = None) -> None:
    """Writes `content`. Replaces an object that exists."""
    with map_storage_errors():
        aws.client("s3").put_object(
            Bucket=bucket(), Key=key, Body=content, ContentType=media_type, Metadata=metadata or {}
        )


def put_file(key: str, path: Path, *, media_type: str) -> None:
    """Writes the file at `path`. Raises FileTooLargeError above PUT_MAX_BYTES, since a retry would not help."""
    size_bytes = path.stat().st_size
    if size_bytes > PUT_MAX_BYTES:
        raise FileTooLargeError(f"The result has {size_bytes:,} bytes; at most {PUT_MAX_BYTES:,} can be stored.")
    with map_storage_errors(), path.open("rb") as body:
        aws.client("s3").put_object(Bucket=bucket(), Key=key, Body=body, ContentType=media_type)


def put_once(key: str, content: bytes, *, media_type: str) -> bool:
    """Writes `content` unless the object exists, atomically. Returns True if this call wrote it.

    Two writes at the same time may conflict. That raises StorageUnavailableError, and a retry shows which one won.
    """
    with map_storage_errors():
        try:
            aws.client("s3").put_object(Bucket=bucket(), Key=key, Body=content, ContentType=media_type, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) in _EXISTS:
                return False
            raise
    return True


def replace(key: str, content: bytes, *, media_type: str, etag: str) -> bool:
    """Writes `content` if the object still is the version `etag`, atomically. Returns True if this call wrote it.

    False can also mean that S3 refused it because of another write at the same time: read the object again.
    AWS also requires the permission to read the object.
    """
    with map_storage_errors():
        try:
            aws.client("s3").put_object(Bucket=bucket(), Key=key, Body=content, ContentType=media_type, IfMatch=etag)
        except ClientError as error:
            if _code(error) in _EXISTS | _MISSING | _CONFLICT:
                return False
            raise
    return True


def get(key: str) -> bytes | None:
    """The content of an object, or None."""
    version = get_version(key)
    return None if version is None else version.content


def get_version(key: str) -> Version | None:
    """The content of an object and its ETag, or None."""
    answer = _get(key)
    if answer is None:
        return None
    with map_storage_errors():
        return Version(bytes(answer["Body"].read()), answer["ETag"])


def head(key: str, head_bytes: int) -> Head | None:
    """The first `head_bytes` of an object and its attributes, in one request; None when there is no object."""
    try:
        answer = _get(key, Range=f"bytes=0-{head_bytes - 1}")
    except StorageUnavailableError as error:
        if isinstance(error.__cause__, ClientError) and _code(error.__cause__) == _EMPTY:
            return _empty_head(key)
        raise
    if answer is None:
        return None
    with map_storage_errors():
        content = answer["Body"].read()
    total = int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else len(content)
    return _head_of(answer, content, total)


def _empty_head(key: str) -> Head | None:
    """The head of an empty object, which has no range to read."""
    answer = _get(key)
    return None if answer is None else _head_of(answer, b"", 0)


def _head_of(answer: dict[str, Any], content: bytes, size_bytes: int) -> Head:
    return Head(
        content=content,
        size_bytes=size_bytes,
        media_type=answer.get("ContentType", ""),
        metadata=dict(answer.get("Metadata", {})),
        etag=answer.get("ETag"),
        written_s=int(answer["LastModified"].timestamp()) if "LastModified" in answer else 0,
    )


def open_stream(key: str, head_bytes: int, whole_bytes: int) -> tuple[Head, IO[bytes]] | None:
    """The head of an object and a stream of the rest, in one request; None when there is no object. Close the stream.

    The head of an object of up to `whole_bytes` is all of it: joining two parts would copy the bytes once more.
    """
    answer = _get(key)
    if answer is None:
        return None
    size_bytes = answer["ContentLength"]
    with map_storage_errors():
        content = answer["Body"].read(None if size_bytes <= whole_bytes else head_bytes)
    return _head_of(answer, content, size_bytes), answer["Body"]


def _get(key: str, **options: str) -> dict[str, Any] | None:
    with map_storage_errors():
        try:
            return dict(aws.client("s3").get_object(Bucket=bucket(), Key=key, **options))
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise


def exists(key: str) -> bool:
    """Whether the object exists."""
    return etag_of(key) is not None


def etag_of(key: str) -> str | None:
    """The ETag of an object, which changes with its content; None when there is no object."""
    with map_storage_errors():
        try:
            return str(aws.client("s3").head_object(Bucket=bucket(), Key=key)["ETag"])
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise


def delete(keys: list[str]) -> None:
    """Removes objects. Those that do not exist count as removed."""
    for start in range(0, len(keys), _DELETE_BATCH):
        batch = [{"Key": key} for key in keys[start : start + _DELETE_BATCH]]
        with map_storage_errors():
            answer = aws.client("s3").delete_objects(Bucket=bucket(), Delete={"Objects": batch, "Quiet": True})
        failures = answer.get("Errors", [])  # a response of 200 reports each object that was not removed
        if failures:
            raise StorageUnavailableError(
                f"The object store did not remove {len(failures)} of {len(batch)} objects: {failures[0].get('Code')}."
            )


def keys_after(prefix: str, start_after: str = "") -> Iterator[str]:
    """Keys that begin with `prefix`, in order, after the key `start_after`."""
    with map_storage_errors():
        pages = aws.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket(), Prefix=prefix, StartAfter=start_after):
            for entry in page.get("Contents", []):
                yield entry["Key"]


def folders(prefix: str, after: str = "") -> Iterator[str]:
    """What keys that begin with `prefix` have up to and including their next `/`, in order, after one of them."""
    start_after = f"{after.removesuffix('/')}0" if after else ""  # `0` is the character that follows `/`
    with map_storage_errors():
        pages = aws.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket(), Prefix=prefix, Delimiter="/", StartAfter=start_after):
            for entry in page.get("CommonPrefixes", []):
                yield entry["Prefix"]


def pages_after(prefix: str, start_after: str = "") -> Iterator[list[ListedObject]]:
    """Objects whose keys begin with `prefix`, in order, after the key `start_after`: one page per request.

    The next page is requested when it is needed. There is always a page, which may be empty.
    """
    with map_storage_errors():
        pages = aws.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket(), Prefix=prefix, StartAfter=start_after):
            now_s = _response_time_s(page)
            yield [_listed(entry, now_s) for entry in page.get("Contents", [])]


def _listed(entry: dict[str, Any], now_s: float) -> ListedObject:
    written_s = entry["LastModified"].timestamp()
    return ListedObject(entry["Key"], int(written_s), now_s - written_s, entry["Size"])


def _response_time_s(answer: dict[str, Any]) -> float:
    """When S3 responded, in seconds since 1970 on its own clock, since ours may be wrong."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).timestamp() if date else time.time()


def upload_form(
    key: str, *, media_type: str, metadata: dict[str, str], max_bytes: int, expires_s: int
) -> dict[str, Any]:
    """A presigned POST: `{"url", "fields"}`. S3 rejects any other media type, and sizes outside 1..max_bytes."""
    fields = {"Content-Type": media_type} | {f"x-amz-meta-{name}": value for name, value in metadata.items()}
    conditions: list[Any] = [{name: value} for name, value in fields.items()]
    conditions.append(["content-length-range", 1, max_bytes])
    with map_storage_errors():
        return dict(
            aws.client("s3").generate_presigned_post(
                Bucket=bucket(), Key=key, Fields=fields, Conditions=conditions, ExpiresIn=expires_s
            )
        )


def link(key: str, *, expires_s: int, save_as: str | None = None) -> str:
    """A presigned GET. `save_as` is the file name, in any script, under which browsers save the object."""
    request = {"Bucket": bucket(), "Key": key}
    if save_as is not None:
        request["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(save_as, safe='')}"
    with map_storage_errors():
        return str(aws.client("s3").generate_presigned_url("get_object", Params=request, ExpiresIn=expires_s))
