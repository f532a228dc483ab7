"""The routes for API keys: what an admin can do with those of its tenant, and what nobody learns about them."""

import time
from typing import Any

import pytest

from api import key_uses as noting
from api.routers import keys as routes
from darkroom.config import settings
from darkroom.contracts.tenants import Scope
from darkroom.errors import AccessError
from darkroom.services import s3
from darkroom.tenants import credentials, records
from darkroom.timestamps import epoch_ms, iso_utc
from functions.authorize import stored
from tests.integration.tenant_routes import code_of
from tests.support.gateway import Reply, acting_as, call

UNKNOWN = "acme-aaaaaaaaaaaa"


@pytest.fixture(autouse=True)
def tenants() -> None:
    for name in ("acme", "acme-2"):
        assert call("POST", "/tenants", json_body={"name": name}).status == 201
    noting._noted.cache_clear()


def create(tenant: str = "acme", /, **more: Any) -> Reply:
    return call("POST", f"/tenants/{tenant}/keys", json_body={"name": "web shop", "scopes": ["read"], **more})


def new_key(**more: Any) -> Any:
    """A new key of the tenant acme."""
    reply = create(**more)
    assert reply.status == 201, reply.body
    return reply.json


def is_accepted(text: str, after_s: float = 0) -> bool:
    """Whether the authorizer accepts a key, `after_s` from now."""
    credential = credentials.parse(text, settings().key_environment)
    try:
        return stored.principal_of(credential, time.time() + after_s).credential == credential.id
    except AccessError:
        return False


def test_new_key_is_shown_once_and_accepted() -> None:
    reply = create(scopes=["write", "read"])
    key = reply.json

    assert (reply.status, reply.headers["cache-control"]) == (201, "no-store")
    assert reply.headers["location"] == f"/tenants/acme/keys/{key['key_id']}"
    assert is_accepted(key["key"])
    assert key["key_id"].startswith("acme-")
    assert key["key"].startswith(f"dk_{settings().key_environment}_{key['key_id']}_")
    assert key["scopes"] == ["read", "write"]
    assert (key["state"], key["expires_at"], key["last_used_at"]) == ("active", None, None)
    assert call("GET", reply.headers["location"]).json == {name: key[name] for name in key if name != "key"}


def test_secret_and_hash_of_a_key_are_in_no_other_response_and_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    key = new_key()
    path = f"/tenants/acme/keys/{key['key_id']}"
    rotated = call("POST", f"{path}/rotate").json
    replies = [call("GET", path), call("GET", "/tenants/acme/keys"), call("PATCH", path, json_body={"name": "x"})]
    replies += [call("DELETE", path), call("POST", f"{path}/rotate")]

    logged = "".join(str(vars(record)) for record in caplog.records)
    assert key["key_id"] in logged
    shown = b"".join(reply.body for reply in replies).decode() + logged
    for text in (key["key"], rotated["key"]):
        assert text[-40:] not in shown
        assert credentials.sha256_of(text) not in shown
        assert text[-40:] not in "".join(str(s3.get(name)) for name in s3.keys_after("tenants/"))


@pytest.mark.parametrize("scopes", [["admin"], ["read", "write", "admin"]])
def test_admin_can_give_every_scope(scopes: list[str]) -> None:
    with acting_as("acme", Scope.ADMIN):
        assert new_key(scopes=scopes)["scopes"] == sorted(scopes)


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "a" * 81},
        {"name": "two\nlines"},
        {"name": "\u202eevil"},
        {"name": " padded"},
        {"name": None},
        {"scopes": []},
        {"scopes": ["upload"]},
        {"scopes": ["everything"]},
        {"scopes": "read"},
        {"scopes": ["read"] * 4},
        {"expires_at": "tomorrow"},
        {"expires_at": "2999-01-01T00:00:00"},
        {"expires_at": 1},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"tenant": "acme-2"},
        {"key_id": UNKNOWN},
    ],
)
def test_bad_key_is_refused(bad: dict[str, Any]) -> None:
    assert code_of(create(**bad)) == (422, "invalid_request")
    assert list(records.api_key_ids("acme")) == []


