"""What is logged about who sends a request: ids, and never credentials."""

import logging
from collections.abc import Iterator

import pytest

from api import denials
from darkroom.contracts.tenants import UNLIMITED, Principal, Scope
from darkroom.errors import CredentialsInvalidError
from darkroom.log import logger
from darkroom.tenants.context import denial, to_context
from tests.support.gateway import call

SECRET = "s3cr3tS3cr3tS3cr3t"
QUERY = f"?limit=1&X-Amz-Signature={SECRET}"
KEY = to_context(Principal(tenant="acme", scopes=[Scope.READ], credential="acme-k3y", quotas=UNLIMITED))
DENIED = denial(CredentialsInvalidError("The API key is not valid."))

pytestmark = pytest.mark.usefixtures("closed_access")


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    handler = Recorder()
    logger().addHandler(handler)
    yield handler.records
    logging.getLogger(logger().service).removeHandler(handler)


def test_request_is_logged_with_its_tenant_and_the_id_of_its_credentials(lines: list[logging.LogRecord]) -> None:
    call("GET", "/operations", authorizer=KEY)

    line = lines[-1].__dict__
    assert (line["message"], line["tenant"], line["credential"]) == ("request", "acme", "acme-k3y")


def test_refusal_for_a_missing_scope_is_logged_with_who_lacks_it(lines: list[logging.LogRecord]) -> None:
    call("POST", "/jobs", authorizer=KEY)

    assert [(line.__dict__["message"], line.__dict__["code"]) for line in lines] == [
        ("access denied", "scope_missing"),
        ("request", "scope_missing"),
    ]
    assert lines[-1].__dict__["credential"] == "acme-k3y"


def test_refusal_is_logged_once_and_counted(lines: list[logging.LogRecord], capsys: pytest.CaptureFixture[str]) -> None:
    call("GET", "/operations", authorizer=DENIED, source_ip="203.0.113.9")

    denied = [line.__dict__ for line in lines if line.message == "access denied"]
    assert [(line["code"], line["address"]) for line in denied] == [("credentials_invalid", "203.0.113.9")]
    assert '"access_denied":[1.0]' in capsys.readouterr().out.replace(" ", "")


@pytest.mark.parametrize("path", ["/operations", "/jobs/17", "/nowhere", "/", "/docs"])
@pytest.mark.parametrize("authorizer", [None, DENIED, KEY], ids=["none", "denied", "key"])
def test_no_line_has_the_credentials_or_the_query(
    path: str, authorizer: dict[str, str] | None, lines: list[logging.LogRecord], capfd: pytest.CaptureFixture[str]
) -> None:
    headers = {"authorization": f"Bearer dk_live_acme-k3y_{SECRET}", "cookie": SECRET}

    reply = call("GET", path + QUERY, authorizer=authorizer, headers=headers)

    assert lines
    assert not [line for line in lines if SECRET in str(line.__dict__)]
    assert SECRET not in "".join(capfd.readouterr())
    assert SECRET.encode() not in reply.body
    assert SECRET not in str(reply.headers)


def test_unhandled_exception_does_not_log_the_credentials(
    lines: list[logging.LogRecord], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.principals.settings", None)

    reply = call("GET", "/operations" + QUERY, authorizer=KEY, headers={"authorization": f"Bearer {SECRET}"})

    assert reply.status == 500
    assert any(line.exc_info for line in lines)
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("no address", "unknown"),
    ],
)
def test_failures_are_counted_per_address_and_per_network_of_ipv6(address: str, counted_as: str) -> None:
    assert denials._network(address) == counted_as


def test_without_redis_every_failure_is_refused_as_usual() -> None:
    statuses = [call("GET", "/operations", authorizer=DENIED).status for _ in range(denials.FAILURES_LIMIT + 2)]

    assert set(statuses) == {401}
