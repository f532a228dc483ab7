"""Authorize: API Gateway asks who sends a request, and keeps the answer for 45 s.

It always answers with `isAuthorized`, since API Gateway's own refusal has no problem document. What the context says
decides: the API refuses a request whose context is a denial, is missing or cannot be read.
"""

import re
import time
from typing import Any

from darkroom import config
from darkroom.contracts.tenants import Principal
from darkroom.errors import AccessError, CredentialsInvalidError, CredentialsMissingError, DarkroomError, ServiceError
from darkroom.log import logger
from darkroom.tenants import context, credentials
from darkroom.timeouts import INTERACTIVE, use_timeouts
from functions.authorize import stored

#: The longest header that is looked at, in characters.
HEADER_MAX_CHARS = 8 * 1024

#: The fields of the log that say whose credential was sent, once that is known. The id of a credential is no secret.
_IDENTIFYING = ("tenant", "credential")

#: RFC 6750: the scheme, in any case, and a token.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.ASCII | re.IGNORECASE)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers an event of payload format 2.0 in the simple format."""
    use_timeouts(INTERACTIVE)
    logger().remove_keys(list(_IDENTIFYING))
    try:
        principal = _principal_of(_token_in(event))
        answer = context.to_context(principal)
    except DarkroomError as error:
        _log_denial(error, event)
        answer = context.denial(error)
    else:
        logger().info("allowed", extra={"scopes": answer["scopes"]})
    return {"isAuthorized": True, "context": answer}


def _token_in(event: dict[str, Any]) -> str:
    """The token in the Authorization header. API Gateway joins several headers with commas, which no token has."""
    headers = {name.lower(): text for name, text in (event.get("headers") or {}).items()}
    header = headers.get("authorization", "")
    if not header:
        raise CredentialsMissingError
    if len(header) > HEADER_MAX_CHARS:
        raise CredentialsInvalidError(f"The Authorization header has more than {HEADER_MAX_CHARS} characters.")
    match = _BEARER.fullmatch(header.strip(" "))
    if match is None:
        raise CredentialsInvalidError("Send one Authorization header: 'Bearer', a space, and the API key or token.")
    return match[1]


def _principal_of(token: str) -> Principal:
    settings = config.authorizer_settings()
    if credentials.is_credential(token):
        credential = credentials.parse(token, settings.key_environment)
        _identify(credential.tenant, credential.id)
        return stored.principal_of(credential, time.time())
    # With cryptography, this takes longer to import than everything else here, and keys do not need it.
    from functions.authorize import tokens

    claims = tokens.verify(token, settings)
    _identify(claims.tenant, claims.subject)
    quotas = stored.quotas_of_active(claims.tenant)
    return Principal(tenant=claims.tenant, scopes=claims.scopes, credential=claims.subject, quotas=quotas)


def _identify(tenant: str, credential: str) -> None:
    logger().append_keys(**dict(zip(_IDENTIFYING, (tenant, credential), strict=True)))


def _log_denial(error: DarkroomError, event: dict[str, Any]) -> None:
    """One line that says who was refused and why. It never has the credential."""
    address = event.get("requestContext", {}).get("http", {}).get("sourceIp")
    extra = {"code": error.code, "reason": error.message, "address": address}
    if isinstance(error, AccessError):
        logger().info("denied", extra=extra)
    elif isinstance(error, ServiceError):
        logger().warning("denied", extra=extra)
    else:
        logger().error("denied", extra=extra)
