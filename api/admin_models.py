"""What clients send and get on the routes for tenants and API keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from api import examples
from api.request_models import RequestBody
from api.response_models import ResponseModel, with_example
from darkroom.contracts.tenants import Quotas, Scope, TenantName, TenantStatus, Timestamp
from darkroom.tenants.api_keys import OVERLAP_MAX_S, OVERLAP_S, KeyState


def _require_printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("Input should have printable characters only, and no spaces around them")
    return text


#: A name for people, on one line.
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=80), AfterValidator(_require_printable)]

KeyScope = Literal["read", "write", "admin"]


class QuotaOverrides(Quotas):
    """The quotas in which a tenant differs from the defaults. Null is no limit; what is left out, has its default."""

    model_config = ConfigDict(defer_build=False, json_schema_extra={"examples": [examples.QUOTAS]})


class TenantRequest(RequestBody):
    """A new tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TENANT_REQUEST]})

    name: TenantName = Field(
        description="Name of the tenant: up to 32 lower-case letters, digits and hyphens, with a letter or digit at "
        "both ends. It cannot be changed."
    )
    title: DisplayName | None = Field(None, description="Name for people.")
    quotas: QuotaOverrides = Field(
        default_factory=QuotaOverrides, description="The quotas in which it differs from the defaults."
    )


class DeletionProgress(ResponseModel):
    """How far the deletion of a tenant has got."""

    removed_objects: int = Field(description="Objects that were removed so far. May lack some after a crash.")
    removed_bytes: int = Field(description="Size of these objects in bytes.")


class TenantSummary(ResponseModel):
    """A tenant in a list."""

    model_config = with_example(examples.TENANT_SUMMARY)

    name: str = Field(description="Name of the tenant.")
    title: str | None = Field(None, description="Name for people.")
    status: TenantStatus = Field(
        description="`active`, `suspended`: its keys and tokens are refused, its data is kept. `deleting`: its data is "
        "being removed. `deleted`: nothing is left of it but this."
    )
    created_at: str | None = Field(None, description="Time of its creation. Null for the operator's own tenant.")
    suspended_at: str | None = Field(None, description="Since when it is suspended.")
    deleting_at: str | None = Field(None, description="When its deletion began.")
    deleted_at: str | None = Field(None, description="When its deletion was complete.")
    deletion: DeletionProgress | None = Field(None, description="How far its deletion has got.")


class TenantDetails(TenantSummary):
    """A tenant with its quotas."""

    model_config = with_example(examples.TENANT)

    quotas: Quotas = Field(description="The quotas in effect. Null is no limit.")
    overridden: list[str] = Field(description="Names of the quotas in which it differs from the defaults.")
    quotas_problem: str | None = Field(
        None, description="What is wrong with a stored document of quotas, which is therefore ignored."
    )


class TenantPage(ResponseModel):
    """A page of the list of tenants."""

    model_config = with_example(examples.TENANT_PAGE)

    tenants: list[TenantSummary] = Field(description="The tenants on this page.")
    next: str | None = Field(None, description="Path of the next page. Null on the last one.")


class KeyRequest(RequestBody):
    """A new API key."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.KEY_REQUEST]})

    name: DisplayName = Field(description="What the key is for.")
    scopes: list[KeyScope] = Field(
        min_length=1,
        max_length=3,
        description="What the key may do. None includes another: a key that uploads and downloads needs both.",
    )
    expires_at: Timestamp | None = Field(None, description="When the key expires. Default: never.")

    @property
    def granted(self) -> list[Scope]:
        """The scopes."""
        return [Scope(scope) for scope in self.scopes]


class KeyChange(RequestBody):
    """What to change of an API key. What is left out stays as it is."""

    name: DisplayName | None = Field(None, description="What the key is for.")
    expires_at: Timestamp | None = Field(None, description="When the key expires. Null: never.")


class KeyRotation(RequestBody):
    """How to rotate an API key."""

    overlap_s: Annotated[
        int, Field(ge=0, le=OVERLAP_MAX_S, description="Seconds for which the old secret is accepted as well.")
    ] = OVERLAP_S


class KeyDetails(ResponseModel):
    """An API key, without its secret."""

    model_config = with_example(examples.KEY)

    key_id: str = Field(description="Identifier of the key. It begins with the tenant's name.")
    tenant: str = Field(description="The tenant for which it acts.")
    name: str = Field(description="What the key is for.")
    scopes: list[Scope] = Field(description="What the key may do.")
    state: KeyState = Field(description="Only an `active` key is accepted.")
    created_at: str = Field(description="Time of its creation.")
    expires_at: str | None = Field(None, description="When it expires. Null: never.")
    revoked_at: str | None = Field(None, description="When it was revoked.")
    last_used_at: str | None = Field(
        None, description="When it was last used, to a few minutes. Null: never, as far as is known."
    )
    replaced_until: str | None = Field(
        None, description="Until when a secret that was replaced by a rotation is still accepted."
    )


class IssuedKeyDetails(KeyDetails):
    """An API key with its secret, which is shown this once."""

    model_config = with_example(examples.ISSUED_KEY)

    key: str = Field(description="The API key, for the header `Authorization: Bearer`. It is not stored.")


class KeyPage(ResponseModel):
    """A page of the list of a tenant's API keys."""

    model_config = with_example(examples.KEY_PAGE)

    keys: list[KeyDetails] = Field(description="The keys on this page, in the order of their ids.")
    next: str | None = Field(None, description="Path of the next page. Null on the last one.")
