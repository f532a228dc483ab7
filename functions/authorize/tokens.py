"""Checks JSON Web Tokens of the OIDC issuer that the deployment trusts. Only this module imports PyJWT."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt

from darkroom.config import AuthorizerSettings
from darkroom.contracts.tenants import TENANT_PATTERN, Scope
from darkroom.errors import ConfigurationError, CredentialsExpiredError, CredentialsInvalidError
from functions.authorize.issuer import Issuer, Jwk

#: Seconds by which the clocks of the issuer and of this function may differ.
LEEWAY_S = 60

#: The longest subject, which OpenID Connect limits to 255 characters.
SUBJECT_MAX_CHARS = 255

#: The signature algorithms that are accepted, and the type of the keys that they need. Never `none`, and never one with
#: a shared secret, with which anybody who knows the public key could sign.
_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}

_REQUIRED = ["iss", "aud", "exp", "sub"]
_TENANT = re.compile(TENANT_PATTERN.removesuffix("$") + r"\Z", re.ASCII)
_SCOPE = re.compile(r"darkroom[:/.](read|write|admin)", re.ASCII)

#: Reasons that help the person who makes the tokens, by the error. The last one fits all.
_REASONS: list[tuple[type[jwt.PyJWTError], str]] = [
    (jwt.ImmatureSignatureError, "The token is not valid yet. Check the clock of its issuer."),
    (jwt.InvalidIssuerError, "The token is of another issuer."),
    (jwt.InvalidAudienceError, "The token is meant for another audience."),
    (jwt.MissingRequiredClaimError, f"The token lacks one of the claims {', '.join(_REQUIRED)}."),
    (jwt.InvalidSignatureError, "The signature of the token is not valid."),
    (jwt.PyJWTError, "The token is not valid."),
]


@dataclass(frozen=True)
class Claims:
    """What a token says that is valid."""

    tenant: str
    subject: str
    scopes: list[Scope]


def verify(token: str, settings: AuthorizerSettings) -> Claims:
    """What `token` says. Raises CredentialsInvalidError or CredentialsExpiredError unless it is valid.

    Raises IssuerUnavailableError when its signature cannot be checked, and ConfigurationError.
    """
    if not settings.jwt_issuer:
        raise CredentialsInvalidError("The credential is not an API key, and this deployment accepts no tokens.")
    audiences = [audience.strip() for audience in settings.jwt_audience.split(",") if audience.strip()]
    if not audiences:
        raise ConfigurationError("An issuer of tokens is set without an audience.")
    defaults = _scopes_in(settings.jwt_default_scopes.replace(",", " ").split())
    try:
        claims = jwt.decode(
            token,
            _key_for(jwt.get_unverified_header(token), _issuer(settings.jwt_issuer)),
            algorithms=list(_KEY_TYPES),
            audience=audiences,
            issuer=settings.jwt_issuer,
            leeway=LEEWAY_S,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError as error:
        raise CredentialsExpiredError("The token has expired.") from error
    except jwt.PyJWTError as error:
        raise CredentialsInvalidError(next(reason for kind, reason in _REASONS if isinstance(error, kind))) from error
    return Claims(_tenant_in(claims, settings.jwt_tenant_claim), _subject_in(claims), _granted(claims) or defaults)


@lru_cache(maxsize=1)
def _issuer(url: str) -> Issuer:
    return Issuer(url)


def _key_for(header: dict[str, Any], issuer: Issuer) -> jwt.PyJWK:
    """The key that a token must be signed with. Its algorithm is bound to it."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _KEY_TYPES:
        raise CredentialsInvalidError(f"The token is not signed with one of {', '.join(_KEY_TYPES)}.")
    if "crit" in header:
        raise CredentialsInvalidError("The token requires an extension that is not supported.")
    found = _matching(issuer.keys(), header) or _matching(issuer.keys_after_rotation(), header)
    if len(found) != 1:
        raise CredentialsInvalidError("The token is signed with a key that its issuer does not have.")
    return jwt.PyJWK(found[0], algorithm)


def _matching(keys: list[Jwk], header: dict[str, Any]) -> list[Jwk]:
    """The keys that a token with this header may be signed with. One without `kid` fits each key of its type."""
    algorithm, kid = header["alg"], header.get("kid")
    return [
        key
        for key in keys
        if key.get("kty") == _KEY_TYPES[algorithm]
        and key.get("alg") in (None, algorithm)
        and key.get("use") in (None, "sig")
        and (kid is None or key.get("kid") == kid)
    ]


def _tenant_in(claims: dict[str, Any], name: str) -> str:
    tenant = claims.get(name)
    if not isinstance(tenant, str) or not _TENANT.match(tenant):
        raise CredentialsInvalidError(f"The token has no claim '{name}' with the name of a tenant.")
    return tenant


def _subject_in(claims: dict[str, Any]) -> str:
    subject = str(claims["sub"])
    if not 0 < len(subject) <= SUBJECT_MAX_CHARS or not subject.isprintable():
        raise CredentialsInvalidError(f"The subject of the token is not 1 to {SUBJECT_MAX_CHARS} printable characters.")
    return subject


def _granted(claims: dict[str, Any]) -> list[Scope]:
    """The scopes that a token has. Depending on the issuer they are in `scope` or `scp`, as a text or as a list."""
    texts: list[str] = []
    for name in ("scope", "scp"):
        value = claims.get(name)
        texts += value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    matches = [_SCOPE.fullmatch(text) for text in texts if isinstance(text, str)]
    return sorted({Scope(match[1]) for match in matches if match})


def _scopes_in(names: list[str]) -> list[Scope]:
    if not set(names) <= {Scope.READ, Scope.WRITE, Scope.ADMIN}:
        raise ConfigurationError("The default scopes of tokens may be read, write and admin.")
    return sorted(map(Scope, names))
