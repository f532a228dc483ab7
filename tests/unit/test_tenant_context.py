"""The authorizer's answer is read as it was written, and what cannot be read gives no access."""

import json
from typing import Any

import pytest

from darkroom.contracts.tenants import UNLIMITED, Principal, Quotas, Scope, UploadLimits
from darkroom.errors import (
    CredentialsExpiredError,
    DarkroomError,
    InternalError,
    IssuerUnavailableError,
    StorageUnavailableError,
    TenantSuspendedError,
)
from darkroom.tenants import context

KEY = Principal(
    tenant="acme", scopes=[Scope.READ, Scope.WRITE], credential="acme-aaaaaaaaaaaa", quotas=Quotas(queued_jobs=None)
)
LINK = Principal(
    tenant="acme",
    scopes=[Scope.UPLOAD],
    credential="acme-bbbbbbbbbbbb",
    quotas=UNLIMITED,
    limits=UploadLimits(
        max_bytes=10, media_types=["image/png"], jobs=[{"operation": "resize", "params": {"width": 1}}]
    ),
)


@pytest.mark.parametrize("principal", [KEY, LINK, KEY.model_copy(update={"scopes": []})])
def test_principal_is_read_as_it_was_written(principal: Principal) -> None:
    written = context.to_context(principal)

    assert context.from_context(json.loads(json.dumps(written))) == principal
    assert {type(value) for value in written.values()} == {str}


@pytest.mark.parametrize(
    "error",
    [
        CredentialsExpiredError(),
        TenantSuspendedError("The tenant is suspended."),
        StorageUnavailableError(),
        IssuerUnavailableError(),
        InternalError(),
    ],
)
def test_denial_is_raised_as_the_same_error(error: DarkroomError) -> None:
    with pytest.raises(type(error)) as raised:
        context.from_context(context.denial(error))

    assert raised.value.message == error.message


def test_what_went_wrong_inside_is_not_told() -> None:
    assert context.denial(InternalError("tenants/acme/keys/a.json cannot be read")) == {
        "denied": "internal_error",
        "reason": "An internal error occurred.",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": None},
        {"tenant": ".."},
        {"tenant": 1},
        {"scopes": None},
        {"scopes": "root"},
        {"scopes": ["read"]},
        {"quotas": None},
        {"quotas": "{"},
        {"quotas": '{"unknown": 1}'},
        {"limits": "[]"},
        {"denied": "unheard_of"},
        {"denied": None},
    ],
)
def test_what_cannot_be_read_gives_no_access(changed: dict[str, Any]) -> None:
    with pytest.raises(InternalError):
        context.from_context(context.to_context(KEY) | changed)


@pytest.mark.parametrize("name", ["tenant", "scopes", "credential", "quotas"])
def test_incomplete_context_gives_no_access(name: str) -> None:
    written = context.to_context(KEY)
    del written[name]

    with pytest.raises(InternalError):
        context.from_context(written)


@pytest.mark.parametrize("scopes", ["upload", "read upload"])
def test_upload_link_without_limits_gives_no_access(scopes: str) -> None:
    with pytest.raises(InternalError):
        context.from_context(context.to_context(KEY) | {"scopes": scopes})


@pytest.mark.parametrize("scopes", ["", "read", "upload write"])
def test_limits_of_an_upload_link_go_with_no_other_scope(scopes: str) -> None:
    with pytest.raises(InternalError):
        context.from_context(context.to_context(LINK) | {"scopes": scopes})


def test_context_that_api_gateway_would_refuse_is_not_written() -> None:
    limits = UploadLimits(jobs=[{"operation": "resize", "params": {"text": "x" * context.CONTEXT_MAX_BYTES}}])

    with pytest.raises(InternalError):
        context.to_context(LINK.model_copy(update={"limits": limits}))


def test_largest_limits_fit_into_a_context() -> None:
    limits = UploadLimits(jobs=[{"text": "x" * (context.LIMITS_MAX_BYTES - 200)}])
    largest = LINK.model_copy(
        update={
            "limits": limits,
            "credential": "c" * 255,
            "quotas": Quotas(**dict.fromkeys(Quotas.model_fields, 10**15)),
        }
    )

    assert context.to_context(largest)