@pytest.mark.parametrize("name", ["a", "ключ", "shop (blue) #1", "a" * 80])
def test_key_can_have_any_printable_name(name: str) -> None:
    assert new_key(name=name)["name"] == name


def test_idempotency_key_is_refused_where_a_secret_is_shown() -> None:
    key = new_key()
    headers = {"Idempotency-Key": "once"}
    body = {"name": "web shop", "scopes": ["read"]}

    assert code_of(call("POST", "/tenants/acme/keys", json_body=body, headers=headers)) == (422, "invalid_request")
    rotated = call("POST", f"/tenants/acme/keys/{key['key_id']}/rotate", headers=headers)
    assert code_of(rotated) == (422, "invalid_request")
    assert list(records.api_key_ids("acme")) == [key["key_id"]]
    assert is_accepted(key["key"])


def test_number_of_keys_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_KEYS", 2)
    new_key()
    new_key()

    assert code_of(create()) == (409, "too_many_keys")
    assert create("acme-2").status == 201


def test_keys_are_listed_in_pages() -> None:
    made = {new_key()["key_id"] for _ in range(3)}
    create("acme-2")

    found, path = [], "/tenants/acme/keys?limit=2"
    while path:
        page = call("GET", path).json
        found += [key["key_id"] for key in page["keys"]]
        path = page["next"]

    assert found == sorted(made)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", f"after={'a' * 65}"])
def test_bad_page_is_refused(query: str) -> None:
    assert code_of(call("GET", f"/tenants/acme/keys?{query}")) == (422, "invalid_request")


def test_state_of_a_key_is_shown() -> None:
    soon = new_key(expires_at=iso_utc(time.time() + 0.3))
    revoked = new_key()
    call("DELETE", f"/tenants/acme/keys/{revoked['key_id']}")
    time.sleep(0.4)

    states = {key["key_id"]: key["state"] for key in call("GET", "/tenants/acme/keys").json["keys"]}

    assert states == {soon["key_id"]: "expired", revoked["key_id"]: "revoked"}


def test_changed_key_keeps_everything_else() -> None:
    key = new_key()
    path = f"/tenants/acme/keys/{key['key_id']}"

    renamed = call("PATCH", path, json_body={"name": "till"})
    limited = call("PATCH", path, json_body={"expires_at": "2999-01-01T00:00:00Z"})
    unlimited = call("PATCH", path, json_body={"expires_at": None})

    assert (renamed.status, renamed.json["name"], renamed.json["scopes"]) == (200, "till", ["read"])
    assert (limited.json["expires_at"], limited.json["name"]) == ("2999-01-01T00:00:00Z", "till")
    assert unlimited.json["expires_at"] is None
    assert is_accepted(key["key"])


@pytest.mark.parametrize(
    "bad", [{"name": None}, {"name": ""}, {"scopes": ["admin"]}, {"expires_at": "2020-01-01T00:00:00Z"}]
)
def test_bad_change_is_refused(bad: dict[str, Any]) -> None:
    key = new_key()
    path = f"/tenants/acme/keys/{key['key_id']}"

    assert code_of(call("PATCH", path, json_body=bad)) == (422, "invalid_request")
    assert call("GET", path).json == {name: key[name] for name in key if name != "key"}


def test_rotated_key_is_accepted_with_both_secrets_until_the_overlap_ends() -> None:
    key = new_key()

    rotated = call("POST", f"/tenants/acme/keys/{key['key_id']}/rotate", json_body={"overlap_s": 600})

    assert rotated.status == 200
    assert rotated.headers["cache-control"] == "no-store"
    assert rotated.json["key_id"] == key["key_id"]
    assert rotated.json["key"] != key["key"]
    assert [is_accepted(text) for text in (key["key"], rotated.json["key"])] == [True, True]
    assert [is_accepted(text, 601) for text in (key["key"], rotated.json["key"])] == [False, True]
    assert epoch_ms(rotated.json["replaced_until"]) / 1000 == pytest.approx(time.time() + 600, abs=5)


