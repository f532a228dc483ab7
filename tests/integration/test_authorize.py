"""The authorizer with real documents in S3 and a real issuer: whom it lets in, and what it tells about the others.

Longer than 350 lines: keys, links and tokens are checked against the same tenants, and refused in the same way.
"""

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom.contracts.tenants import (
    UNLIMITED,
    ApiKey,
    Principal,
    Quotas,
    Scope,
    Tenant,
    TenantStatus,
    UploadLimits,
    UploadLink,
)
from darkroom.log import logger
from darkroom.services import aws, s3
from darkroom.tenants import api_keys, context, credentials, records
from darkroom.tenants.api_keys import IssuedKey
from darkroom.tenants.credentials import CredentialKind
from darkroom.timestamps import iso_utc, utc_now
from functions.authorize import tokens
from functions.authorize.app import handler
from tests.integration.conftest import BreakService
from tests.support.issuer import AUDIENCE, LocalIssuer, local_issuer

HOUR_S = 3600


@pytest.fixture(autouse=True)
def only_its_own_settings(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function has the bucket and none of the settings of Redis and RabbitMQ."""
    for name in ("CACHE_URL", "BROKER_URL", "BROKER_SECRET_ARN", "CACHE_SECRET_ARN", "FUNCTION_PREFIX"):
        monkeypatch.delenv(f"DARKROOM_{name}", raising=False)


@pytest.fixture
def acme() -> Tenant:
    return store_tenant("acme")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalIssuer]:
    with local_issuer() as server:
        server.publish()
        yield server


@pytest.fixture
def issuer(server: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> LocalIssuer:
    """An issuer that the deployment trusts."""
    monkeypatch.setenv("DARKROOM_JWT_ISSUER", server.url)
    monkeypatch.setenv("DARKROOM_JWT_AUDIENCE", AUDIENCE)
    tokens._issuer.cache_clear()
    return server


def store_tenant(name: str, status: TenantStatus = TenantStatus.ACTIVE) -> Tenant:
    tenant = Tenant(name=name, status=status, created_at=utc_now())
    records.create_tenant(tenant)
    return tenant


def store_key(tenant: str = "acme", expires_at: str | None = None) -> IssuedKey:
    issued = api_keys.create_key(
        tenant, "live", name="a", scopes=[Scope.READ, Scope.WRITE], now_s=time.time() - HOUR_S, expires_at=expires_at
    )
    records.create_api_key(issued.key)
    return issued


def store_link(expires_at: str | None = None, revoked_at: str | None = None) -> tuple[UploadLink, str]:
    link_id = credentials.new_credential_id("acme")
    text = credentials.new_credential(CredentialKind.UPLOAD_LINK, "live", link_id)
    link = UploadLink(
        link_id=link_id,
        tenant="acme",
        hash=credentials.sha256_of(text),
        limits=UploadLimits(max_bytes=1000, media_types=["image/png"]),
        created_by="acme-key",
        created_at=utc_now(),
        expires_at=expires_at or iso_utc(time.time() + HOUR_S),
        revoked_at=revoked_at,
    )
    records.create_link(link)
    return link, text


def change(key: ApiKey, **changed: Any) -> None:
    records.change_api_key(key.tenant, key.key_id, lambda key: key.model_copy(update=changed))


def answer(header: str | None) -> dict[str, Any]:
    """The context for a request with this Authorization header."""
    event = {
        "version": "2.0",
        "type": "REQUEST",
        "identitySource": [header],
        "headers": {"host": "example.com"} | ({} if header is None else {"authorization": header}),
        "requestContext": {"http": {"method": "GET", "path": "/jobs", "sourceIp": "192.0.2.1"}},
    }
    given = handler(event, None)
    assert given["isAuthorized"] is True
    assert all(isinstance(value, str) for value in given["context"].values())
    return dict(json.loads(json.dumps(given["context"])))


def principal(header: str) -> Principal:
    return context.from_context(answer(header))


def code(text: str) -> str:
    """The code with which a credential is refused."""
    return str(answer(f"Bearer {text}")["denied"])


# API keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_key_lets_its_tenant_in(scheme: str) -> None:
    issued = store_key()

    assert principal(f"{scheme} {issued.text}") == Principal(
        tenant="acme", scopes=[Scope.READ, Scope.WRITE], credential=issued.key.key_id, quotas=Quotas()
    )


@pytest.mark.usefixtures("acme")
def test_principal_has_the_quotas_of_its_tenant() -> None:
    records.write_quotas(records.DEFAULT_QUOTAS_KEY, Quotas(queued_jobs=5))
    records.write_quotas(records.quotas_key("acme"), Quotas(jobs_per_month=None))

    assert principal(f"Bearer {store_key().text}").quotas == Quotas(queued_jobs=5, jobs_per_month=None)


@pytest.mark.usefixtures("acme")
def test_quotas_that_are_not_valid_lock_nobody_out() -> None:
    s3.put(records.quotas_key("acme"), b'{"queued_jobs": -1}', media_type="application/json")

    assert principal(f"Bearer {store_key().text}").quotas == Quotas()


def test_operator_needs_no_document_of_its_own() -> None:
    found = principal(f"Bearer {store_key('default').text}")

    assert (found.tenant, found.quotas) == ("default", UNLIMITED)


@pytest.mark.usefixtures("acme")
def test_unknown_key_and_wrong_secret_are_refused_alike() -> None:
    known = store_key()
    unknown = api_keys.create_key("acme", "live", name="a", scopes=[Scope.READ], now_s=time.time())
    wrong = credentials.new_credential(CredentialKind.API_KEY, "live", known.key.key_id)
    elsewhere = credentials.new_credential(CredentialKind.API_KEY, "live", credentials.new_credential_id("nobody"))

    answers = [answer(f"Bearer {text}") for text in (unknown.text, wrong, elsewhere)]

    assert answers == [{"denied": "credentials_invalid", "reason": "The API key is not valid."}] * 3


@pytest.mark.usefixtures("acme")
def test_link_token_is_no_key_and_no_key_is_a_link_token() -> None:
    issued = store_key()
    _, token = store_link()

    assert (
        code(credentials.new_credential(CredentialKind.UPLOAD_LINK, "live", issued.key.key_id)) == "credentials_invalid"
    )
    assert (
        code(credentials.new_credential(CredentialKind.API_KEY, "live", token.split("_")[2])) == "credentials_invalid"
    )


@pytest.mark.usefixtures("acme")
def test_key_expires() -> None:
    issued = store_key(expires_at=iso_utc(time.time() + HOUR_S))
    assert principal(f"Bearer {issued.text}")

    change(issued.key, expires_at=iso_utc(time.time() - 1))
    assert code(issued.text) == "credentials_expired"


@pytest.mark.usefixtures("acme")
def test_key_is_refused_once_it_is_revoked() -> None:
    issued = store_key()

    change(issued.key, revoked_at=utc_now())

    assert code(issued.text) == "credentials_revoked"
    assert code(credentials.new_credential(CredentialKind.API_KEY, "live", issued.key.key_id)) == "credentials_invalid"


@pytest.mark.usefixtures("acme")
def test_both_texts_of_a_rotated_key_are_accepted_until_the_overlap_is_over() -> None:
    old = store_key()
    new = api_keys.rotate(old.key, "live", now_s=time.time() - HOUR_S, overlap_s=2 * HOUR_S)
    change(old.key, hashes=new.key.hashes)
    assert principal(f"Bearer {old.text}") == principal(f"Bearer {new.text}")

    over = api_keys.rotate(old.key, "live", now_s=time.time() - HOUR_S, overlap_s=HOUR_S)
    change(old.key, hashes=over.key.hashes)
    assert code(old.text) == "credentials_revoked"
    assert principal(f"Bearer {over.text}")


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (TenantStatus.SUSPENDED, "tenant_suspended"),
        (TenantStatus.DELETING, "tenant_suspended"),
        (TenantStatus.DELETED, "credentials_invalid"),
        (None, "credentials_invalid"),
    ],
)
def test_key_of_a_tenant_that_is_not_active_is_refused(status: TenantStatus | None, refusal: str) -> None:
    if status is not None:
        store_tenant("acme", status)
    issued = store_key()

    assert code(issued.text) == refusal
    wrong = credentials.new_credential(CredentialKind.API_KEY, "live", issued.key.key_id)
    assert code(wrong) == "credentials_invalid", "what is wrong with a tenant is for its own keys"


@pytest.mark.usefixtures("acme")
def test_document_of_a_key_that_is_not_valid_lets_nobody_in() -> None:
    issued = store_key()
    s3.put(records.api_key_key("acme", issued.key.key_id), b"{}", media_type="application/json")

    assert answer(f"Bearer {issued.text}") == {"denied": "internal_error", "reason": "An internal error occurred."}


def test_malformed_key_costs_no_request(break_service: BreakService) -> None:
    good = api_keys.create_key("acme", "live", name="a", scopes=[Scope.READ], now_s=time.time()).text
    foreign = api_keys.create_key("acme", "test", name="a", scopes=[Scope.READ], now_s=time.time()).text
    break_service("storage")

    assert code(good) == "storage_unavailable"
    for text in (good[:-1], good + "x", good.swapcase(), foreign, "dk_", "dk_live_..-aaaaaaaaaaaa_" + "x" * 40):
        assert code(text) == "credentials_invalid"


# Headers --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    "header",
    [
        "{key}",
        "Bearer",
        "Bearer ",
        "Basic {key}",
        "Bearer{key}",
        "Bearer {key} {key}",
        "Bearer {key},Bearer {key}",
        "Bearer {key}, Bearer {key}",
        "Basic YTpi,Bearer {key}",
        "Bearer\t{key}",
        "Bearer {key}\n",
        "Bearer \u00e9",
        "Bearer " + "x" * 9000,
        ",",
    ],
)
def test_other_headers_are_refused(header: str) -> None:
    assert answer(header.format(key=store_key().text))["denied"] == "credentials_invalid"


@pytest.mark.parametrize("header", [None, ""])
def test_request_without_credentials_is_told_so(header: str | None) -> None:
    assert answer(header)["denied"] == "credentials_missing"


# Upload links ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("acme")
def test_upload_link_lets_uploads_in_within_its_limits() -> None:
    link, token = store_link()

    assert principal(f"Bearer {token}") == Principal(
        tenant="acme", scopes=[Scope.UPLOAD], credential=link.link_id, quotas=Quotas(), limits=link.limits
    )


@pytest.mark.usefixtures("acme")
def test_upload_link_ends() -> None:
    _, expired = store_link(expires_at=iso_utc(time.time() - 1))
    _, revoked = store_link(revoked_at=utc_now())
    link, _ = store_link()

    assert code(expired) == "credentials_expired"
    assert code(revoked) == "credentials_revoked"
    assert code(credentials.new_credential(CredentialKind.UPLOAD_LINK, "live", link.link_id)) == "credentials_invalid"


# Tokens ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("acme")
def test_token_lets_its_tenant_in(issuer: LocalIssuer) -> None:
    found = principal(f"Bearer {issuer.token(scope='darkroom:read')}")

    assert found == Principal(tenant="acme", scopes=[Scope.READ], credential="user-1", quotas=Quotas())


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(TenantStatus.SUSPENDED, "tenant_suspended"), (TenantStatus.DELETED, "credentials_invalid")],
)
def test_tenant_of_a_token_must_exist_and_be_active(status: TenantStatus, refusal: str, issuer: LocalIssuer) -> None:
    store_tenant("gone", status)

    assert code(issuer.token(tenant="gone")) == refusal
    assert code(issuer.token(tenant="nobody")) == "credentials_invalid"


@pytest.mark.usefixtures("acme")
def test_token_that_is_not_valid_is_refused(issuer: LocalIssuer) -> None:
    assert code(issuer.token(name="another")) == "credentials_invalid"
    assert code(issuer.token(exp=int(time.time()) - 120)) == "credentials_expired"


@pytest.mark.usefixtures("acme")
def test_token_cannot_be_checked_while_its_issuer_is_down(issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_JWT_ISSUER", "http://127.0.0.1:9")

    assert code(issuer.token()) == "issuer_unavailable"
    assert principal(f"Bearer {store_key().text}"), "keys do not need the issuer"


def test_settings_that_are_not_valid_let_nobody_in(issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_JWT_AUDIENCE", "")
    assert code(issuer.token()) == "configuration"

    monkeypatch.setenv("DARKROOM_BUCKET", "")
    assert code(store_free_key()) == "configuration"


def store_free_key() -> str:
    return api_keys.create_key("acme", "live", name="a", scopes=[Scope.READ], now_s=time.time()).text


# Logs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log, as it is written to standard output."""
    written = io.StringIO()
    copier = logging.StreamHandler(written)
    copier.setFormatter(logger().registered_formatter)
    logger().addHandler(copier)
    yield written
    logging.getLogger(logger().service).removeHandler(copier)


def test_each_decision_is_one_line_that_names_the_credential_and_never_has_it(
    issuer: LocalIssuer, log: io.StringIO
) -> None:
    store_tenant("acme")
    issued = store_key()
    _, link_token = store_link()
    texts = [issued.text, link_token, issuer.token(), issuer.token(name="another"), issued.text[:-1], "a,b"]
    texts.append(credentials.new_credential(CredentialKind.API_KEY, "live", issued.key.key_id))

    for text in texts:
        answer(f"Bearer {text}")

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["allowed"] * 3 + ["denied"] * 4
    assert lines[0]["tenant"] == "acme"
    assert lines[0]["credential"] == lines[6]["credential"] == issued.key.key_id
    assert "credential" not in lines[4], "the credential of an earlier request"
    assert lines[4]["address"] == "192.0.2.1"
    for text in texts[:5]:
        secret = text.rpartition("_")[2] if text.startswith("d") else text.rpartition(".")[2]
        assert secret not in log.getvalue()


def test_check_of_a_key_reads_four_documents_and_no_more() -> None:
    store_tenant("acme")
    issued = store_key()
    requests: list[str] = []
    aws.client("s3").meta.events.register("before-call.s3", lambda params, **_: requests.append(params["url_path"]))

    assert principal(f"Bearer {issued.text}")

    assert len(requests) == 4
