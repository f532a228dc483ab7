"""Records of uploaded files. One that Redis no longer has is made again from the object in S3."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.reconciliation import Written

_Upload = TypeVar("_Upload", bound=Written)


def save_record(tenant: str, file_id: str, record: dict[str, Any]) -> None:
    """Stores the record of an uploaded file."""
    with map_redis_errors():
        redis_client().set(keys.file_of(tenant, file_id), json.dumps(record), ex=keys.ended_s())


def expect_file(tenant: str, file_id: str, record: dict[str, Any], *, expires_s: int) -> None:
    """Stores the record of a file that is not uploaded yet. A record that exists stays as it is."""
    with map_redis_errors():
        redis_client().set(keys.file_of(tenant, file_id), json.dumps(record), ex=expires_s, nx=True)


def find_record(tenant: str, file_id: str) -> dict[str, Any] | None:
    """The record of a file, or None."""
    with map_redis_errors():
        text = cast(str | None, redis_client().get(keys.file_of(tenant, file_id)))
    return None if text is None else dict(json.loads(text))


def mark_ingested(tenant: str, file_id: str) -> None:
    """Records that an upload was ingested completely."""
    with map_redis_errors():
        redis_client().set(keys.ingestion_of(tenant, file_id), 1, ex=keys.ingestion_ttl_s())


def not_ingested(uploads: Sequence[_Upload]) -> list[_Upload]:
    """Those of the uploads that are not marked as ingested, in one round trip."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for upload in uploads:
            pipe.exists(keys.ingestion_of(upload.tenant, upload.identifier))
        return [upload for upload, marked in zip(uploads, pipe.execute(), strict=True) if not marked]
