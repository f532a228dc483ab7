"""Records of uploaded files. One that Redis no longer has is made again from the object in S3."""

import json
from collections.abc import Sequence
from typing import Any, cast

from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client


def save_record(file_id: str, record: dict[str, Any]) -> None:
    """Stores the record of an uploaded file."""
    with map_redis_errors():
        redis_client().set(keys.file_of(file_id), json.dumps(record), ex=keys.ended_s())


def expect_file(file_id: str, record: dict[str, Any], *, expires_s: int) -> None:
    """Stores the record of a file that is not uploaded yet. A record that exists stays as it is."""
    with map_redis_errors():
        redis_client().set(keys.file_of(file_id), json.dumps(record), ex=expires_s, nx=True)


def find_record(file_id: str) -> dict[str, Any] | None:
    """The record of a file, or None."""
    with map_redis_errors():
        text = cast(str | None, redis_client().get(keys.file_of(file_id)))
    return None if text is None else dict(json.loads(text))


def mark_ingested(file_id: str) -> None:
    """Records that an upload was ingested completely."""
    with map_redis_errors():
        redis_client().set(keys.ingestion_of(file_id), 1, ex=keys.ingestion_ttl_s())


def not_ingested(file_ids: Sequence[str]) -> list[str]:
    """Those of the files that are not marked as ingested, in one round trip."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for file_id in file_ids:
            pipe.exists(keys.ingestion_of(file_id))
        return [file_id for file_id, marked in zip(file_ids, pipe.execute(), strict=True) if not marked]
