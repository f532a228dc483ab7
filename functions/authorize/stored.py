"""Checks credentials against what is stored about them and their tenant. All documents are read in parallel."""

import hmac
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from darkroom.contracts.tenants import (
    OPERATOR_TENANT,
    ApiKey,
    Principal,
    Quotas,
    Scope,
    Tenant,
    TenantStatus,
    UploadLink,
)
from darkroom.errors import (
    CredentialsExpiredError,
    CredentialsInvalidError,
    CredentialsRevokedError,
    TenantSuspendedError,
)
from darkroom.services import aws
from darkroom.tenants import api_keys, records
from darkroom.tenants.api_keys import KeyState
from darkroom.tenants.credentials import Credential, CredentialKind
from darkroom.timestamps import epoch_ms

#: Documents that one check reads.
_DOCUMENTS = 4


def principal_of(credential: Credential, now_s: float) -> Principal:
    """Whom a well-formed API key or upload-link token identifies.

    Raises an AccessError unless it is accepted at this time. What is wrong with it, or with its tenant, is said only to
    those who have the secret. Whether an id exists or only its secret is wrong shows neither in the error nor in what
    is read.
    """
    with _threads() as threads:
        tenant = _Tenant.request(threads, credential.tenant)
        if credential.kind is CredentialKind.API_KEY:
            key = threads.submit(records.read_api_key, credential.tenant, credential.id)
            return _principal_of_key(key.result(), credential, tenant, now_s)
        link = threads.submit(records.read_link, credential.tenant, credential.id)
        return _principal_of_link(link.result(), credential, tenant, now_s)


def quotas_of_active(tenant: str) -> Quotas:
    """The quotas of a tenant that a token names. Raises an AccessError unless it exists and is active."""
    with _threads() as threads:
        return _Tenant.request(threads, tenant).quotas()


def _principal_of_key(key: ApiKey | None, credential: Credential, tenant: "_Tenant", now_s: float) -> Principal:
    state = None if key is None else api_keys.state_with(key, credential.sha256, now_s)
    if key is None or state is None:
        raise CredentialsInvalidError("The API key is not valid.")
    if state is KeyState.REVOKED:
        raise CredentialsRevokedError("The API key was revoked.")
    if state is KeyState.EXPIRED:
        raise CredentialsExpiredError("The API key has expired.")
    return Principal(tenant=key.tenant, scopes=key.scopes, credential=key.key_id, quotas=tenant.quotas())


def _principal_of_link(link: UploadLink | None, credential: Credential, tenant: "_Tenant", now_s: float) -> Principal:
    if link is None or not hmac.compare_digest(link.hash, credential.sha256):
        raise CredentialsInvalidError("The token of the upload link is not valid.")
    if link.revoked_at is not None:
        raise CredentialsRevokedError("The upload link was revoked.")
    if epoch_ms(link.expires_at) <= now_s * 1000:
        raise CredentialsExpiredError("The upload link has expired.")
    return Principal(
        tenant=link.tenant,
        scopes=[Scope.UPLOAD],
        credential=link.link_id,
        quotas=tenant.quotas(),
        limits=link.limits,
    )


class _Tenant(NamedTuple):
    """A tenant and its quotas, as they are being read."""

    name: str
    document: Future[Tenant | None]
    defaults: Future[Quotas | None]
    overrides: Future[Quotas | None]

    @classmethod
    def request(cls, threads: ThreadPoolExecutor, name: str) -> "_Tenant":
        return cls(
            name,
            threads.submit(records.read_tenant, name),
            threads.submit(records.read_quotas, records.DEFAULT_QUOTAS_KEY),
            threads.submit(records.read_quotas, records.quotas_key(name)),
        )

    def quotas(self) -> Quotas:
        """The quotas. Raises an AccessError unless the tenant exists and is active; the operator always exists."""
        tenant = self.document.result()
        status = tenant.status if tenant else TenantStatus.ACTIVE if self.name == OPERATOR_TENANT else None
        if status is None or status is TenantStatus.DELETED:
            raise CredentialsInvalidError(f"There is no tenant '{self.name}'.")
        if status is not TenantStatus.ACTIVE:
            raise TenantSuspendedError(_REASONS[status])
        return records.effective_quotas(self.name, self.defaults.result(), self.overrides.result())


_REASONS = {
    TenantStatus.SUSPENDED: "The tenant is suspended.",
    TenantStatus.DELETING: "The tenant is being deleted.",
}


def _threads() -> ThreadPoolExecutor:
    aws.client("s3")  # not by several threads at once
    return ThreadPoolExecutor(_DOCUMENTS)
