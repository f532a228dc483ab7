"""What the authorizer tells the API: the principal, or why the request is refused.

API Gateway passes it on as `requestContext.authorizer.lambda`, and keeps it for 45 s. Its values are strings:

    {"tenant": "acme", "scopes": "read write", "credential": "acme-7q2xk4mzt5ba", "quotas": "{…}"}
    {"tenant": "acme", "scopes": "upload", "credential": "acme-…", "quotas": "{…}", "limits": "{…}"}   an upload link
    {"denied": "credentials_expired", "reason": "The API key has expired."}
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from darkroom import errors
from darkroom.contracts.tenants import Principal, Quotas, Scope, UploadLimits
from darkroom.errors import AccessError, DarkroomError, InternalError, ServiceError

#: The most bytes of a context. API Gateway refuses one of more than 8 KB.
CONTEXT_MAX_BYTES = 7_500

#: The most bytes that the limits of an upload link may have as JSON, so that they fit into a context.
LIMITS_MAX_BYTES = 5_000

#: The errors with which a request may be refused, by their codes.
_ERRORS: dict[str, type[DarkroomError]] = {
    kind.code: kind for base in (AccessError, ServiceError) for kind in base.__subclasses__()
} | {kind.code: kind for kind in (errors.ConfigurationError, InternalError)}


def to_context(principal: Principal) -> dict[str, str]:
    """The context of a principal. Raises InternalError when it is too large for API Gateway."""
    context = {
        "tenant": principal.tenant,
        "scopes": " ".join(principal.scopes),
        "credential": principal.credential,
        "quotas": principal.quotas.model_dump_json(),
    }
    if principal.limits is not None:
        context["limits"] = principal.limits.model_dump_json()
    size_bytes = sum(len(text.encode()) for pair in context.items() for text in pair)
    if size_bytes > CONTEXT_MAX_BYTES:
        raise InternalError(f"The context of {principal.credential} has {size_bytes} bytes, more than fit.")
    return context


def denial(error: DarkroomError) -> dict[str, str]:
    """The context of a request that is refused.

    What went wrong inside is for the logs, so the reason is then the general one.
    """
    reason = error.message if isinstance(error, AccessError) else type(error)().message
    return {"denied": error.code, "reason": reason}


def from_context(context: Mapping[str, Any]) -> Principal:
    """The principal in a context. Raises the error of a request that is refused.

    Raises InternalError for anything that is not a context: what cannot be read gives no access.
    """
    if "denied" in context:
        raise _ERRORS.get(str(context["denied"]), InternalError)(
            str(context.get("reason") or "The request is refused.")
        )
    try:
        limits = context.get("limits")
        return Principal(
            tenant=context["tenant"],
            scopes=[Scope(scope) for scope in context["scopes"].split()],
            credential=context["credential"],
            quotas=Quotas.model_validate_json(context["quotas"]),
            limits=None if limits is None else UploadLimits.model_validate_json(limits),
        )
    except (KeyError, AttributeError, ValueError, ValidationError) as error:
        raise InternalError("The authorizer's answer cannot be read.") from error
