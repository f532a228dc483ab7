"""What is stored about tenants, in a real S3."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from darkroom.contracts.tenants import (
    UNLIMITED,
    ApiKey,
    Quotas,
    Scope,
    Tenant,
    TenantStatus,
    UploadLimits,
    UploadLink,
)
from darkroom.errors import ConcurrentChangeError, InternalError, KeyNotActiveError
from darkroom.services import s3
from darkroom.tenants import api_keys, credentials, records
from darkroom.timestamps import utc_now

NOW_S = 1_800_000_000.0


def make_tenant(name: str = "acme") -> Tenant:
    return Tenant(name=name, status=TenantStatus.ACTIVE, created_at=utc_now())


def make_key(tenant: str = "acme") -> ApiKey:
    return api_keys.create_key(tenant, "live", name="Website", scopes=[Scope.READ], now_s=NOW_S).key


def put(key: str, document: object) -> None:
    s3.put(key, json.dumps(document).encode(), media_type="application/json")


def test_tenant_is_created_once() -> None:
    assert records.create_tenant(make_tenant())
    assert not records.create_tenant(make_tenant())
    assert records.read_tenant("acme") is not None
    assert records.read_tenant("other") is None


def test_names_of_tenants_are_listed_without_what_is_stored_beside_them() -> None:
    for name in ("b", "a-2", "a"):
        records.create_tenant(make_tenant(name))
        records.create_api_key(make_key(name))
    records.write_quotas(records.DEFAULT_QUOTAS_KEY, Quotas(queued_jobs=1))

    assert list(records.tenant_names()) == ["a-2", "a", "b"]


def test_key_is_found_only_under_its_own_tenant() -> None:
    key = make_key("acme")
    records.create_api_key(key)

    assert records.read_api_key("acme", key.key_id) == key
    assert records.read_api_key("acme", make_key("acme").key_id) is None
    assert records.read_api_key("other", key.key_id) is None
    assert records.read_api_key("other", f"../acme/keys/{key.key_id}") is None
    assert records.change_api_key("other", key.key_id, lambda key: api_keys.revoke(key, now_s=NOW_S)) is None


def test_keys_and_links_of_a_tenant_are_listed_apart() -> None:
    keys = [make_key() for _ in range(3)]
    for key in keys:
        records.create_api_key(key)
    link = UploadLink(
        link_id=credentials.new_credential_id("acme"),
        tenant="acme",
        hash="0" * 64,
        limits=UploadLimits(),
        created_at=utc_now(),
        expires_at=utc_now(),
    )
    records.create_link(link)

    assert list(records.api_key_ids("acme")) == sorted(key.key_id for key in keys)
    assert list(records.link_ids("acme")) == [link.link_id]
    assert list(records.api_key_ids("acm")) == []
    assert records.read_link("acme", link.link_id) == link


def test_change_is_stored_and_missing_records_are_none() -> None:
    key = make_key()
    records.create_api_key(key)

    changed = records.change_api_key("acme", key.key_id, lambda key: api_keys.change(key, {"name": "App"}, now_s=0))

    assert changed is not None
    assert records.read_api_key("acme", key.key_id) == changed == key.model_copy(update={"name": "App"})
    assert records.change_tenant("acme", lambda tenant: tenant) is None


def test_change_that_raises_stores_nothing() -> None:
    key = api_keys.revoke(make_key(), now_s=NOW_S)
    records.create_api_key(key)

    with pytest.raises(KeyNotActiveError):
        records.change_api_key("acme", key.key_id, lambda key: api_keys.rotate(key, "live", now_s=NOW_S).key)

    assert records.read_api_key("acme", key.key_id) == key


def test_concurrent_changes_do_not_overwrite_each_other() -> None:
    key = make_key()
    records.create_api_key(key)

    def add(number: int) -> object:
        def change(key: ApiKey) -> ApiKey:
            return key.model_copy(update={"hashes": key.hashes | {str(number): None}})

        while True:
            try:
                return records.change_api_key("acme", key.key_id, change)
            except ConcurrentChangeError:
                continue

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))

    stored = records.read_api_key("acme", key.key_id)
    assert stored is not None
    assert stored.hashes.keys() == key.hashes.keys() | set(map(str, range(8)))


def test_change_that_always_comes_second_is_given_up() -> None:
    key = make_key()
    records.create_api_key(key)

    def change(before: ApiKey) -> ApiKey:
        put(records.api_key_key("acme", key.key_id), before.model_dump(mode="json") | {"name": before.name + "!"})
        return api_keys.change(before, {"name": "App"}, now_s=0)

    with pytest.raises(ConcurrentChangeError):
        records.change_api_key("acme", key.key_id, change)


def test_object_that_was_deleted_meanwhile_is_not_written_again() -> None:
    key = make_key()
    records.create_api_key(key)
    version = s3.get_version(records.api_key_key("acme", key.key_id))
    assert version is not None
    s3.delete([records.api_key_key("acme", key.key_id)])

    assert not s3.replace(
        records.api_key_key("acme", key.key_id), b"{}", media_type="application/json", etag=version.etag
    )
    assert records.read_api_key("acme", key.key_id) is None


@pytest.mark.parametrize(
    "document", [{}, [], {"name": "acme", "status": "immortal", "created_at": "2026-11-30T00:00:00Z"}]
)
def test_document_that_is_not_valid_is_an_internal_error(document: object) -> None:
    put(records.tenant_key("acme"), document)

    with pytest.raises(InternalError, match=r"tenants/acme/tenant\.json is not valid"):
        records.read_tenant("acme")


def test_quotas_are_those_of_the_tenant_then_the_defaults_then_those_of_the_code() -> None:
    records.write_quotas(records.DEFAULT_QUOTAS_KEY, Quotas(queued_jobs=5, requests_per_s=None))
    records.write_quotas(records.quotas_key("acme"), Quotas(queued_jobs=7))

    assert records.quotas_of("acme") == Quotas(queued_jobs=7, requests_per_s=None)
    assert records.quotas_of("other") == Quotas(queued_jobs=5, requests_per_s=None)


def test_operator_has_no_quotas_but_those_of_its_own_document() -> None:
    records.write_quotas(records.DEFAULT_QUOTAS_KEY, Quotas(queued_jobs=5))
    assert records.quotas_of("default") == UNLIMITED

    records.write_quotas(records.quotas_key("default"), Quotas(queued_jobs=7))
    assert records.quotas_of("default") == UNLIMITED.model_copy(update={"queued_jobs": 7})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"queued_jobs": 0}', b'{"queued_jobs": "many"}', b'{"typo": 1}']
)
def test_quotas_that_are_not_valid_are_logged_and_ignored(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    s3.put(records.quotas_key("acme"), content, media_type="application/json")

    with caplog.at_level(logging.ERROR):
        assert records.quotas_of("acme") == Quotas()

    assert "ignored quotas that are not valid" in caplog.text
