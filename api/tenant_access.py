"""Which tenants an admin may manage. To all others, a tenant looks like one that does not exist."""

import re

from darkroom.contracts.tenants import OPERATOR_TENANT, TENANT_PATTERN, Principal, Tenant
from darkroom.errors import OperatorRequiredError, TenantDeletedError, TenantNotFoundError
from darkroom.tenants import records

_NAME = re.compile(TENANT_PATTERN, re.ASCII)


def require_operator(principal: Principal, tenant: str | None = None) -> None:
    """Refuses everybody but the operator. `tenant` is the one that the request is about, if there is one.

    Raises OperatorRequiredError, or TenantNotFoundError to an admin of another tenant.
    """
    if principal.is_operator:
        return
    if tenant is not None and tenant != principal.tenant:
        raise TenantNotFoundError(tenant)
    raise OperatorRequiredError


def find_tenant(principal: Principal, name: str) -> Tenant | None:
    """A tenant that the principal may manage; None is the operator's own, of which nothing need be stored.

    Raises TenantNotFoundError, without a request to storage if the principal may not know of the tenant.
    """
    may_know = principal.is_operator or name == principal.tenant
    tenant = records.read_tenant(name) if may_know and _NAME.fullmatch(name) else None
    if tenant is None and not (principal.is_operator and name == OPERATOR_TENANT):
        raise TenantNotFoundError(name)
    return tenant


def find_lasting_tenant(principal: Principal, name: str) -> Tenant | None:
    """As `find_tenant`. Raises TenantDeletedError if the tenant is being deleted, or was."""
    tenant = find_tenant(principal, name)
    if tenant is not None and tenant.is_deleted:
        raise TenantDeletedError(name)
    return tenant
