"""The usage of tenants that is saved in S3: `usage/<tenant>/<month>.json`, the latest one of each month.

It has its own prefix, so that a lifecycle rule can remove it after 13 months.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from darkroom.contracts.usage import UsageCheckpoint
from darkroom.errors import InternalError
from darkroom.services import s3

USAGE_PREFIX = "usage/"


def usage_key(tenant: str, month: str) -> str:
    """Key of the usage of a tenant in a month, such as `2026-11`."""
    return f"{USAGE_PREFIX}{tenant}/{month}.json"


def saved_tenants() -> Iterator[str]:
    """The tenants that have any usage saved, in order."""
    for folder in s3.folders(USAGE_PREFIX):
        yield folder.removeprefix(USAGE_PREFIX).rstrip("/")


def read_usage(tenant: str, month: str) -> UsageCheckpoint | None:
    """What was saved last in a month, or None. Raises InternalError when it cannot be read."""
    key = usage_key(tenant, month)
    content = s3.get(key)
    try:
        return None if content is None else UsageCheckpoint.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"The usage {key} cannot be read.") from error


def save_usage(checkpoint: UsageCheckpoint, month: str) -> None:
    """Replaces what is saved for a month."""
    key = usage_key(checkpoint.tenant, month)
    s3.put(key, checkpoint.model_dump_json().encode(), media_type="application/json")
