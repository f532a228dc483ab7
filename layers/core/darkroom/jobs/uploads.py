"""Uploaded files: where they lie, what they are by their bytes, what an upload may carry in its metadata."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote, unquote

from pydantic import TypeAdapter, ValidationError

from darkroom.contracts.base import DEFAULT_TENANT, MediaKind
from darkroom.contracts.jobs import UploadedJob
from darkroom.contracts.operations import ACCEPTS, Operation
from darkroom.errors import EmptyFileError, MediaError, UnsupportedMediaTypeError, WrongMediaKindError
from darkroom.media.sniff import HEAD_BYTES, sniff_type
from darkroom.media.types import MediaType, check_declared_type
from darkroom.services import s3

PREFIX = "uploads/"

#: S3 keeps at most 2 KB of a request's own metadata; the names of the fields count as well.
METADATA_LIMIT_BYTES = 1_900

#: Characters of a file name that are kept.
_NAME_LIMIT = 120

_JOBS = TypeAdapter(list[UploadedJob])


@dataclass(frozen=True)
class File:
    """A file that was uploaded. `media` is None when its bytes are refused, and `problem` says why."""

    file_id: str
    name: str
    size_bytes: int
    media: MediaType | None
    problem: MediaError | None
    jobs: list[UploadedJob]


def key_of(file_id: str, tenant: str = DEFAULT_TENANT) -> str:
    """Where a file lies in the bucket."""
    return f"{PREFIX}{tenant}/{file_id}"


def landed_since(file_id: str, tenant: str = DEFAULT_TENANT) -> Iterator[str]:
    """Ids of the files that lie in the bucket, oldest form first, beginning after `file_id`."""
    for key in s3.keys_after(f"{PREFIX}{tenant}/", key_of(file_id, tenant)):
        yield id_of(key)[1]


def id_of(key: str) -> tuple[str, str]:
    """Tenant and file id of an upload's key; no file id where somebody else put an object there."""
    tenant, _, file_id = key.removeprefix(PREFIX).partition("/")
    return tenant, file_id


def metadata_of(name: str, jobs: list[UploadedJob]) -> dict[str, str]:
    """An upload's name and jobs as object metadata, which must be ASCII."""
    metadata = {"name": quote(clean_name(name))}
    if jobs:
        metadata["jobs"] = json.dumps([job.model_dump(mode="json") for job in jobs], separators=(",", ":"))
    return metadata


def clean_name(name: str) -> str:
    """A file name without folders and control characters, in whatever script; `file` when nothing remains."""
    last = PurePath(name.replace("\\", "/")).name
    kept = "".join(character for character in last if character.isprintable()).strip(". ")
    return kept[-_NAME_LIMIT:] or "file"


def inspect(file_id: str, tenant: str = DEFAULT_TENANT) -> File | None:
    """What was uploaded under this id, judged by its first bytes, in one request; None when nothing was."""
    head = s3.head(key_of(file_id, tenant), HEAD_BYTES)
    return None if head is None else describe(file_id, head)


def describe(file_id: str, head: s3.Head) -> File:
    """What an object with this head is."""
    media, problem = None, None
    try:
        media = identify(head.content, head.size_bytes, head.media_type)
    except MediaError as error:
        problem = error
    return File(
        file_id=file_id,
        name=name_in(head.metadata),
        size_bytes=head.size_bytes,
        media=media,
        problem=problem,
        jobs=_jobs_in(head.metadata),
    )


def identify(content: bytes, size_bytes: int, declared: str | None) -> MediaType:
    """The type of a file by its first bytes. Raises a MediaError when it has none, or contradicts the declared one."""
    if size_bytes == 0:
        raise EmptyFileError("The file is empty.")
    media = sniff_type(content)
    if media is None:
        raise UnsupportedMediaTypeError("The file is of no type that Darkroom reads, whatever its name says.")
    check_declared_type(media, declared)
    return media


def check_kind(operation: Operation, kind: MediaKind) -> None:
    """Raises WrongMediaKindError unless the operation works on this kind of media."""
    if kind not in ACCEPTS[operation]:
        wanted = " and ".join(sorted(f"{accepted} files" for accepted in ACCEPTS[operation]))
        raise WrongMediaKindError(f"{operation} works on {wanted}; this is a file of kind {kind}.")


def record_of(file: File) -> dict[str, Any]:
    """What Redis keeps of a file and `GET /files/{id}` shows."""
    record: dict[str, Any] = {"file_id": file.file_id, "name": file.name, "size_bytes": file.size_bytes}
    if file.media is not None:
        return record | {"status": "ready", "media_type": file.media.name, "kind": file.media.kind}
    problem = file.problem
    error = {"code": problem.code, "message": problem.message} if problem else None
    return record | {"status": "rejected", "error": error}


def name_in(metadata: dict[str, str]) -> str:
    """The file name that an upload's metadata carries."""
    return clean_name(unquote(metadata.get("name", "")))


def _jobs_in(metadata: dict[str, str]) -> list[UploadedJob]:
    try:
        return _JOBS.validate_json(metadata.get("jobs", "[]"))
    except ValidationError:
        # The form is signed, so this object came in another way; it carries no jobs of ours.
        return []
