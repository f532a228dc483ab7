"""The routes for tenants: what the operator can do, and what everybody else cannot."""

import json
import threading
from typing import Any

import pytest

from darkroom.contracts.tenants import OPERATOR_TENANT, Quotas, Scope, Tenant, TenantStatus
from darkroom.services import s3
from darkroom.tenants import deletions, records
from darkroom.timestamps import utc_now
from tests.integration.tenant_routes import OPERATOR_ROUTES, code_of, create
from tests.support.gateway import acting_as, call

#: Names that no tenant can have.
BAD_NAMES = ["", "..", "*", "Acme", "a/b", "a.b", "a_b", "-a", "a-", "a" * 33, "ä", "a b", "a\n", "²"]


def test_new_tenant_is_active_and_has_the_default_quotas() -> None:
    reply = create(title="ACME Corporation")

    assert (reply.status, reply.headers["location"]) == (201, "/tenants/acme")
    assert reply.json == call("GET", "/tenants/acme").json
    assert reply.json["status"] == "active"
    assert reply.json["title"] == "ACME Corporation"
    assert reply.json["quotas"] == Quotas().model_dump()
    assert reply.json["overridden"] == []
    assert reply.json["quotas_problem"] is None
    stored = records.read_tenant("acme")
    assert stored is not None
    assert stored.created_at == reply.json["created_at"]


def test_new_tenant_can_have_other_quotas() -> None:
    reply = create(quotas={"requests_per_s": 7, "jobs_per_month": None})

    assert reply.json["overridden"] == ["jobs_per_month", "requests_per_s"]
    assert reply.json["quotas"] == Quotas().model_dump() | {"requests_per_s": 7, "jobs_per_month": None}
    assert records.quotas_of("acme").requests_per_s == 7


def test_name_is_given_once() -> None:
    create(quotas={"requests_per_s": 7})

    assert code_of(create()) == (409, "tenant_exists")
    assert code_of(create(OPERATOR_TENANT)) == (409, "tenant_exists")
    assert call("GET", "/tenants/acme").json["overridden"] == ["requests_per_s"], "the second request changed it"


def test_of_requests_for_the_same_name_at_the_same_time_one_is_carried_out() -> None:
    call("GET", "/tenants/acme")  # makes the clients, which is not what is tested here
    barrier = threading.Barrier(4)
    statuses: list[int] = []

    def send() -> None:
        tenant = Tenant(name="acme", status=TenantStatus.ACTIVE, created_at=utc_now())
        barrier.wait()
        statuses.append(201 if records.create_tenant(tenant) else 409)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [201, 409, 409, 409]


def test_quotas_of_a_request_that_was_interrupted_are_not_those_of_the_tenant() -> None:
    records.write_quotas(records.quotas_key("acme"), Quotas(requests_per_s=1))

    assert create().json["overridden"] == []


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name_is_refused(name: str) -> None:
    reply = create(name)

    assert code_of(reply) == (422, "invalid_request")
    assert [field["field"] for field in reply.json["errors"]] == ["name"]
    assert not list(s3.keys_after("tenants/"))


def test_reserved_name_is_refused() -> None:
    assert code_of(create("idempotency")) == (422, "invalid_request")


@pytest.mark.parametrize("name", ["a", "0", "a--b", "a" * 32, "quotas", "deletions"])
def test_unusual_name_is_accepted(name: str) -> None:
    assert create(name).status == 201
    assert call("GET", f"/tenants/{name}").json["name"] == name


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name and name.isascii()])
def test_tenant_with_a_bad_name_does_not_exist(name: str) -> None:
    for method, path, body in [("GET", "/tenants/{}", None), ("GET", "/tenants/{}/keys", None), *OPERATOR_ROUTES]:
        reply = call(method, path.format(name), json_body=body)
        assert reply.json["code"] in ("tenant_not_found", "not_found", "method_not_allowed"), (method, path)
    assert not list(s3.keys_after("open/deletions/"))


