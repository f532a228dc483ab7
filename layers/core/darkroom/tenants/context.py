"""What the authorizer tells the API about a request: the context in API Gateway's event, with a principal or a denial.

Quotas and limits travel as JSON text, because API Gateway changes what is nested.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from darkroom.contracts.base import validation_message
from darkroom.contracts.tenants import Principal
from darkroom.errors import (
    AccessError,
    CredentialsExpiredError,
    CredentialsInvalidError,
    CredentialsMissingError,
    CredentialsRevokedError,
    DarkroomError,
    InternalError,
    StorageUnavailableError,
    TenantSuspendedError,
)

#: The fields of a context that are JSON text.
_JSON_FIELDS = ("quotas", "limits")

#: The errors for which the authorizer denies a request, by code.
_DENIALS: dict[str, type[AccessError | StorageUnavailableError]] = {
    error.code: error
    for error in (
        CredentialsExpiredError,
        CredentialsInvalidError,
        CredentialsMissingError,
        CredentialsRevokedError,
        StorageUnavailableError,
        TenantSuspendedError,
    )
}


def to_context(principal: Principal) -> dict[str, Any]:
    """The context for a request of `principal`."""
    context = {
        "tenant": principal.tenant,
        "scopes": [str(scope) for scope in principal.scopes],
        "credential": principal.credential,
        "quotas": principal.quotas.model_dump_json(),
    }
    return context if principal.limits is None else context | {"limits": principal.limits.model_dump_json()}


def denial_context(error: DarkroomError) -> dict[str, Any]:
    """The context for a request that is denied for `error`."""
    return {"denied": error.code, "reason": error.message}


def from_context(context: Mapping[str, Any]) -> Principal:
    """The principal in a context.

    Raises the AccessError, or StorageUnavailableError, for which the request is denied, and InternalError for a context
    that cannot be read. Other fields are ignored: a newer authorizer may send more.
    """
    if "denied" in context:
        denied = _DENIALS.get(str(context["denied"]), CredentialsInvalidError)
        raise denied(*filter(None, [context.get("reason")]))
    try:
        known = {name: context[name] for name in Principal.model_fields if name in context}
        fields = {name: json.loads(value) if name in _JSON_FIELDS else value for name, value in known.items()}
        return Principal.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise InternalError(f"The authorizer's context is not valid: {validation_message(error)}") from error
    except (TypeError, ValueError) as error:
        raise InternalError("The authorizer's context is not valid: quotas or limits are no JSON text.") from error
