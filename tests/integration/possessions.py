"""Everything that a tenant can have."""

from dataclasses import dataclass
from typing import Any

from darkroom import ids
from darkroom.contracts.tenants import UNLIMITED, Principal, Scope, Tenant, TenantStatus
from darkroom.tenants import api_keys, credentials, records
from darkroom.tenants.context import to_context
from darkroom.timestamps import utc_now
from tests.integration.api_jobs import complete, fail
from tests.integration.conftest import PNG
from tests.support.gateway import Reply, acting_as, call, multipart
from tests.support.routes_table import Names

_RESIZE = {"operation": "resize", "params": {"width": 10}}


@dataclass(frozen=True)
class Possessions:
    """The ids of what a tenant has, by their kind, and every text by which another one would recognize it."""

    tenant: str
    ids: dict[Names, list[str]]

    @property
    def marks(self) -> set[str]:
        """Texts that no response to another tenant has."""
        own = {value for kind, values in self.ids.items() if kind is not Names.IDEMPOTENCY_KEY for value in values}
        return own | {self.tenant, file_name(self.tenant)}


def file_name(tenant: str) -> str:
    """The name of the tenant's uploads."""
    return f"photo of {tenant}.png"


def possess(tenant: str) -> Possessions:
    """Gives a tenant jobs in every state, files, forms, idempotency keys, an upload link, and an API key."""
    records.create_tenant(Tenant(name=tenant, status=TenantStatus.ACTIVE, created_at=utc_now()))
    key = api_keys.create_key(tenant, "live", name="Website", scopes=[Scope.READ], now_s=0).key
    records.create_api_key(key)
    order = f"order of {tenant}"
    with acting_as(tenant):
        body, headers = multipart({}, name=file_name(tenant), media_type="image/png", content=PNG)
        stored = _made(call("POST", "/upload", body=body, headers=headers))["file_id"]
        form = {"name": file_name(tenant), "media_type": "image/png", "jobs": [_RESIZE]}
        awaiting = _made(call("POST", "/uploads", json_body=form))
        failed, completed, queued = (
            _made(
                call(
                    "POST",
                    "/jobs",
                    json_body={"file_id": stored} | _RESIZE,
                    headers={"Idempotency-Key": f"{order} {number}"},
                )
            )["job_id"]
            for number in range(3)
        )
        fail(failed, tenant)
        complete(completed, "a.webp", tenant=tenant)
        link = _made(call("POST", "/upload-links", json_body={"jobs": [_RESIZE], "max_files": 100}))
        through = {"name": file_name(tenant), "media_type": "image/png"}
        given = _made(
            call("POST", "/uploads", json_body=through, authorizer=to_context(link_of(tenant, link["link_id"])))
        )
        for job_id in (failed, completed, queued):
            assert call("GET", f"/jobs/{job_id}").status == 200
    jobs = [failed, completed, queued, awaiting["jobs"][0]["job_id"], given["jobs"][0]["job_id"]]
    return Possessions(
        tenant,
        {
            Names.JOB: jobs,
            Names.JOB_POSITION: jobs,
            Names.FILE: [stored, awaiting["file_id"], given["file_id"]],
            Names.LINK: [link["link_id"]],
            Names.TENANT: [tenant],
            Names.TENANT_POSITION: [tenant],
            Names.KEY: [key.key_id],
            Names.KEY_POSITION: [f"{tenant}-{'2' * 12}", key.key_id],
            Names.LINK_POSITION: [f"{tenant}-{'2' * 12}", link["link_id"]],
            Names.IDEMPOTENCY_KEY: [f"{order} 0"],
        },
    )


def unknown(kind: Names, like: str) -> str:
    """A value that names nothing; an id is of the same time as the other one."""
    if kind is Names.IDEMPOTENCY_KEY:
        return "order-0815"
    if kind in (Names.TENANT, Names.TENANT_POSITION):
        return f"{like[:-1]}z"
    if kind in (Names.LINK, Names.LINK_POSITION, Names.KEY, Names.KEY_POSITION):
        return credentials.new_credential_id(like.rpartition("-")[0])
    return ids.new_id(ids.created_ms(like))


def link_of(tenant: str, link_id: str) -> Principal:
    """Who has the token of an upload link."""
    link = records.read_link(tenant, link_id)
    assert link is not None
    return Principal(tenant=tenant, scopes=[Scope.UPLOAD], credential=link_id, quotas=UNLIMITED, limits=link.limits)


def _made(reply: Reply) -> dict[str, Any]:
    assert reply.status in (201, 202), reply.json
    made: dict[str, Any] = reply.json
    return made