@pytest.mark.parametrize(
    "quotas",
    [
        {"requests_per_s": -1},
        {"requests_per_s": 0},
        {"requests_per_s": "7"},
        {"requests_per_s": 7.5},
        {"requests_per_s": True},
        {"requests_per_s": 10**16},
        {"requests_per_minute": 7},
        ["requests_per_s"],
        "unlimited",
        None,
    ],
)
def test_quotas_that_are_not_valid_are_refused(quotas: Any) -> None:
    create(quotas={"requests_per_s": 7})

    assert code_of(call("PUT", "/tenants/acme/quotas", body=json.dumps(quotas).encode(), headers=JSON)) == (
        422,
        "invalid_request",
    )
    assert code_of(create("beta", quotas=quotas)) == (422, "invalid_request")
    assert call("GET", "/tenants/acme").json["overridden"] == ["requests_per_s"]
    assert call("GET", "/tenants/beta").status == 404


JSON = {"content-type": "application/json"}


def test_quotas_are_replaced_as_a_whole() -> None:
    create(quotas={"requests_per_s": 7})

    reply = call("PUT", "/tenants/acme/quotas", json_body={"queued_jobs": 9, "upload_bytes": None})

    assert reply.status == 200
    assert reply.json == call("GET", "/tenants/acme").json
    assert reply.json["overridden"] == ["queued_jobs", "upload_bytes"]
    assert (reply.json["quotas"]["queued_jobs"], reply.json["quotas"]["requests_per_s"]) == (9, 50)
    assert call("PUT", "/tenants/acme/quotas", json_body={}).json["overridden"] == []


def test_defaults_of_all_tenants_are_shown() -> None:
    create(quotas={"queued_jobs": 9})
    records.write_quotas(records.DEFAULT_QUOTAS_KEY, Quotas(queued_jobs=1, requests_per_s=3))

    reply = call("GET", "/tenants/acme")

    assert (reply.json["quotas"]["queued_jobs"], reply.json["quotas"]["requests_per_s"]) == (9, 3)
    assert reply.json["overridden"] == ["queued_jobs"]


def test_document_of_quotas_that_is_not_valid_is_shown_as_a_problem() -> None:
    create()
    s3.put("tenants/acme/quotas.json", b'{"requests_per_s": -1}', media_type="application/json")

    reply = call("GET", "/tenants/acme")

    assert reply.status == 200
    assert reply.json["quotas"] == Quotas().model_dump()
    assert "tenants/acme/quotas.json" in reply.json["quotas_problem"]
    assert "requests_per_s" in reply.json["quotas_problem"]


def test_operators_own_tenant_is_unlimited_until_its_quotas_are_set() -> None:
    before = call("GET", "/tenants/default")

    call("PUT", "/tenants/default/quotas", json_body={"requests_per_s": 7})

    assert before.json["status"] == "active"
    assert before.json["created_at"] is None
    assert set(before.json["quotas"].values()) == {None}
    assert call("GET", "/tenants/default").json["quotas"]["requests_per_s"] == 7


def test_tenants_are_listed_in_pages() -> None:
    names = ["acme", "acme-2", "acme2", "b"]
    for name in names:
        create(name)
    records.write_quotas(records.DEFAULT_QUOTAS_KEY, Quotas())

    found, path = [], "/tenants?limit=1"
    while path:
        page = call("GET", path).json
        found += [tenant["name"] for tenant in page["tenants"]]
        path = page["next"]

    assert sorted(found) == names
    assert len(call("GET", "/tenants").json["tenants"]) == 4
    assert "quotas" not in call("GET", "/tenants").json["tenants"][0]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", f"after={'a' * 33}"])
def test_bad_page_is_refused(query: str) -> None:
    assert code_of(call("GET", f"/tenants?{query}")) == (422, "invalid_request")


