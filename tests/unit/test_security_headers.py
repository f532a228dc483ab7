"""The security headers of every kind of response."""

import base64
import hashlib
import re

import pytest

from tests.support.gateway import call

ALWAYS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


@pytest.mark.usefixtures("open_access")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/operations"),
        ("GET", "/openapi.json"),
        ("GET", "/nowhere"),
        ("PUT", "/jobs"),
        ("GET", "/jobs/17"),
        ("POST", "/jobs"),
    ],
)
def test_json_is_not_cached_and_can_do_nothing_in_a_browser(method: str, path: str) -> None:
    reply = call(method, path)

    assert reply.headers.items() >= ALWAYS.items()
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.usefixtures("closed_access")
def test_refusal_has_the_headers_too() -> None:
    reply = call("GET", "/operations")

    assert reply.status == 401
    assert reply.headers.items() >= ALWAYS.items()
    assert reply.headers["cache-control"] == "no-store"


def test_unhandled_exception_has_the_headers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.principals.settings", None)

    reply = call("GET", "/operations")

    assert reply.status == 500
    assert reply.headers.items() >= ALWAYS.items()


@pytest.mark.parametrize(("scheme", "expected"), [("https", "max-age=31536000"), ("http", None)])
def test_transport_security_is_announced_over_https_only(scheme: str, expected: str | None) -> None:
    reply = call("GET", "/openapi.json", headers={"x-forwarded-proto": scheme})

    assert reply.headers.get("strict-transport-security") == expected


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_page_runs_only_the_scripts_that_it_came_with(path: str) -> None:
    reply = call("GET", path, headers={"accept": "text/html"})
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))

    assert reply.headers.items() >= ALWAYS.items()
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert not re.search(rb"\son\w+=|javascript:|\sstyle=", reply.body)
    for kind, text in re.findall(r"<(script|style)>(.*?)</\1>", reply.body.decode(), re.DOTALL):
        assert policy_hash(text) in policy[f"{kind}-src"]


def policy_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_files_of_the_reference_are_cached() -> None:
    reply = call("GET", "/docs-assets/swagger-ui.css")

    assert reply.headers.items() >= ALWAYS.items()
    assert reply.headers["cache-control"] == "public, max-age=86400"
