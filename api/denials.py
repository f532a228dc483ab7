"""The response to a request that is refused for who sends it, with the challenge that RFC 6750 asks for.

Requests with invalid credentials are counted per address. Too many of them get 429 in place of 401, which tells a
guesser nothing about further guesses. Valid credentials never get here, so nobody is locked out.
"""

import re
from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import Request, Response

from api.principals import source_address
from api.problems import problem_response
from darkroom import metrics
from darkroom.config import settings
from darkroom.errors import (
    AccessError,
    CacheUnavailableError,
    CredentialsExpiredError,
    CredentialsInvalidError,
    CredentialsMissingError,
    CredentialsRevokedError,
    InternalError,
    ScopeMissingError,
    TooManyFailuresError,
)
from darkroom.log import logger
from darkroom.services.redis.failures import count_failure

#: Requests with invalid credentials that an address may send in a minute before it gets 429.
FAILURES_LIMIT = 20

#: The errors of credentials that may be guesses.
_COUNTED = (CredentialsExpiredError, CredentialsInvalidError, CredentialsRevokedError)

_REALM = 'Bearer realm="darkroom"'

#: What a quoted text of a challenge must not have (RFC 6750, section 3).
_NOT_QUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


async def on_access_error(request: Request, error: Exception) -> Response:
    """Handles every AccessError. The log line has no credentials and nothing made of them."""
    if not isinstance(error, AccessError):
        return problem_response(request, InternalError(str(error)))
    address = source_address(request)
    refused = _limited(error, address) if isinstance(error, _COUNTED) and address else error
    logger().warning("access denied", extra={"code": refused.code, "reason": error.message, "address": address})
    metrics.count_in_stack("access_denied", settings().function_prefix, code=refused.code)
    response = problem_response(request, refused)
    challenge = _challenge(refused)
    if challenge is not None:
        response.headers["WWW-Authenticate"] = challenge
    return response


def _limited(error: AccessError, address: str) -> AccessError:
    """The error, or TooManyFailuresError. Without Redis nothing is counted."""
    try:
        failures = count_failure(_network(address))
    except CacheUnavailableError as outage:
        logger().warning("failed authentication not counted", extra={"reason": outage.message})
        return error
    if failures.count <= FAILURES_LIMIT:
        return error
    return TooManyFailuresError(
        f"More than {FAILURES_LIMIT} requests with invalid credentials came from this address within a minute. "
        "Requests with valid credentials are carried out at any time.",
        retry_after_s=failures.ends_in_s,
    )


def _network(address: str) -> str:
    """The address; of IPv6 its network, since a client has all the addresses of a /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


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
