"""On whose behalf a request is made."""

from typing import Annotated

from fastapi import Depends

from darkroom.contracts.base import DEFAULT_TENANT


async def _tenant() -> str:
    return DEFAULT_TENANT


#: The name of the tenant whose files and jobs a request may see and change.
Tenant = Annotated[str, Depends(_tenant)]
