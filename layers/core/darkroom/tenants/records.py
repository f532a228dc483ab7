"""What is stored about tenants: JSON documents in S3.

    tenants/quotas.json                     the quotas of every tenant that has no others
    tenants/<tenant>/tenant.json            the tenant
    tenants/<tenant>/quotas.json            the quotas in which it differs
    tenants/<tenant>/keys/<key id>.json     an API key, with the hash of its text
    links/<tenant>/<link id>.json           an upload link, with the hash of its token

Links have a prefix of their own, because they expire: a rule of the bucket removes them.

A document is created by a conditional write, and changed on the condition that nobody else has changed it meanwhile.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import ValidationError

from darkroom.contracts.base import Contract, validation_message
from darkroom.contracts.tenants import OPERATOR_TENANT, UNLIMITED, ApiKey, Quotas, Tenant, UploadLink
from darkroom.errors import ConcurrentChangeError, InternalError
from darkroom.log import logger
from darkroom.services import s3
from darkroom.tenants import credentials

TENANTS_PREFIX = "tenants/"
LINKS_PREFIX = "links/"
DEFAULT_QUOTAS_KEY = f"{TENANTS_PREFIX}quotas.json"
_JSON = "application/json"

#: How often a change is attempted again when another one came first.
_CHANGE_ATTEMPTS = 5

#: The same for upload links, which many uploads may change at the same time. With each attempt one of them succeeds.
_LINK_CHANGE_ATTEMPTS = 40

#: The longest pause between two attempts, in seconds; a random part of it, so that the same do not meet again.
_PAUSE_S = 0.2

_Record = TypeVar("_Record", Tenant, Quotas, ApiKey, UploadLink)


def tenant_prefix(tenant: str) -> str:
    """The prefix of everything that is stored about a tenant."""
    return f"{TENANTS_PREFIX}{tenant}/"


def tenant_key(tenant: str) -> str:
    """Key of the object that makes a tenant exist."""
    return f"{tenant_prefix(tenant)}tenant.json"


def quotas_key(tenant: str) -> str:
    """Key of the object with the quotas in which a tenant differs from the others."""
    return f"{tenant_prefix(tenant)}quotas.json"


def api_key_key(tenant: str, key_id: str) -> str:
    """Key of the object of an API key."""
    return f"{tenant_prefix(tenant)}keys/{key_id}.json"


def link_key(tenant: str, link_id: str) -> str:
    """Key of the object of an upload link."""
    return f"{links_prefix(tenant)}{link_id}.json"


def links_prefix(tenant: str) -> str:
    """The prefix of a tenant's upload links."""
    return f"{LINKS_PREFIX}{tenant}/"


def create_tenant(tenant: Tenant) -> bool:
    """Stores a tenant. Returns False if there is one of this name already, whatever its status."""
    return _create(tenant_key(tenant.name), tenant)


def read_tenant(tenant: str) -> Tenant | None:
    """The tenant, or None. Raises InternalError when the document is not valid."""
    return _read(Tenant, tenant_key(tenant))


def change_tenant(tenant: str, change: Callable[[Tenant], Tenant]) -> Tenant | None:
    """Stores what `change` makes of the tenant; None when there is none. `change` may be called again, and may raise.

    Raises ConcurrentChangeError when others change it all the time.
    """
    return _change(Tenant, tenant_key(tenant), change)


def replace_tenant(deleted: Tenant, by: Tenant) -> bool:
    """Stores a tenant in place of a deleted one of the same name. Returns False if somebody else has come first."""
    version = s3.get_version(tenant_key(by.name))
    if version is None or _decode(Tenant, tenant_key(by.name), version.content) != deleted:
        return False
    return s3.replace(tenant_key(by.name), _encode(by), media_type=_JSON, etag=version.etag)


def tenant_names(after: str = "") -> Iterator[str]:
    """The names under which anything is stored, as S3 lists their folders, after one of them.

    Not each of them need be a tenant that exists.
    """
    for folder in s3.folders(TENANTS_PREFIX, tenant_prefix(after) if after else ""):
        yield folder.removeprefix(TENANTS_PREFIX).rstrip("/")


def create_api_key(key: ApiKey) -> bool:
    """Stores a new key. Returns False if the id is taken."""
    return _create(api_key_key(key.tenant, key.key_id), key)


def read_api_key(tenant: str, key_id: str) -> ApiKey | None:
    """A key of this tenant, or None. Raises InternalError when the document is not valid."""
    return _read(ApiKey, api_key_key(tenant, key_id)) if credentials.is_id_of(tenant, key_id) else None


