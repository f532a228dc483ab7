"""API keys of a tenant: create, list, change, rotate and revoke them. For its admins and the operator."""

import time
from collections.abc import Mapping
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import audit, listing
from api.admin_models import IssuedKeyDetails, KeyChange, KeyDetails, KeyPage, KeyRequest, KeyRotation
from api.openapi import problem_responses
from api.parameters import KeyIdInPath, TenantInPath
from api.principals import Admin, GuardedRoute
from api.responses import json_response
from api.tenant_access import find_lasting_tenant, find_tenant
from darkroom.config import settings
from darkroom.contracts.tenants import ApiKey
from darkroom.errors import (
    ConcurrentChangeError,
    InvalidRequestError,
    KeyNotActiveError,
    KeyNotFoundError,
    StorageUnavailableError,
    TenantDeletedError,
    TenantNotFoundError,
    TooManyKeysError,
)
from darkroom.tenants import api_keys, key_uses, records
from darkroom.tenants.api_keys import IssuedKey, KeyState
from darkroom.timestamps import epoch_ms, iso_utc

router = APIRouter(tags=["keys"], route_class=GuardedRoute)

#: Most keys of a tenant, revoked ones included.
MAX_KEYS = 1_000

_TENANT = (InvalidRequestError, StorageUnavailableError, TenantNotFoundError)
_LOOKUP = (*_TENANT, KeyNotFoundError)
_CHANGE = (*_LOOKUP, ConcurrentChangeError, KeyNotActiveError, TenantDeletedError)


@router.post(
    "/tenants/{tenant}/keys",
    status_code=201,
    response_model=IssuedKeyDetails,
    summary="Create an API key",
    response_description="The key with its secret, which cannot be shown again.",
    responses=problem_responses(*_TENANT, TenantDeletedError, TooManyKeysError),
)
async def add_key(tenant: TenantInPath, body: KeyRequest, request: Request, principal: Admin) -> Response:
    """Creates a key for a tenant and returns it once: only a hash of it is stored.

    So the header `Idempotency-Key` is refused here. If the response is lost, revoke the key that nobody has and create
    another one.
    """
    _refuse_idempotency_key(request)
    find_lasting_tenant(principal, tenant)
    if sum(1 for _ in islice(records.api_key_ids(tenant), MAX_KEYS)) == MAX_KEYS:
        raise TooManyKeysError(f"Tenant {tenant} has {MAX_KEYS:,} API keys. Rotate one of them instead.")
    issued = api_keys.create_key(
        tenant,
        settings().key_environment,
        name=body.name,
        scopes=body.granted,
        expires_at=body.expires_at,
        now_s=time.time(),
    )
    if not records.create_api_key(issued.key):
        raise ConcurrentChangeError
    key = issued.key
    audit.record(principal, "key created", tenant, key_id=key.key_id, scopes=key.scopes, expires_at=key.expires_at)
    return json_response(_issued(issued, {}), 201, location=f"/tenants/{tenant}/keys/{key.key_id}")


@router.get(
    "/tenants/{tenant}/keys",
    response_model=KeyPage,
    summary="List the API keys of a tenant",
    response_description="A page of keys.",
    responses=problem_responses(*_TENANT),
)
async def list_keys(
    tenant: TenantInPath,
    principal: Admin,
    limit: Annotated[int, Query(ge=1, le=100, description="Most keys on a page.")] = 20,
    after: Annotated[
        str, Query(max_length=64, description="Only keys after this one. `next` contains it. Default: all.")
    ] = "",
) -> Response:
    """Returns a page of the tenant's keys, expired and revoked ones included, without their secrets."""
    find_tenant(principal, tenant)
    key_ids, follows = listing.first_page(records.api_key_ids(tenant, after), limit)
    found = listing.read_all(lambda key_id: records.read_api_key(tenant, key_id), key_ids)
    uses = key_uses.last_uses(tenant)
    following = listing.next_path(f"/tenants/{tenant}/keys", key_ids, limit, follows=follows)
    return json_response(KeyPage(keys=[_details(key, uses) for key in found], next=following))


@router.get(
    "/tenants/{tenant}/keys/{key_id}",
    response_model=KeyDetails,
    summary="Get an API key",
    response_description="The key, without its secret.",
    responses=problem_responses(*_LOOKUP),
)
async def get_key(tenant: TenantInPath, key_id: KeyIdInPath, principal: Admin) -> Response:
    """Returns what is known of a key, and when it was last used."""
    find_tenant(principal, tenant)
    return json_response(_details(_require_key(tenant, key_id), key_uses.last_uses(tenant)))


