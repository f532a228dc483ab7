"""Tenants that are being deleted: how a deletion begins, an index of those in progress, and how far each has got.

The API begins a deletion, sweep carries it out. The entry in the index, `open/deletions/<tenant>`, is written before
the tenant is marked, so that no deletion is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from darkroom.contracts.base import validation_message
from darkroom.contracts.tenants import OPERATOR_TENANT, Deletion, Tenant, TenantStatus
from darkroom.errors import InternalError, TenantDeletedError
from darkroom.services import s3
from darkroom.tenants import records
from darkroom.timestamps import utc_now

_INDEX = "open/deletions/"

#: Seconds after which an entry is written again, before it expires with the rest of the open index.
_RENEWED_AFTER_S = 12 * 3600


@dataclass(frozen=True)
class PendingDeletion:
    """A deletion in progress, whose entry was written `age_s` seconds ago."""

    tenant: str
    age_s: float


def begin(tenant: str) -> Tenant | None:
    """Marks a tenant as being deleted. Changes nothing if it is already; returns None if there is no such tenant.

    Raises TenantDeletedError if it was deleted, and ConcurrentChangeError.
    """
    if records.read_tenant(tenant) is None:
        return None
    _write_entry(tenant)
    return records.change_tenant(tenant, _begun)


def _begun(tenant: Tenant) -> Tenant:
    if tenant.status is TenantStatus.DELETED:
        raise TenantDeletedError(tenant.name)
    if tenant.status is TenantStatus.DELETING:
        return tenant
    now = utc_now()
    return tenant.model_copy(
        update={"status": TenantStatus.DELETING, "deleting_at": now, "deletion": Deletion(found_at=now)}
    )


def is_deleted(tenant: str) -> bool:
    """Whether a tenant was deleted, or is being deleted."""
    if tenant == OPERATOR_TENANT:  # it cannot be deleted, so an open deployment needs no request
        return False
    found = fetch_tenant(tenant)
    return found is not None and found.is_deleted


def fetch_tenant(tenant: str) -> Tenant | None:
    """The tenant, or None. Needs no access to its keys. Raises InternalError when the document is not valid."""
    content = s3.get(records.tenant_key(tenant))
    return None if content is None else _decode(tenant, content)


def pending() -> list[PendingDeletion]:
    """Up to a thousand deletions in progress."""
    page = next(s3.pages_after(_INDEX))
    return [PendingDeletion(listed.key.removeprefix(_INDEX), listed.age_s) for listed in page]


def keep(entry: PendingDeletion) -> None:
    """Writes an entry again before it expires."""
    if entry.age_s > _RENEWED_AFTER_S:
        _write_entry(entry.tenant)


def record_find(tenant: str) -> None:
    """Records that the deletion has found something now."""
    _change(tenant, lambda found: _with_progress(found, found_at=utc_now()))


def record_removed(tenant: str, objects: int, size_bytes: int) -> None:
    """Adds to what the deletion has removed."""

    def add(found: Tenant) -> Tenant:
        before = found.deletion
        return _with_progress(
            found,
            removed_objects=objects + (before.removed_objects if before else 0),
            removed_bytes=size_bytes + (before.removed_bytes if before else 0),
        )

    _change(tenant, add)


def complete(entry: PendingDeletion) -> None:
    """Marks the tenant as deleted. What remains is its name, its times, and how much was removed."""

    def end(found: Tenant) -> Tenant:
        kept = found.model_dump(include={"name", "created_at", "deleting_at", "deletion"})
        return Tenant(**kept, status=TenantStatus.DELETED, deleted_at=utc_now())

    _change(entry.tenant, end)
    drop(entry)


def drop(entry: PendingDeletion) -> None:
    """Removes the entry of a deletion that is complete."""
    s3.delete([f"{_INDEX}{entry.tenant}"])


def _with_progress(tenant: Tenant, **changes: object) -> Tenant:
    deletion = tenant.deletion or Deletion(found_at=utc_now())
    return tenant.model_copy(update={"deletion": deletion.model_copy(update=changes)})


def _change(tenant: str, change: Callable[[Tenant], Tenant]) -> None:
    """Changes a tenant that is being deleted. Only another pass of sweep may do so at the same time; then one fails."""
    key = records.tenant_key(tenant)
    version = s3.get_version(key)
    found = None if version is None else _decode(tenant, version.content)
    if version is None or found is None or found.status is not TenantStatus.DELETING:
        raise InternalError(f"Tenant {tenant} is no longer being deleted.")
    content = change(found).model_dump_json().encode()
    if not s3.replace(key, content, media_type="application/json", etag=version.etag):
        raise InternalError(f"Two passes delete tenant {tenant} at the same time.")


def _write_entry(tenant: str) -> None:
    s3.put(f"{_INDEX}{tenant}", b"", media_type="text/plain")


def _decode(tenant: str, content: bytes) -> Tenant:
    try:
        return Tenant.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"The document of tenant {tenant} is not valid: {validation_message(error)}") from error