def change_api_key(tenant: str, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
    """As `change_tenant`, for a key of this tenant."""
    is_possible = credentials.is_id_of(tenant, key_id)
    return _change(ApiKey, api_key_key(tenant, key_id), change) if is_possible else None


def api_key_ids(tenant: str, after: str = "") -> Iterator[str]:
    """The ids of all keys of a tenant, revoked ones included, in order, after one of them."""
    yield from _ids(f"{tenant_prefix(tenant)}keys/", after)


def create_link(link: UploadLink) -> bool:
    """Stores a new upload link. Returns False if the id is taken."""
    return _create(link_key(link.tenant, link.link_id), link)


def read_link(tenant: str, link_id: str) -> UploadLink | None:
    """An upload link of this tenant, or None. Raises InternalError when the document is not valid."""
    return _read(UploadLink, link_key(tenant, link_id)) if credentials.is_id_of(tenant, link_id) else None


def change_link(tenant: str, link_id: str, change: Callable[[UploadLink], UploadLink]) -> UploadLink | None:
    """As `change_tenant`, for an upload link of this tenant."""
    is_possible = credentials.is_id_of(tenant, link_id)
    key = link_key(tenant, link_id)
    return _change(UploadLink, key, change, _LINK_CHANGE_ATTEMPTS) if is_possible else None


def link_ids(tenant: str, after: str = "") -> Iterator[str]:
    """The ids of a tenant's upload links after this one, expired and revoked ones included, in order."""
    prefix = links_prefix(tenant)
    for key in s3.keys_after(prefix, link_key(tenant, after) if after else ""):
        yield key.removeprefix(prefix).removesuffix(".json")


def read_quotas(key: str) -> Quotas | None:
    """The quotas in one document; None when there is none or when it is not valid, which is logged as an error.

    A slip of the operator must not lock anybody out. Only the quotas that the document sets are set in the result.
    """
    try:
        return require_quotas(key)
    except InternalError as error:
        logger().error("ignored quotas that are not valid", extra={"key": key, "reason": str(error.__cause__)})
        return None


def require_quotas(key: str) -> Quotas | None:
    """As `read_quotas`, but raises InternalError when the document is not valid."""
    return _read(Quotas, key)


def write_quotas(key: str, quotas: Quotas) -> None:
    """Replaces the quotas in one document by those that are set in `quotas`."""
    s3.put(key, quotas.model_dump_json(exclude_unset=True).encode(), media_type=_JSON)


def effective_quotas(tenant: str, defaults: Quotas | None, overrides: Quotas | None) -> Quotas:
    """The limits of a tenant from the two documents. The operator has those of its own document only."""
    quotas = UNLIMITED if tenant == OPERATOR_TENANT else Quotas().overridden_by(defaults or Quotas())
    return quotas.overridden_by(overrides or Quotas())


def quotas_of(tenant: str) -> Quotas:
    """The limits of a tenant."""
    return effective_quotas(tenant, read_quotas(DEFAULT_QUOTAS_KEY), read_quotas(quotas_key(tenant)))


def _ids(prefix: str, after: str = "") -> Iterator[str]:
    for key in s3.keys_after(prefix, f"{prefix}{after}.json" if after else ""):
        yield key.removeprefix(prefix).removesuffix(".json")


def _create(key: str, record: Contract) -> bool:
    return s3.put_once(key, _encode(record), media_type=_JSON)


def _read(kind: type[_Record], key: str) -> _Record | None:
    content = s3.get(key)
    return None if content is None else _decode(kind, key, content)


def _change(
    kind: type[_Record], key: str, change: Callable[[_Record], _Record], attempts: int = _CHANGE_ATTEMPTS
) -> _Record | None:
    for attempt in range(attempts):
        if attempt > 1:
            time.sleep(random.uniform(0, min(_PAUSE_S, 0.01 * 2**attempt)))  # noqa: S311 - not for a secret
        version = s3.get_version(key)
        if version is None:
            return None
        before = _decode(kind, key, version.content)
        after = change(before)
        if after == before or s3.replace(key, _encode(after), media_type=_JSON, etag=version.etag):
            return after
    raise ConcurrentChangeError


def _decode(kind: type[_Record], key: str, content: bytes) -> _Record:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise InternalError(f"The document {key} is not valid: {validation_message(error)}") from error


def _encode(record: Contract) -> bytes:
    return record.model_dump_json().encode()
