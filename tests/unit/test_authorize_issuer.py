"""The keys of an issuer: how often they are read, and what happens while it does not answer."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from darkroom.errors import ConfigurationError, IssuerUnavailableError
from functions.authorize import issuer as issuers
from functions.authorize.issuer import Issuer
from tests.support.issuer import DISCOVERY, JWKS, LocalIssuer, local_issuer

NOW_S = 1_800_000_000.0


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now_s: float = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[LocalIssuer]:
    with local_issuer() as server:
        server.publish()
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_keys_are_read_once_while_they_are_fresh(server: LocalIssuer, clock: Clock) -> None:
    issuer = Issuer(server.url, clock)
    for _ in range(3):
        assert issuer.keys() == server.keys
        clock.now_s += issuers.FRESH_S / 3

    assert server.requests == [DISCOVERY, JWKS]

    clock.now_s += 1
    issuer.keys()
    assert server.requests == [DISCOVERY, JWKS] * 2


def test_new_key_is_found_at_once_but_not_looked_for_all_the_time(server: LocalIssuer, clock: Clock) -> None:
    issuer = Issuer(server.url, clock)
    issuer.keys()
    server.publish("ES256", "b")
    clock.now_s += issuers.PAUSE_S

    assert [key["kid"] for key in issuer.keys_after_rotation()] == ["a", "b"]
    for _ in range(10):
        clock.now_s += issuers.PAUSE_S / 11
        issuer.keys_after_rotation()
    assert len(server.requests) == 4


def test_keys_that_were_known_are_used_for_an_hour_while_the_issuer_is_down(server: LocalIssuer, clock: Clock) -> None:
    issuer = Issuer(server.url, clock)
    known = issuer.keys()
    server.answers[DISCOVERY] = (503, {}, b"")

    clock.now_s = NOW_S + issuers.STALE_S
    assert issuer.keys() == known
    requests = len(server.requests)
    clock.now_s = NOW_S + issuers.STALE_S + 1
    with pytest.raises(IssuerUnavailableError):
        issuer.keys()
    assert len(server.requests) == requests, "an issuer that does not answer is not asked again at once"

    server.answers.clear()
    clock.now_s += issuers.PAUSE_S
    assert issuer.keys() == known


def test_issuer_that_was_never_reached_is_tried_again_after_some_seconds(server: LocalIssuer, clock: Clock) -> None:
    server.answers[DISCOVERY] = (500, {}, b"")
    issuer = Issuer(server.url, clock)
    for _ in range(5):
        with pytest.raises(IssuerUnavailableError):
            issuer.keys()
    assert server.requests == [DISCOVERY]

    server.answers.clear()
    clock.now_s += issuers.PAUSE_WITHOUT_KEYS_S
    assert issuer.keys() == server.keys


def test_issuer_that_hangs_costs_three_seconds_at_most(server: LocalIssuer) -> None:
    server.is_hanging = True
    started_s = time.monotonic()

    with pytest.raises(IssuerUnavailableError):
        Issuer(server.url).keys()

    assert time.monotonic() - started_s < issuers.LOOK_S + 0.5


def test_nobody_listens(clock: Clock) -> None:
    with pytest.raises(IssuerUnavailableError):
        Issuer("http://127.0.0.1:9", clock).keys()


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b"{}"),
        (302, {"Location": "/other"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b"[" * 100_000),
        (200, {}, b"\xff\xfe\xfd"),
        (200, {}, b"{}"),
        (200, {}, b'{"keys": [], "more": "' + b"x" * issuers.RESPONSE_MAX_BYTES + b'"}'),
        (200, {}, b'{"keys": {}}'),
    ],
)
def test_answer_that_is_no_key_set_is_not_used(
    path: str, answer: tuple[int, dict[str, str], bytes], server: LocalIssuer, clock: Clock
) -> None:
    server.answers[path] = answer

    with pytest.raises(IssuerUnavailableError):
        Issuer(server.url, clock).keys()

    assert "/other" not in server.requests


@pytest.mark.parametrize(
    "document",
    [
        '{{"issuer": "https://another.example", "jwks_uri": "{url}/keys"}}',
        '{{"issuer": "{url}/", "jwks_uri": "{url}/keys"}}',
        '{{"issuer": "{url}", "jwks_uri": "http://issuer.example/keys"}}',
        '{{"issuer": "{url}", "jwks_uri": "file:///etc/passwd"}}',
        '{{"issuer": "{url}", "jwks_uri": 1}}',
        '{{"issuer": "{url}", "jwks_uri": "http://127.0.0.1:99999/keys"}}',
        '{{"issuer": "{url}", "jwks_uri": "http://127.0.0.1/a b"}}',
        '{{"issuer": "{url}"}}',
    ],
)
def test_discovery_document_that_leads_elsewhere_is_not_used(document: str, server: LocalIssuer, clock: Clock) -> None:
    server.answers[DISCOVERY] = (200, {}, document.format(url=server.url).encode())

    with pytest.raises(IssuerUnavailableError):
        Issuer(server.url, clock).keys()

    assert JWKS not in server.requests


def test_issuer_with_a_path_and_a_slash_has_its_discovery_document_below(server: LocalIssuer, clock: Clock) -> None:
    url = f"{server.url}/realms/one/"
    document = f'{{"issuer": "{url}", "jwks_uri": "{server.url}/keys?set=1"}}'
    server.answers["/realms/one" + DISCOVERY] = (200, {}, document.encode())
    server.answers["/keys?set=1"] = (200, {}, b'{"keys": []}')

    assert Issuer(url, clock).keys() == []


@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://127.0.0.1", "https://", "127.0.0.1", ""])
def test_issuer_needs_https_unless_it_is_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Issuer(url)
