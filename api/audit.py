"""The audit log: one line per change of tenants and API keys, with who made it."""

from darkroom.contracts.tenants import Principal
from darkroom.log import logger


def record(principal: Principal, action: str, tenant: str, **details: object) -> None:
    """Logs that a principal has changed something of a tenant. `details` must not contain secrets."""
    by = {"by": principal.credential, "by_tenant": principal.tenant}
    logger().info("audit", extra={"action": action, "tenant": tenant, **by, **details})
