"""The example page for upload links sends what the API and the store accept, and loads nothing from elsewhere."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.main import app
from darkroom.contracts.jobs import Status
from darkroom.contracts.tenants import Scope
from tests.support.code import ROOT
from tests.support.template import new_network
from tests.unit.test_principals import guarded

PAGE = (ROOT / "docs" / "examples" / "upload.html").read_text(encoding="utf-8")

#: Calls of the page's function `request`: the path, and the method if it is not GET.
CALL = re.compile(r"request\([\"`](/[^\"`?]*)[^\"`]*[\"`](?:, \{\s*method: \"(\w+)\")?")


def named(name: str, part: Any) -> Iterator[Any]:
    """The values of this name anywhere in a part of the template."""
    if isinstance(part, dict):
        yield from [part[name]] if name in part else []
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from named(name, inner)


def called() -> set[str]:
    return {f"{method or 'GET'} {path.replace('${', '{')}" for path, method in CALL.findall(PAGE)}


def test_page_requests_only_what_the_token_of_a_link_may() -> None:
    assert called() == {"POST /uploads", "GET /jobs/{job_id}"}
    for name, scopes in guarded():
        if name in called():
            assert Scope.UPLOAD in scopes, name


def test_headers_of_the_page_are_allowed_from_other_origins() -> None:
    sent = set(re.findall(r'"([\w-]+)": (?:"|crypto)', PAGE)) | {"authorization"}
    [allowed] = named("AllowHeaders", new_network().raw["Resources"]["HttpApi"])

    assert sent == {"authorization", "content-type", "idempotency-key"}
    assert sent <= set(allowed)


def test_page_loads_nothing_from_elsewhere() -> None:
    assert not re.findall(r"(?:src|href)=|@import|import ", PAGE)


@pytest.mark.parametrize("status", Status)
def test_page_waits_until_the_job_has_ended(status: Status) -> None:
    [final] = re.findall(r"const FINAL = \[(.*)\];", PAGE)

    assert (f'"{status}"' in final) == status.terminal


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("UploadDetails", {"upload", "jobs"}),
        ("UploadForm", {"url", "fields", "method"}),
        ("JobDetails", {"status", "operation", "outputs", "error"}),
        ("OutputDetails", {"name", "size_bytes", "media_type", "download_url"}),
    ],
)
def test_fields_that_the_page_reads_exist(model: str, fields: set[str]) -> None:
    schema = app.openapi()["components"]["schemas"][model]

    assert fields <= schema["properties"].keys()
    assert all(f".{field}" in PAGE for field in fields)
