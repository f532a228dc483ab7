"""Uploaded files: their keys, their types by their bytes, and the metadata that an upload carries."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote, unquote

from pydantic import ConfigDict, TypeAdapter, ValidationError

from darkroom.contracts.base import MediaKind
from darkroom.contracts.jobs import AttachedJob
from darkroom.contracts.operations import Operation
from darkroom.errors import EmptyFileError, MediaError, UnsupportedMediaTypeError, WrongMediaKindError
from darkroom.media.sniff import HEAD_BYTES, sniff_type
from darkroom.media.types import MediaType, check_declared_type
from darkroom.services import s3

UPLOADS_PREFIX = "uploads/"

#: S3 stores at most 2 KB of user metadata per object, names included.
METADATA_LIMIT_BYTES = 1_900

#: Characters of a file name that are kept, from its end.
_NAME_LIMIT = 120

_JOBS = TypeAdapter(list[AttachedJob], config=ConfigDict(defer_build=True))  # built on first use, not at import


@dataclass(frozen=True)
class File:
    """An uploaded file. When its bytes are rejected, `media` is None and `problem` is the reason.

    `written_s` is when it was stored, in seconds since 1970 on S3's clock. `link_id` is the upload link through which
    it came, if there is one.
    """

    file_id: str
    name: str
    size_bytes: int
    media: MediaType | None
    problem: MediaError | None
    jobs: list[AttachedJob]
    written_s: int = 0
    link_id: str | None = None


def key_of(tenant: str, file_id: str) -> str:
    """Key of a file in the bucket."""
    return f"{UPLOADS_PREFIX}{tenant}/{file_id}"


def parse_key(key: str) -> tuple[str, str]:
    """Tenant and file id of an upload's key. The file id is empty for an object directly below the prefix."""
    tenant, _, file_id = key.removeprefix(UPLOADS_PREFIX).partition("/")
    return tenant, file_id


def metadata_of(name: str, jobs: list[AttachedJob], link_id: str | None = None) -> dict[str, str]:
    """The name, the jobs and the upload link of an upload as object metadata, which must be ASCII."""
    metadata = {"name": quote(clean_name(name))}
    if jobs:
        metadata["jobs"] = json.dumps([job.model_dump(mode="json") for job in jobs], separators=(",", ":"))
    if link_id is not None:
        metadata["link"] = link_id
    return metadata


def clean_name(name: str) -> str:
    """A file name, in any script, without folders and control characters; `file` when nothing remains."""
    last = PurePath(name.replace("\\", "/")).name
    kept = "".join(character for character in last if character.isprintable()).strip(". ")
    return kept[-_NAME_LIMIT:] or "file"


def file_pages(tenant: str, key: str) -> Iterator[list[s3.ListedObject]]:
    """The files of a tenant whose keys come after `key`, in order, one page per request."""
    yield from s3.pages_after(key_of(tenant, ""), key)


def inspect(tenant: str, file_id: str) -> File | None:
    """The file that a tenant uploaded under this id, or None. One request: the first bytes decide its type."""
    head = s3.head(key_of(tenant, file_id), HEAD_BYTES)
    return None if head is None else _file(file_id, head)


def _file(file_id: str, head: s3.Head) -> File:
    media, problem = None, None
    try:
        media = identify(head.content, head.size_bytes, head.media_type)
    except MediaError as error:
        problem = error
    return File(
        file_id=file_id,
        name=name_from(head.metadata),
        size_bytes=head.size_bytes,
        media=media,
        problem=problem,
        jobs=_jobs_from(head.metadata),
        written_s=head.written_s,
        link_id=head.metadata.get("link"),
    )


def identify(content: bytes, size_bytes: int, declared: str | None) -> MediaType:
    """The type of a file by its first bytes.

    Raises a MediaError when the file is empty, of a type that is not supported, or not of the declared type.
    """
    if size_bytes == 0:
        raise EmptyFileError("The file is empty.")
    media = sniff_type(content)
    if media is None:
        raise UnsupportedMediaTypeError("The file is of no type that Darkroom supports, whatever its name.")
    check_declared_type(media, declared)
    return media


def check_kind(operation: Operation, kind: MediaKind) -> None:
    """Raises WrongMediaKindError unless the operation accepts this kind of media."""
    if kind not in operation.accepts:
        accepted = " and ".join(sorted(f"{kind} files" for kind in operation.accepts))
        raise WrongMediaKindError(f"{operation} accepts {accepted}; this is a file of kind {kind}.")


def record_of(file: File) -> dict[str, Any]:
    """The record of a file, which Redis stores and `GET /files/{id}` returns."""
    record: dict[str, Any] = {"file_id": file.file_id, "name": file.name, "size_bytes": file.size_bytes}
    if file.link_id is not None:
        record["link_id"] = file.link_id
    if file.media is not None:
        return record | {"status": "ready", "media_type": file.media.name, "kind": file.media.kind}
    problem = file.problem
    error = {"code": problem.code, "message": problem.message} if problem else None
    return record | {"status": "rejected", "error": error}


def name_from(metadata: dict[str, str]) -> str:
    """The file name in an upload's metadata."""
    return clean_name(unquote(metadata.get("name", "")))


def _jobs_from(metadata: dict[str, str]) -> list[AttachedJob]:
    try:
        return _JOBS.validate_json(metadata.get("jobs", "[]"))
    except ValidationError:
        # Forms are signed, so this object was uploaded without one: it has no jobs.
        return []