def test_overlap_of_a_rotation_is_a_day_unless_it_is_given() -> None:
    key = new_key()

    call("POST", f"/tenants/acme/keys/{key['key_id']}/rotate")

    assert (is_accepted(key["key"], 86_000), is_accepted(key["key"], 86_500)) == (True, False)


def test_old_secret_is_refused_at_once_without_overlap() -> None:
    key = new_key()

    rotated = call("POST", f"/tenants/acme/keys/{key['key_id']}/rotate", json_body={"overlap_s": 0})

    assert not is_accepted(key["key"])
    assert is_accepted(rotated.json["key"])
    assert rotated.json["replaced_until"] is None


@pytest.mark.parametrize("overlap_s", [-1, 30 * 86_400 + 1, "60", None, 1.5])
def test_bad_overlap_is_refused(overlap_s: Any) -> None:
    key = new_key()

    reply = call("POST", f"/tenants/acme/keys/{key['key_id']}/rotate", json_body={"overlap_s": overlap_s})

    assert code_of(reply) == (422, "invalid_request")


def test_revoked_key_stays_revoked() -> None:
    key = new_key()
    path = f"/tenants/acme/keys/{key['key_id']}"

    first, second = call("DELETE", path), call("DELETE", path)

    assert (first.status, first.json["state"]) == (200, "revoked")
    assert first.json["revoked_at"] == second.json["revoked_at"]
    assert not is_accepted(key["key"])
    assert code_of(call("POST", f"{path}/rotate")) == (409, "key_not_active")
    assert code_of(call("PATCH", path, json_body={"expires_at": None})) == (409, "key_not_active")


def test_last_admin_key_can_be_revoked() -> None:
    key = create("default", scopes=["admin"]).json

    assert call("DELETE", f"/tenants/default/keys/{key['key_id']}").json["state"] == "revoked"


@pytest.mark.parametrize("key_id", [UNKNOWN, "acme", "acme-2-aaaaaaaaaaaa", "..", "*", "a" * 200, "acme-AAAAAAAAAAAA"])
def test_unknown_key_is_not_found(key_id: str) -> None:
    path = f"/tenants/acme/keys/{key_id}"

    for method, target, body in [
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("POST", f"{path}/rotate", None),
        ("DELETE", path, None),
    ]:
        assert code_of(call(method, target, json_body=body)) == (404, "key_not_found")


def test_key_is_not_found_under_another_tenant() -> None:
    theirs = create("acme-2").json["key_id"]

    with acting_as("acme", Scope.ADMIN):
        under_own_name = call("GET", f"/tenants/acme/keys/{theirs}")
        under_theirs = call("DELETE", f"/tenants/acme-2/keys/{theirs}")

    assert code_of(under_own_name) == (404, "key_not_found")
    assert code_of(under_theirs) == (404, "tenant_not_found")
    assert call("GET", f"/tenants/acme-2/keys/{theirs}").json["state"] == "active"


def test_admin_of_another_tenant_manages_the_keys_of_its_own() -> None:
    with acting_as("acme", Scope.ADMIN):
        key = new_key()
        path = f"/tenants/acme/keys/{key['key_id']}"
        replies = [
            call("GET", "/tenants/acme/keys"),
            call("GET", path),
            call("PATCH", path, json_body={"name": "till"}),
            call("POST", f"{path}/rotate"),
            call("DELETE", path),
        ]

    assert [reply.status for reply in replies] == [200] * 5


def test_every_change_is_in_the_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    with acting_as("acme", Scope.ADMIN):
        key_id = new_key()["key_id"]
        path = f"/tenants/acme/keys/{key_id}"
        call("PATCH", path, json_body={"name": "till"})
        call("POST", f"{path}/rotate")
        call("DELETE", path)

    lines = [vars(record) for record in caplog.records if record.message == "audit" and hasattr(record, "key_id")]
    assert [line["action"] for line in lines] == ["key created", "key changed", "key rotated", "key revoked"]
    assert {(line["tenant"], line["key_id"], line["by"]) for line in lines} == {("acme", key_id, "acme-key")}
