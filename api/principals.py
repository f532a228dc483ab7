"""On whose behalf a request is made."""

from typing import Annotated

from fastapi import Depends

from darkroom.contracts.tenants import OPERATOR_TENANT


async def _tenant() -> str:
    return OPERATOR_TENANT


#: The name of the tenant whose files and jobs a request may see and change.
CurrentTenant = Annotated[str, Depends(_tenant)]
