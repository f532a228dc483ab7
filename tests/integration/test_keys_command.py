"""The command that makes the first key of a deployment, on the deployed stack and its bucket."""

import os
import uuid
from collections.abc import Iterator

import pytest

from darkroom import config
from darkroom.contracts.tenants import Principal, Scope, Tenant, TenantStatus
from darkroom.errors import CredentialsRevokedError
from darkroom.tenants import credentials, records
from darkroom.tenants.context import from_context
from darkroom.timestamps import utc_now
from functions.authorize.app import handler as authorize
from localstack.errors import StackError
from localstack.settings import ACCOUNT, KEY_ENVIRONMENT, REGION, load
from tests.integration.conftest import forget_clients
from tools import key_records, keys

STACK = load().stack


@pytest.fixture(autouse=True)
def bucket_of_the_stack(clean: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command changes the environment, which is that of these tests."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, os.environ[name])
    monkeypatch.setenv("DARKROOM_BUCKET", f"{STACK}-{ACCOUNT}-{REGION}")
    monkeypatch.setenv("DARKROOM_KEY_ENVIRONMENT", KEY_ENVIRONMENT)
    forget_clients()
    yield
    forget_clients()


@pytest.fixture
def tenant() -> str:
    """A tenant that exists in the bucket of the stack."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    records.create_tenant(Tenant(name=name, status=TenantStatus.ACTIVE, created_at=utc_now()))
    return name


def principal_of(key: str) -> Principal:
    """Whom the authorizer finds in a request with this key. Raises the AccessError for which it denies it."""
    answer = authorize({"version": "2.0", "headers": {"authorization": f"Bearer {key}"}}, None)
    return from_context(answer["context"])


def test_first_key_is_printed_once_and_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    status = keys.main(["--stack", STACK, "create", "--tenant", "default", "--scope", "admin", "--name", "first"])
    (key,) = capsys.readouterr().out.split()

    principal = principal_of(key)
    stored = records.read_api_key("default", credentials.parse(key, KEY_ENVIRONMENT).id)

    assert status == 0
    assert (principal.tenant, principal.scopes) == ("default", [Scope.ADMIN])
    assert principal.is_operator
    assert stored is not None
    assert (stored.name, key in stored.model_dump_json()) == ("first", False)


def test_key_of_another_tenant_has_the_scopes_that_were_asked_for(tenant: str) -> None:
    principal = principal_of(key_records.create(STACK, tenant, ["write", "read"], "laptop"))

    assert (principal.tenant, principal.scopes) == (tenant, [Scope.READ, Scope.WRITE])


@pytest.mark.parametrize("by", ["id", "text"])
def test_revoked_key_is_refused(tenant: str, by: str) -> None:
    key = key_records.create(STACK, tenant, ["read"], "lost")

    key_records.revoke(STACK, credentials.parse(key, KEY_ENVIRONMENT).id if by == "id" else key)

    with pytest.raises(CredentialsRevokedError):
        principal_of(key)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nobody", "There is no tenant 'nobody'"), ("..", "no name of a tenant"), ("a/b", "no name"), ("*", "no name")],
)
def test_tenant_that_does_not_exist_gets_no_key(name: str, reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        key_records.create(STACK, name, ["admin"], "first")


def test_suspended_tenant_gets_no_key(tenant: str) -> None:
    records.change_tenant(tenant, lambda found: found.model_copy(update={"status": TenantStatus.SUSPENDED}))

    with pytest.raises(StackError, match="is suspended"):
        key_records.create(STACK, tenant, ["read"], "late")


def test_stack_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status = keys.main(["--stack", "other", "create", "--scope", "admin", "--name", "first"])
    printed = capsys.readouterr()

    assert (status, printed.out) == (1, "")
    assert printed.err.startswith(f"There is no stack other in {REGION}")


def test_stack_whose_bucket_was_deleted_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = config.AuthorizerSettings(bucket=f"gone-{uuid.uuid4().hex[:8]}")
    monkeypatch.setattr(key_records, "_deployed_settings", lambda *_: deployed)

    with pytest.raises(StackError, match=f"The bucket {deployed.bucket} does not exist"):
        key_records.create(STACK, "default", ["admin"], "first")


@pytest.mark.parametrize("key", ["default-aaaaaaaaaaaa", "nonsense", ""])
def test_key_that_does_not_exist_cannot_be_revoked(key: str) -> None:
    with pytest.raises(StackError, match="has no key"):
        key_records.revoke(STACK, key)