@router.patch(
    "/tenants/{tenant}/keys/{key_id}",
    response_model=KeyDetails,
    summary="Change an API key",
    response_description="The key, changed.",
    responses=problem_responses(*_CHANGE),
)
async def change_key(tenant: TenantInPath, key_id: KeyIdInPath, body: KeyChange, principal: Admin) -> Response:
    """Changes the name of a key, or when it expires: also of one that has expired. Its scopes cannot be changed."""

    def change(key: ApiKey) -> ApiKey:
        return api_keys.change(key, body.model_dump(exclude_unset=True), now_s=time.time())

    find_lasting_tenant(principal, tenant)
    if body.name is None and "name" in body.model_fields_set:
        raise InvalidRequestError("A key needs a name.")
    key = records.change_api_key(tenant, key_id, change)
    if key is None:
        raise KeyNotFoundError(key_id)
    audit.record(principal, "key changed", tenant, key_id=key_id, expires_at=key.expires_at)
    return json_response(_details(key, key_uses.last_uses(tenant)))


@router.post(
    "/tenants/{tenant}/keys/{key_id}/rotate",
    response_model=IssuedKeyDetails,
    summary="Rotate an API key",
    response_description="The key with its new secret, which cannot be shown again.",
    responses=problem_responses(*_CHANGE),
)
async def rotate_key(
    tenant: TenantInPath, key_id: KeyIdInPath, request: Request, principal: Admin, body: KeyRotation | None = None
) -> Response:
    """Gives a key a new secret and returns it once. The old one is accepted for `overlap_s` more seconds.

    `Idempotency-Key` is refused, as it is when a key is created. If the response is lost, rotate the key again.
    """
    overlap_s = (body or KeyRotation()).overlap_s
    issued: list[IssuedKey] = []

    def rotate(key: ApiKey) -> ApiKey:
        issued.append(api_keys.rotate(key, settings().key_environment, now_s=time.time(), overlap_s=overlap_s))
        return issued[-1].key

    _refuse_idempotency_key(request)
    find_lasting_tenant(principal, tenant)
    if records.change_api_key(tenant, key_id, rotate) is None:
        raise KeyNotFoundError(key_id)
    audit.record(principal, "key rotated", tenant, key_id=key_id, overlap_s=overlap_s)
    return json_response(_issued(issued[-1], key_uses.last_uses(tenant)))


@router.delete(
    "/tenants/{tenant}/keys/{key_id}",
    response_model=KeyDetails,
    summary="Revoke an API key",
    response_description="The key, revoked.",
    responses=problem_responses(*_LOOKUP, ConcurrentChangeError),
)
async def revoke_key(tenant: TenantInPath, key_id: KeyIdInPath, principal: Admin) -> Response:
    """Revokes a key for good: it is refused within a minute. It stays in the list.

    The key of the request itself and the last admin key of a tenant can be revoked as well. Whoever can write to the
    bucket can always make a new one.
    """
    find_tenant(principal, tenant)
    key = records.change_api_key(tenant, key_id, lambda key: api_keys.revoke(key, now_s=time.time()))
    if key is None:
        raise KeyNotFoundError(key_id)
    audit.record(principal, "key revoked", tenant, key_id=key_id)
    return json_response(_details(key, key_uses.last_uses(tenant)))


def _refuse_idempotency_key(request: Request) -> None:
    if "idempotency-key" in request.headers:
        raise InvalidRequestError(
            "This route takes no Idempotency-Key: the key's secret is not stored, so a repeated request cannot return "
            "it again."
        )


def _require_key(tenant: str, key_id: str) -> ApiKey:
    key = records.read_api_key(tenant, key_id)
    if key is None:
        raise KeyNotFoundError(key_id)
    return key


def _details(key: ApiKey, uses: Mapping[str, int]) -> KeyDetails:
    now_s = time.time()
    ends = [until for until in key.hashes.values() if until is not None and epoch_ms(until) > now_s * 1000]
    state = api_keys.state_at(key, now_s)
    last_use_s = uses.get(key.key_id)
    return KeyDetails(
        key_id=key.key_id,
        tenant=key.tenant,
        name=key.name,
        scopes=key.scopes,
        state=state,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=None if last_use_s is None else iso_utc(last_use_s),
        replaced_until=max(ends, key=epoch_ms, default=None) if state is KeyState.ACTIVE else None,
    )


def _issued(issued: IssuedKey, uses: Mapping[str, int]) -> IssuedKeyDetails:
    return IssuedKeyDetails(**dict(_details(issued.key, uses)), key=issued.text)
