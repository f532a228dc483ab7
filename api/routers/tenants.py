"""Tenants: create them, look at them, set their quotas, suspend, resume and delete them. For the operator."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from api import audit, listing
from api.admin_models import DeletionProgress, QuotaOverrides, TenantDetails, TenantPage, TenantRequest, TenantSummary
from api.openapi import problem_responses
from api.parameters import TenantInPath
from api.principals import Admin, GuardedRoute
from api.responses import json_response
from api.tenant_access import find_lasting_tenant, find_tenant, require_operator
from darkroom.contracts.tenants import OPERATOR_TENANT, RESERVED_TENANTS, Principal, Quotas, Tenant, TenantStatus
from darkroom.errors import (
    ConcurrentChangeError,
    InternalError,
    InvalidRequestError,
    OperatorRequiredError,
    StorageUnavailableError,
    TenantDeletedError,
    TenantExistsError,
    TenantNotFoundError,
    TenantProtectedError,
)
from darkroom.tenants import deletions, records
from darkroom.timestamps import utc_now

router = APIRouter(tags=["tenants"], route_class=GuardedRoute)

#: The operator's own tenant, of which nothing need be stored. It was always there.
_OPERATOR = Tenant(name=OPERATOR_TENANT, status=TenantStatus.ACTIVE, created_at="1970-01-01T00:00:00Z")

_LOOKUP = (InvalidRequestError, StorageUnavailableError, TenantNotFoundError)
_CHANGE = (*_LOOKUP, ConcurrentChangeError, OperatorRequiredError, TenantDeletedError)


@router.post(
    "/tenants",
    status_code=201,
    response_model=TenantDetails,
    summary="Create a tenant",
    response_description="The tenant was created.",
    responses=problem_responses(InvalidRequestError, OperatorRequiredError, StorageUnavailableError, TenantExistsError),
)
async def add_tenant(body: TenantRequest, principal: Admin) -> Response:
    """Creates a tenant without keys. The name of a deleted tenant can be used again."""
    require_operator(principal)
    name = body.name
    if name in RESERVED_TENANTS:
        raise InvalidRequestError(f"No tenant can be named {name}.")
    tenant = Tenant(name=name, status=TenantStatus.ACTIVE, created_at=utc_now(), title=body.title)
    before = records.read_tenant(name)
    if name == OPERATOR_TENANT or (before is not None and before.status is not TenantStatus.DELETED):
        raise TenantExistsError(f"There is a tenant {name} already.")
    # Before the tenant exists, so that it never exists with other quotas. An interrupted request may have left some.
    records.write_quotas(records.quotas_key(name), body.quotas)
    if not (records.create_tenant(tenant) if before is None else records.replace_tenant(before, tenant)):
        raise TenantExistsError(f"There is a tenant {name} already.")
    audit.record(principal, "tenant created", name)
    return json_response(_details(tenant), 201, location=f"/tenants/{name}")


@router.get(
    "/tenants",
    response_model=TenantPage,
    summary="List tenants",
    response_description="A page of tenants.",
    responses=problem_responses(InvalidRequestError, OperatorRequiredError, StorageUnavailableError),
)
async def list_tenants(
    principal: Admin,
    limit: Annotated[int, Query(ge=1, le=100, description="Most tenants on a page.")] = 20,
    after: Annotated[
        str, Query(max_length=32, description="Only tenants after this one. `next` contains it. Default: all.")
    ] = "",
) -> Response:
    """Returns a page of the tenants, deleted ones included, in the order in which the object store lists them.

    The operator's own tenant is among them only if something is stored about it.
    """
    require_operator(principal)
    names, follows = listing.first_page(records.tenant_names(after), limit)
    found = listing.read_all(records.read_tenant, names)
    following = listing.next_path("/tenants", names, limit, follows=follows)
    return json_response(TenantPage(tenants=[_summary(tenant) for tenant in found], next=following))


@router.get(
    "/tenants/{tenant}",
    response_model=TenantDetails,
    summary="Get a tenant",
    response_description="The tenant.",
    responses=problem_responses(*_LOOKUP),
)
async def get_tenant(tenant: TenantInPath, principal: Admin) -> Response:
    """Returns a tenant and its quotas. An admin of another tenant than the operator's can get only its own."""
    return json_response(_details(find_tenant(principal, tenant) or _OPERATOR))


