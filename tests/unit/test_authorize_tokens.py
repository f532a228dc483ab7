"""Tokens of a real issuer on loopback: what is valid is accepted, and everything else is refused."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.config import AuthorizerSettings
from darkroom.contracts.tenants import Scope
from darkroom.errors import (
    ConfigurationError,
    CredentialsExpiredError,
    CredentialsInvalidError,
    IssuerUnavailableError,
)
from functions.authorize import tokens
from tests.support.issuer import AUDIENCE, KINDS, LocalIssuer, encoded, hs256_token, jwk, local_issuer, pem, private_key

#: A header that says nothing wrong.
RS256: dict[str, Any] = {"alg": "RS256", "kid": "a"}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalIssuer]:
    with local_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(server: LocalIssuer) -> LocalIssuer:
    """An issuer with one RSA key, which nobody has asked yet."""
    server.keys.clear()
    server.publish()
    tokens._issuer.cache_clear()
    return server


def settings_for(issuer: LocalIssuer, **changed: str) -> AuthorizerSettings:
    values = {"bucket": "a-bucket", "jwt_issuer": issuer.url, "jwt_audience": AUDIENCE} | changed
    return AuthorizerSettings(**values)


def verify(issuer: LocalIssuer, token: str, **changed: str) -> tokens.Claims:
    return tokens.verify(token, settings_for(issuer, **changed))


def refused(issuer: LocalIssuer, token: str, **changed: str) -> str:
    """The reason for which a token is refused, which never has a part of it."""
    with pytest.raises(CredentialsInvalidError) as raised:
        verify(issuer, token, **changed)
    assert not any(part in raised.value.message for part in token.split(".") if len(part) > 8)
    return raised.value.message


@pytest.mark.parametrize("algorithm", KINDS)
def test_token_of_every_algorithm_is_accepted(algorithm: str, issuer: LocalIssuer) -> None:
    issuer.keys.clear()
    issuer.publish(algorithm)

    assert verify(issuer, issuer.token(algorithm)).tenant == "acme"


def test_claims_are_those_of_the_token(issuer: LocalIssuer) -> None:
    claims = verify(issuer, issuer.token(scope="openid darkroom:read darkroom/write"))

    assert claims == tokens.Claims("acme", "user-1", [Scope.READ, Scope.WRITE])


# Signatures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "ES256K", "rs256", "", None, ["RS256"], 1])
def test_other_algorithms_are_refused(algorithm: Any, issuer: LocalIssuer) -> None:
    signature = issuer.token().rpartition(".")[2]
    for kept in ("", signature):
        token = f"{encoded({'alg': algorithm, 'kid': 'a'})}.{encoded(issuer.claims())}.{kept}"
        assert "not signed with one of RS256" in refused(issuer, token)


@pytest.mark.parametrize("as_text", [True, False])
def test_public_key_is_no_shared_secret(issuer: LocalIssuer, *, as_text: bool) -> None:
    key = private_key("RSA")
    secret = pem(key) if as_text else json.dumps(jwk(key, "RS256", kid="a")).encode()

    assert "not signed with one of" in refused(issuer, hs256_token(issuer.claims(), secret, kid="a"))


def test_shared_secret_in_the_key_set_is_not_used(issuer: LocalIssuer) -> None:
    issuer.keys[:] = [{"kty": "oct", "k": encoded(b"x" * 32), "kid": "a"}]

    refused(issuer, hs256_token(issuer.claims(), b"x" * 32, kid="a"))
    refused(issuer, issuer.token())


def test_token_that_was_signed_with_another_key_is_refused(issuer: LocalIssuer) -> None:
    assert "signature" in refused(issuer, issuer.token(name="another"))


def test_token_that_brings_its_own_key_is_refused(issuer: LocalIssuer) -> None:
    own = jwk(private_key("RSA", "another"), "RS256", kid="a")
    header = {"jwk": own, "jku": f"{issuer.url}/other", "x5u": f"{issuer.url}/other"}

    refused(issuer, issuer.token(name="another", header=header))

    assert "/other" not in issuer.requests


def test_token_whose_claims_were_changed_is_refused(issuer: LocalIssuer) -> None:
    header, _, signature = issuer.token().split(".")

    assert "signature" in refused(issuer, f"{header}.{encoded(issuer.claims(tenant='other'))}.{signature}")


@pytest.mark.parametrize("members", [{"use": "enc"}, {"alg": "RS512"}, {"kty": "EC"}])
def test_key_for_another_purpose_is_not_used(members: dict[str, str], issuer: LocalIssuer) -> None:
    issuer.keys[0] |= members

    refused(issuer, issuer.token())


def test_curve_must_be_that_of_the_algorithm(issuer: LocalIssuer) -> None:
    issuer.keys[:] = [jwk(private_key("P-384"), "ES384", kid="a")]
    _, claims, signature = issuer.token("ES384").split(".")

    assert refused(issuer, f"{encoded({'alg': 'ES256', 'kid': 'a'})}.{claims}.{signature}") == "The token is not valid."


def test_short_rsa_key_is_not_used(issuer: LocalIssuer) -> None:
    issuer.keys[:] = [jwk(private_key("RSA-1024"), "RS256", kid="a")]

    refused(issuer, issuer.token())


@pytest.mark.parametrize(
    "key", [{}, {"kty": "RSA"}, {"kty": "RSA", "n": 1, "e": []}, {"kty": "EC", "crv": "P-0"}, "a", None]
)
def test_key_that_is_not_valid_does_not_hide_the_others(key: Any, issuer: LocalIssuer) -> None:
    issuer.keys.insert(0, key)

    assert verify(issuer, issuer.token()).tenant == "acme"


def test_token_without_key_id_fits_the_only_key_of_its_type(issuer: LocalIssuer) -> None:
    issuer.publish("ES256", "b")
    assert verify(issuer, issuer.token(kid=None)).tenant == "acme"

    issuer.publish(kid="c", name="another")
    tokens._issuer.cache_clear()
    refused(issuer, issuer.token(kid=None))


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "b64"}, {"kid": 1}, {"kid": ["a"]}]
)
def test_header_that_is_not_understood_is_refused(header: dict[str, Any], issuer: LocalIssuer) -> None:
    parts = issuer.token().split(".")
    parts[0] = encoded({"alg": "RS256", "kid": "a"} | header)

    refused(issuer, ".".join(parts))


@pytest.mark.parametrize(
    "token",
    [
        "a",
        "a.b",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        f"{encoded(b'{')}.{encoded(b'{}')}.",
        f"{encoded(b'[]')}.{encoded(b'{}')}.",
        f"{encoded(b'null')}.{encoded(b'{}')}.",
        f"{encoded(bytes([255]))}.{encoded(b'{}')}.",
        f"{encoded(b'[' * 3000)}.{encoded(b'{}')}.",
        f"{encoded(RS256)}.{encoded(b'[' * 3000)}.AAAA",
    ],
)
def test_malformed_token_is_refused(token: str, issuer: LocalIssuer) -> None:
    refused(issuer, token)


@given(token=st.from_regex(r"[A-Za-z0-9._~+/=-]*", fullmatch=True))
@settings(deadline=None)  # other tests may need the processor
def test_no_text_raises_another_error(token: str) -> None:
    nobody = LocalIssuer(url="http://127.0.0.1:9")

    with pytest.raises((CredentialsInvalidError, IssuerUnavailableError)):
        verify(nobody, token)


def changed(claim: str, value: Any) -> dict[str, Any]:
    return {claim: value}


# Claims ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-60, 60])
def test_clocks_may_differ_by_a_minute(seconds: int, issuer: LocalIssuer) -> None:
    issued_s = int(time.time()) + seconds

    assert verify(issuer, issuer.token(iat=issued_s, nbf=issued_s, exp=issued_s + 30))


def test_token_that_expired_two_minutes_ago_is_refused(issuer: LocalIssuer) -> None:
    with pytest.raises(CredentialsExpiredError):
        verify(issuer, issuer.token(exp=int(time.time()) - 120))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_token_of_the_time_in_two_minutes_is_refused(claim: str, issuer: LocalIssuer) -> None:
    assert "not valid yet" in refused(issuer, issuer.token(**changed(claim, int(time.time()) + 120)))


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "sub"])
def test_claims_that_are_needed(claim: str, issuer: LocalIssuer) -> None:
    refused(issuer, issuer.token(**changed(claim, None)))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://another.example"},
        {"iss": ""},
        {"aud": "another"},
        {"aud": [AUDIENCE + "2", "another"]},
        {"aud": []},
        {"aud": ""},
        {"exp": "soon"},
        {"exp": True},
        {"sub": "x" * 256},
        {"sub": ""},
        {"sub": "user\n1"},
        {"sub": "\ud800"},
    ],
)
def test_claims_that_are_changed(claims: dict[str, Any], issuer: LocalIssuer) -> None:
    with pytest.raises((CredentialsInvalidError, CredentialsExpiredError)):
        verify(issuer, issuer.token(**claims))


@pytest.mark.parametrize("claim", [{"iss": 1}, {"sub": 1}, {"aud": 1}, {"aud": [1]}, {"exp": 1e400}, {"nbf": {}}])
def test_claims_of_a_wrong_type(claim: dict[str, Any], issuer: LocalIssuer) -> None:
    import jwt

    payload = json.dumps(issuer.claims() | claim).encode()
    token = jwt.api_jws.encode(payload, private_key("RSA"), "RS256", headers={"kid": "a"})  # type: ignore[arg-type]

    refused(issuer, token)


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["another", AUDIENCE]])
def test_audience_may_be_a_text_or_a_list(audience: Any, issuer: LocalIssuer) -> None:
    assert verify(issuer, issuer.token(aud=audience))
    assert verify(issuer, issuer.token(aud=audience), jwt_audience=f"first, {AUDIENCE}")


@pytest.mark.parametrize(
    "tenant",
    [None, "", "..", "*", "Acme", "acme\n", "a/b", "acme.", "-acme", "a" * 33, 1, True, ["acme"], {"a": "b"}, "\uff41"],
)
def test_tenant_must_be_named_by_its_claim(tenant: Any, issuer: LocalIssuer) -> None:
    assert "no claim 'tenant'" in refused(issuer, issuer.token(tenant=tenant))


def test_tenant_is_in_the_claim_that_the_deployment_names(issuer: LocalIssuer) -> None:
    name = "https://example.com/organization"
    token = issuer.token(**changed(name, "other"))

    assert verify(issuer, token, jwt_tenant_claim=name).tenant == "other"


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, []),
        ({"scope": "openid profile"}, []),
        ({"scope": "darkroom:read"}, [Scope.READ]),
        ({"scope": "darkroom/read darkroom.write"}, [Scope.READ, Scope.WRITE]),
        ({"scp": ["darkroom:admin", "other"]}, [Scope.ADMIN]),
        ({"scp": "darkroom:write", "scope": "darkroom:write"}, [Scope.WRITE]),
        ({"scope": "read write admin"}, []),
        ({"scope": "darkroom:upload darkroom:root xdarkroom:read darkroom:reader"}, []),
        ({"scope": 1, "scp": [1, None, ["darkroom:read"]]}, []),
    ],
)
def test_scopes_are_those_of_darkroom(claims: dict[str, Any], scopes: list[Scope], issuer: LocalIssuer) -> None:
    assert verify(issuer, issuer.token(**claims)).scopes == scopes


def test_token_without_scopes_of_darkroom_has_those_that_the_deployment_sets(issuer: LocalIssuer) -> None:
    for text in ("write read", "write,read", "read, write"):
        assert verify(issuer, issuer.token(), jwt_default_scopes=text).scopes == [Scope.READ, Scope.WRITE]
    token = issuer.token(scope="darkroom:read")
    assert verify(issuer, token, jwt_default_scopes="write").scopes == [Scope.READ]


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"jwt_audience": ""},
        {"jwt_audience": " , "},
        {"jwt_default_scopes": "root"},
        {"jwt_default_scopes": "upload"},
        {"jwt_issuer": "http://issuer.example"},
        {"jwt_issuer": "issuer.example"},
        {"jwt_issuer": "https://["},
    ],
)
def test_settings_that_are_not_safe_accept_nothing(changed: dict[str, str], issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError):
        verify(issuer, issuer.token(), **changed)


def test_deployment_without_issuer_accepts_no_token(issuer: LocalIssuer) -> None:
    assert "accepts no tokens" in refused(issuer, issuer.token(), jwt_issuer="")
    assert issuer.url
