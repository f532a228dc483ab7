"""Records of uploaded files. One that Redis no longer has is made again from the object in S3."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from darkroom.services.redis import keys
from darkroom.services.redis.client import map_redis_errors, redis_client
from darkroom.services.redis.reconciliation import Written
from darkroom.services.redis.script_runner import run_script

_Upload = TypeVar("_Upload", bound=Written)


def save_record(tenant: str, file_id: str, record: dict[str, Any]) -> None:
    """Stores the record of an uploaded file."""
    with map_redis_errors():
        redis_client().set(keys.file_of(tenant, file_id), json.dumps(record), ex=keys.ended_s())


def expect_file(tenant: str, file_id: str, record: dict[str, Any], *, expires_s: int, reserved_bytes: int = 0) -> None:
    """Stores the record of a file that is not uploaded yet. A record that exists stays as it is.

    `reserved_bytes` count as stored until the upload has arrived, or its form has expired.
    """
    run_script(
        "expect_file",
        [keys.file_of(tenant, file_id), *_usage_keys(tenant, file_id)],
        [tenant, json.dumps(record), expires_s, reserved_bytes],
    )


def find_record(tenant: str, file_id: str) -> dict[str, Any] | None:
    """The record of a file, or None."""
    with map_redis_errors():
        text = cast(str | None, redis_client().get(keys.file_of(tenant, file_id)))
    return None if text is None else dict(json.loads(text))


def mark_ingested(tenant: str, file_id: str, *, size_bytes: int, written_s: int) -> None:
    """Records that an upload was ingested completely, and counts its bytes unless that was recorded before.

    `written_s` is when it arrived, in seconds since 1970 on S3's clock.
    """
    run_script(
        "mark_ingested",
        [keys.ingestion_of(tenant, file_id), *_usage_keys(tenant, file_id)],
        [tenant, keys.ingestion_ttl_s(), size_bytes, written_s * 1000],
    )


def _usage_keys(tenant: str, file_id: str) -> list[str]:
    return [keys.form_of(tenant, file_id), keys.usage_of(tenant), keys.CHANGED_USAGE]


def not_ingested(uploads: Sequence[_Upload]) -> list[_Upload]:
    """Those of the uploads that are not marked as ingested, in one round trip."""
    with map_redis_errors(), redis_client().pipeline(transaction=False) as pipe:
        for upload in uploads:
            pipe.exists(keys.ingestion_of(upload.tenant, upload.identifier))
        return [upload for upload, marked in zip(uploads, pipe.execute(), strict=True) if not marked]