@router.put(
    "/tenants/{tenant}/quotas",
    response_model=TenantDetails,
    summary="Set the quotas of a tenant",
    response_description="The tenant with its new quotas.",
    responses=problem_responses(*_LOOKUP, OperatorRequiredError, TenantDeletedError),
)
async def set_quotas(tenant: TenantInPath, body: Annotated[QuotaOverrides, Body()], principal: Admin) -> Response:
    """Replaces all quotas in which the tenant differs from the defaults. An empty object gives it the defaults.

    They are in effect within a minute.
    """
    require_operator(principal, tenant)
    found = find_lasting_tenant(principal, tenant)
    records.write_quotas(records.quotas_key(tenant), body)
    audit.record(principal, "quotas set", tenant, quotas=body.model_dump(exclude_unset=True))
    return json_response(_details(found or _OPERATOR))


@router.post(
    "/tenants/{tenant}/suspend",
    response_model=TenantDetails,
    summary="Suspend a tenant",
    response_description="The tenant, suspended.",
    responses=problem_responses(*_CHANGE, TenantProtectedError),
)
async def suspend_tenant(tenant: TenantInPath, principal: Admin) -> Response:
    """Refuses every request of the tenant within a minute. Its data is kept, and jobs that are open still end."""
    _require_changeable(principal, tenant)
    changed = records.change_tenant(tenant, _suspended)
    return _changed(principal, "tenant suspended", tenant, changed)


@router.post(
    "/tenants/{tenant}/resume",
    response_model=TenantDetails,
    summary="Resume a suspended tenant",
    response_description="The tenant, active.",
    responses=problem_responses(*_CHANGE, TenantProtectedError),
)
async def resume_tenant(tenant: TenantInPath, principal: Admin) -> Response:
    """Accepts requests of the tenant again within a minute."""
    _require_changeable(principal, tenant)
    changed = records.change_tenant(tenant, _active)
    return _changed(principal, "tenant resumed", tenant, changed)


@router.delete(
    "/tenants/{tenant}",
    status_code=202,
    response_model=TenantDetails,
    summary="Delete a tenant and everything that it has",
    response_description="The deletion has begun.",
    responses=problem_responses(*_CHANGE, TenantProtectedError),
)
async def delete_tenant(tenant: TenantInPath, principal: Admin) -> Response:
    """Begins to remove the tenant's keys, files, jobs and outputs, which cannot be undone.

    Its requests are refused within a minute, its running jobs are stopped. The `status` is `deleted` when nothing is
    left and nothing can arrive any more: after the last upload form has expired, so usually after little more than an
    hour.
    """
    _require_changeable(principal, tenant)
    changed = deletions.begin(tenant)
    return _changed(principal, "tenant deletion begun", tenant, changed, status=202)


def _require_changeable(principal: Principal, tenant: str) -> None:
    require_operator(principal, tenant)
    if tenant == OPERATOR_TENANT:
        raise TenantProtectedError
    find_tenant(principal, tenant)


def _suspended(tenant: Tenant) -> Tenant:
    if tenant.is_deleted:
        raise TenantDeletedError(tenant.name)
    if tenant.status is TenantStatus.SUSPENDED:
        return tenant
    return tenant.model_copy(update={"status": TenantStatus.SUSPENDED, "suspended_at": utc_now()})


def _active(tenant: Tenant) -> Tenant:
    if tenant.is_deleted:
        raise TenantDeletedError(tenant.name)
    return tenant.model_copy(update={"status": TenantStatus.ACTIVE, "suspended_at": None})


def _changed(principal: Principal, action: str, name: str, tenant: Tenant | None, status: int = 200) -> Response:
    if tenant is None:
        raise TenantNotFoundError(name)
    audit.record(principal, action, name)
    return json_response(_details(tenant), status)


def _summary(tenant: Tenant) -> TenantSummary:
    progress = tenant.deletion and DeletionProgress(
        removed_objects=tenant.deletion.removed_objects, removed_bytes=tenant.deletion.removed_bytes
    )
    return TenantSummary(
        name=tenant.name,
        title=tenant.title,
        status=tenant.status,
        created_at=None if tenant is _OPERATOR else tenant.created_at,
        suspended_at=tenant.suspended_at,
        deleting_at=tenant.deleting_at,
        deleted_at=tenant.deleted_at,
        deletion=progress,
    )


def _details(tenant: Tenant) -> TenantDetails:
    problems: list[str] = []
    defaults = _quotas(records.DEFAULT_QUOTAS_KEY, problems)
    overrides = _quotas(records.quotas_key(tenant.name), problems)
    return TenantDetails(
        **dict(_summary(tenant)),
        quotas=records.effective_quotas(tenant.name, defaults, overrides),
        overridden=sorted(overrides.model_fields_set) if overrides else [],
        quotas_problem=" ".join(problems) or None,
    )


def _quotas(key: str, problems: list[str]) -> Quotas | None:
    """The quotas in a document. What is wrong with it is added to `problems`."""
    try:
        return records.require_quotas(key)
    except InternalError as error:
        problems.append(error.message)
        return None
