"""The response to a request that is refused for who sends it, with the challenge that RFC 6750 asks for."""

import re

from fastapi import Request, Response

from api.problems import problem_response
from darkroom import metrics
from darkroom.config import settings
from darkroom.errors import AccessError, CredentialsMissingError, InternalError, ScopeMissingError
from darkroom.log import logger

_REALM = 'Bearer realm="darkroom"'

#: What a quoted text of a challenge must not have (RFC 6750, section 3).
_NOT_QUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


async def on_access_error(request: Request, error: Exception) -> Response:
    """Handles every AccessError. The log line has no credentials and nothing made of them."""
    if not isinstance(error, AccessError):
        return problem_response(request, InternalError(str(error)))
    logger().warning("access denied", extra={"code": error.code, "reason": error.message})
    metrics.count_in_stack("access_denied", settings().function_prefix, code=error.code)
    response = problem_response(request, error)
    challenge = _challenge(error)
    if challenge is not None:
        response.headers["WWW-Authenticate"] = challenge
    return response


def _challenge(error: AccessError) -> str | None:
    """What the header WWW-Authenticate says; None where other credentials would not help."""
    description = _NOT_QUOTABLE.sub("'", error.message)
    match error:
        case CredentialsMissingError():
            return _REALM
        case ScopeMissingError():
            scopes = " ".join(error.scopes)
            return f'{_REALM}, error="insufficient_scope", error_description="{description}", scope="{scopes}"'
        case AccessError(http_status=401):
            return f'{_REALM}, error="invalid_token", error_description="{description}"'
        case _:
            return None
