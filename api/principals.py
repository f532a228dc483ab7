"""On whose behalf a request is made."""

from typing import Annotated

from fastapi import Depends

from darkroom.contracts.tenants import OPERATOR_TENANT


async def current_tenant() -> str:
    """The name of the tenant whose files and jobs a request may see and change."""
    return OPERATOR_TENANT


#: What a route declares as its `tenant`.
CurrentTenant = Annotated[str, Depends(current_tenant)]
