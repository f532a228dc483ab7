"""What an upload carries in its metadata: its name, its jobs, and the upload link through which it comes."""

from typing import Any

from darkroom.contracts.base import Params
from darkroom.contracts.jobs import AttachedJob
from darkroom.errors import InvalidRequestError
from darkroom.jobs import uploads


def checked_metadata(name: str, jobs: list[AttachedJob], link_id: str | None) -> dict[str, str]:
    """The metadata of an upload. Raises InvalidRequestError when S3 would not store as much."""
    metadata = uploads.metadata_of(name, jobs, link_id)
    size_bytes = sum(len(field) + len(text) for field, text in metadata.items())
    if size_bytes > uploads.METADATA_LIMIT_BYTES:
        raise InvalidRequestError(
            f"The name and the jobs take {size_bytes:,} bytes; an upload can hold {uploads.METADATA_LIMIT_BYTES:,}. "
            "Shorten the name, or attach fewer jobs and start the others with POST /jobs when the file has arrived."
        )
    return metadata


def without_defaults(params: Params) -> dict[str, Any]:
    """The parameters of a job without those that have their default value, since space is short."""
    return params.model_dump(mode="json", exclude_defaults=True)