def test_suspended_tenant_can_be_resumed() -> None:
    create()

    suspended = call("POST", "/tenants/acme/suspend")
    again = call("POST", "/tenants/acme/suspend")
    resumed = call("POST", "/tenants/acme/resume")

    assert (suspended.status, suspended.json["status"]) == (200, "suspended")
    assert suspended.json["suspended_at"] == again.json["suspended_at"]
    assert (resumed.json["status"], resumed.json["suspended_at"]) == ("active", None)
    assert call("POST", "/tenants/acme/resume").json["status"] == "active"


@pytest.mark.parametrize("suspended", [False, True])
def test_deletion_begins_at_once_and_can_be_requested_again(*, suspended: bool) -> None:
    create()
    if suspended:
        call("POST", "/tenants/acme/suspend")

    first, second = call("DELETE", "/tenants/acme"), call("DELETE", "/tenants/acme")

    assert first.status == second.status == 202
    assert first.json["status"] == "deleting"
    assert first.json["deletion"] == {"removed_objects": 0, "removed_bytes": 0}
    assert first.json["deleting_at"] == second.json["deleting_at"]
    assert [entry.tenant for entry in deletions.pending()] == ["acme"]


def test_tenant_that_is_being_deleted_is_not_changed() -> None:
    create()
    call("DELETE", "/tenants/acme")

    for action in ("suspend", "resume"):
        assert code_of(call("POST", f"/tenants/acme/{action}")) == (409, "tenant_deleted")
    assert code_of(call("PUT", "/tenants/acme/quotas", json_body={})) == (409, "tenant_deleted")
    key = {"name": "shop", "scopes": ["read"]}
    assert code_of(call("POST", "/tenants/acme/keys", json_body=key)) == (409, "tenant_deleted")
    assert code_of(create()) == (409, "tenant_exists")


def test_name_of_a_deleted_tenant_can_be_used_again() -> None:
    create(quotas={"requests_per_s": 7}, title="Old")
    call("DELETE", "/tenants/acme")
    deletions.complete(deletions.pending()[0])
    deleted = call("GET", "/tenants/acme").json
    refused = call("DELETE", "/tenants/acme")

    created = create()

    assert (deleted["status"], deleted["title"]) == ("deleted", None)
    assert code_of(refused) == (409, "tenant_deleted")
    assert (created.status, created.json["status"], created.json["overridden"]) == (201, "active", [])
    assert created.json["deleted_at"] is None


def test_operators_tenant_is_neither_suspended_nor_deleted() -> None:
    for method, path in [
        ("POST", "/tenants/default/suspend"),
        ("POST", "/tenants/default/resume"),
        ("DELETE", "/tenants/default"),
    ]:
        assert code_of(call(method, path)) == (409, "tenant_protected")


def test_unknown_tenant_is_not_found() -> None:
    for method, path, body in [("GET", "/tenants/{}", None), ("GET", "/tenants/{}/keys", None), *OPERATOR_ROUTES]:
        assert code_of(call(method, path.format("nobody"), json_body=body)) == (404, "tenant_not_found")
    assert deletions.pending() == []


def test_every_change_is_in_the_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    create()
    call("PUT", "/tenants/acme/quotas", json_body={"requests_per_s": 7})
    call("POST", "/tenants/acme/suspend")
    call("POST", "/tenants/acme/resume")
    with acting_as(OPERATOR_TENANT, Scope.ADMIN):
        call("DELETE", "/tenants/acme")

    lines = [vars(record) for record in caplog.records if record.message == "audit"]
    assert [(line["action"], line["tenant"]) for line in lines] == [
        ("tenant created", "acme"),
        ("quotas set", "acme"),
        ("tenant suspended", "acme"),
        ("tenant resumed", "acme"),
        ("tenant deletion begun", "acme"),
    ]
    assert lines[1]["quotas"] == {"requests_per_s": 7}
    assert (lines[-1]["by"], lines[-1]["by_tenant"]) == ("default-key", "default")
