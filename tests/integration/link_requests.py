"""Upload links: the requests that tests of them share."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote_plus

import pytest

from darkroom.contracts.tenants import Principal, Quotas, Scope, UploadLink
from darkroom.jobs import uploads
from darkroom.tenants import records
from darkroom.tenants.context import to_context
from functions.ingest import app as ingest
from tests.integration.api_jobs import JPEG
from tests.integration.crash_injection import CrashInjector, ProcessCrash, inject_crashes
from tests.integration.test_api_uploads import submit
from tests.support.gateway import Reply, acting_as, call

TENANT, OTHER = "acme", "other"
#: Problem documents have the id of the trace, so responses that are compared have the same one.
ONE_TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

THUMBNAIL: dict[str, Any] = {"operation": "thumbnail", "params": {"width": 100, "height": 100}}


@pytest.fixture(autouse=True)
def closed_deployment() -> Iterator[None]:
    """The deployment is closed; a request that names no principal is one of the tenant's writers."""
    with acting_as(TENANT, Scope.READ, Scope.WRITE):
        yield


def create(**limits: Any) -> Reply:
    return call("POST", "/upload-links", json_body=limits)


def new_link(**limits: Any) -> UploadLink:
    reply = create(**{"jobs": [THUMBNAIL], "media_types": ["image/*"]} | limits)
    assert reply.status == 201, reply.json
    return stored(reply.json["link_id"])


def stored(link_id: str) -> UploadLink:
    link = records.read_link(TENANT, link_id)
    assert link is not None
    return link


def context_of(link: UploadLink) -> dict[str, str]:
    """What the authorizer says of the link's token."""
    return to_context(
        Principal(
            tenant=link.tenant, scopes=[Scope.UPLOAD], credential=link.link_id, quotas=Quotas(), limits=link.limits
        )
    )


def through(link: UploadLink, method: str, target: str, **more: Any) -> Reply:
    """A request with the token of the link."""
    return call(method, target, authorizer=context_of(link), **more)


def request_form(link: UploadLink, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = {"name": "photo.jpg", "media_type": "image/jpeg", **more}
    return through(link, "POST", "/uploads", json_body=body, headers=headers)


def notify_ingest(file_id: str) -> None:
    key = uploads.key_of(TENANT, file_id)
    ingest.handler({"Records": [{"s3": {"object": {"key": quote_plus(key)}}}]}, None)


def upload(link: UploadLink, content: bytes = JPEG) -> dict[str, Any]:
    """Uploads a file through the link, as a browser does. Returns the answer with the form."""
    form: dict[str, Any] = request_form(link).json
    assert submit(form["upload"], content) == 204
    notify_ingest(form["file_id"])
    return form


def crash_at(number: int, when: str, send: Callable[[], Reply]) -> CrashInjector:
    """Sends a request, and crashes the process at its write `number`."""
    injector = CrashInjector(number, when)
    with inject_crashes(injector, lambda _arguments: None), suppress(ProcessCrash):
        send()
    return injector
