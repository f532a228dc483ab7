"""When an API key was last used: noted by the API, saved by sweep, shown to admins."""

import json
import time

import pytest

from api import key_uses as noting
from darkroom.contracts.tenants import Principal, Quotas, Scope
from darkroom.services import s3
from darkroom.services.redis import keys as redis_keys
from darkroom.services.redis.client import redis_client
from darkroom.tenants import key_uses
from darkroom.tenants.context import to_context
from darkroom.timestamps import epoch_ms
from functions.sweep import key_uses as saving
from tests.integration.conftest import BreakService
from tests.integration.sweeping import sweep
from tests.support.gateway import acting_as, call

UNKNOWN = "acme-aaaaaaaaaaaa"


@pytest.fixture(autouse=True)
def tenant() -> None:
    assert call("POST", "/tenants", json_body={"name": "acme"}).status == 201
    noting._noted.cache_clear()


def new_key() -> str:
    """The id of a new key."""
    reply = call("POST", "/tenants/acme/keys", json_body={"name": "web shop", "scopes": ["read"]})
    return str(reply.json["key_id"])


def use(key_id: str, tenant: str = "acme") -> None:
    """A request with a key."""
    principal = Principal(tenant=tenant, scopes=[Scope.READ], credential=key_id, quotas=Quotas())
    with acting_as(tenant):
        assert call("GET", "/operations", authorizer=to_context(principal)).status == 200


def last_use_of(key_id: str) -> str | None:
    found: str | None = call("GET", f"/tenants/acme/keys/{key_id}").json["last_used_at"]
    return found


def test_last_use_of_a_key_is_shown() -> None:
    used, unused = new_key(), new_key()

    use(used)

    shown = last_use_of(used)
    assert shown is not None
    assert epoch_ms(shown) / 1000 == pytest.approx(time.time(), abs=5)
    assert last_use_of(unused) is None
    listed = {key["key_id"]: key["last_used_at"] for key in call("GET", "/tenants/acme/keys").json["keys"]}
    assert listed == {used: shown, unused: None}
    assert 0 < redis_client().ttl(redis_keys.key_uses_of("acme")) <= redis_keys.KEY_USES_TTL_S


def test_use_of_a_key_is_noted_once_a_minute() -> None:
    key_id = new_key()
    use(key_id)
    redis_client().delete(redis_keys.key_uses_of("acme"))

    use(key_id)
    assert last_use_of(key_id) is None, "it was noted again at once"

    noting._noted()[key_id] -= noting.NOTED_EVERY_S
    use(key_id)
    assert last_use_of(key_id) is not None


def test_last_use_survives_the_loss_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    key_id = new_key()
    use(key_id)
    shown = last_use_of(key_id)
    assert sweep()["key_uses_saved"] == 0, "it was saved at once"
    monkeypatch.setattr(saving, "SAVED_AFTER_S", -1)

    assert sweep()["key_uses_saved"] == 1
    assert sweep()["key_uses_saved"] == 0

    redis_client().flushdb()
    assert last_use_of(key_id) == shown


def test_older_use_does_not_replace_a_newer_one() -> None:
    s3.put("tenants/acme/key-uses.json", f'{{"{UNKNOWN}": 10000000000}}'.encode(), media_type="application/json")
    use(UNKNOWN)

    key_uses.save("acme")

    assert json.loads(s3.get("tenants/acme/key-uses.json") or b"") == {UNKNOWN: 10_000_000_000}


def test_keys_are_listed_and_used_without_redis(break_service: BreakService) -> None:
    key_id = new_key()
    use(key_id)
    key_uses.save("acme")
    shown = last_use_of(key_id)
    noting._noted.cache_clear()

    break_service("cache")

    use(key_id)
    assert last_use_of(key_id) == shown is not None


def test_uses_that_cannot_be_read_are_not_in_the_way() -> None:
    key_id = new_key()
    s3.put("tenants/acme/key-uses.json", b"[]", media_type="application/json")

    assert last_use_of(key_id) is None
