"""Requests with invalid credentials are counted per address, and those with valid ones are never slowed."""

import pytest

from api.denials import FAILURES_LIMIT
from darkroom import config
from darkroom.contracts.tenants import Principal, Quotas, Scope
from darkroom.errors import (
    AccessError,
    CredentialsExpiredError,
    CredentialsInvalidError,
    CredentialsMissingError,
    CredentialsRevokedError,
    TenantSuspendedError,
)
from darkroom.services.redis import keys
from darkroom.services.redis.client import redis_client
from darkroom.tenants.context import denial, to_context
from tests.integration.conftest import BreakService
from tests.support.gateway import Reply, call

HERE, ELSEWHERE = "198.51.100.7", "198.51.100.8"
VALID = to_context(Principal(tenant="acme", scopes=[Scope.READ], credential="acme-k3y", quotas=Quotas()))


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ACCESS", "closed")
    config.settings.cache_clear()


def fail(error: AccessError | None = None, address: str = HERE) -> Reply:
    return call("GET", "/operations", authorizer=denial(error or CredentialsInvalidError()), source_ip=address)


def exhaust(address: str = HERE) -> None:
    assert [fail(address=address).status for _ in range(FAILURES_LIMIT)] == [401] * FAILURES_LIMIT


def test_address_that_fails_too_often_gets_429_until_the_minute_is_over() -> None:
    exhaust()

    reply = fail()

    assert (reply.status, reply.json["code"]) == (429, "too_many_failures")
    assert 0 < int(reply.headers["retry-after"]) <= keys.FAILURES_TTL_S
    assert 0 < redis_client().ttl(keys.failures_of(HERE)) <= keys.FAILURES_TTL_S
    redis_client().pexpire(keys.failures_of(HERE), 0)
    assert fail().status == 401


def test_valid_credentials_from_the_same_address_are_accepted() -> None:
    exhaust()
    assert fail().status == 429

    assert call("GET", "/operations", authorizer=VALID, source_ip=HERE).status == 200


def test_other_addresses_are_not_affected() -> None:
    exhaust()

    assert fail(address=ELSEWHERE).status == 401


def test_all_addresses_of_a_network_of_ipv6_count_together() -> None:
    exhaust("2001:db8::1")

    assert fail(address="2001:db8::2").status == 429
    assert fail(address="2001:db8:0:1::2").status == 401


def test_forwarded_address_that_a_client_names_is_ignored() -> None:
    exhaust()

    reply = call(
        "GET",
        "/operations",
        authorizer=denial(CredentialsInvalidError()),
        source_ip=HERE,
        headers={"x-forwarded-for": ELSEWHERE},
    )

    assert reply.status == 429


@pytest.mark.parametrize("error", [CredentialsExpiredError(), CredentialsRevokedError(), CredentialsInvalidError()])
def test_credentials_that_may_be_guesses_are_counted(error: AccessError) -> None:
    fail(error)

    assert redis_client().get(keys.failures_of(HERE)) == "1"


@pytest.mark.parametrize("error", [CredentialsMissingError(), TenantSuspendedError()])
def test_what_is_no_guess_is_not_counted(error: AccessError) -> None:
    fail(error)
    call("POST", "/jobs", authorizer=VALID, source_ip=HERE)  # without the scope

    assert not redis_client().exists(keys.failures_of(HERE))


def test_nothing_is_counted_while_redis_is_down(break_service: BreakService) -> None:
    break_service("cache")

    assert {fail().status for _ in range(FAILURES_LIMIT + 1)} == {401}
