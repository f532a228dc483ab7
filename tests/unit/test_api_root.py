"""The root of the API: a page for browsers, JSON for other clients."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from api.main import app
from darkroom.contracts.operations import Operation
from tests.support.gateway import Reply, call

pytestmark = pytest.mark.usefixtures("open_access")

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


class Tags(HTMLParser):
    """The start tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(name)) is not None]


@pytest.fixture
def page() -> Reply:
    return call("GET", "/", headers={"accept": BROWSER})


def test_browser_gets_a_page(page: Reply) -> None:
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept"
    assert "<h1>Darkroom</h1>" in page.body.decode()


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/html;q=0.5, application/json", "text/plain"])
def test_other_clients_get_json_with_links_that_work(accept: str) -> None:
    reply = call("GET", "/", headers={"accept": accept})

    assert reply.headers["content-type"] == "application/json"
    assert reply.json["name"] == "Darkroom"
    assert set(reply.json["links"]) == {"documentation", "openapi", "operations", "health"}
    for name in ("documentation", "openapi", "operations"):
        assert call("GET", reply.json["links"][name]).status == 200


def test_every_link_of_the_page_works(page: Reply) -> None:
    paths = {link for link in Tags(page.body.decode()).attributes("href") if not link.startswith("data:")}

    assert paths == {"/docs", "/health", "/openapi.json"}
    for path in paths - {"/health"}:  # which needs the services
        assert call("GET", path).status == 200


def test_page_loads_nothing_and_runs_nothing(page: Reply) -> None:
    text = page.body.decode()
    tags = Tags(text)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)

    assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _ in tags.found}
    assert not tags.attributes("src") + tags.attributes("style")
    assert [link for tag, link in tags.found if tag == "link"] == [
        {"rel": "icon", "href": tags.attributes("href")[0]},
    ]
    assert "url(" not in style[0]
    assert policy["default-src"] == "'none'"
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy["style-src"] == f"'sha256-{digest}'"


def test_page_lists_every_operation_and_leaves_no_placeholder(page: Reply) -> None:
    text = page.body.decode()

    assert all(f"<code>{operation}</code>" in text for operation in Operation)
    assert "$" not in text


def test_commands_name_the_address_under_which_the_client_reached_the_api() -> None:
    headers = {"accept": BROWSER, "host": "media.example.com:8443", "x-forwarded-proto": "https"}

    text = call("GET", "/", headers=headers).body.decode()

    assert "curl -F file=@photo.jpg https://media.example.com:8443/upload" in text


def test_hostile_host_header_stays_text() -> None:
    headers = {"accept": BROWSER, "host": "x<script>alert(1)</script>"}

    assert "<script" not in call("GET", "/", headers=headers).body.decode()


def test_links_keep_a_path_prefix() -> None:
    root_path = app.root_path
    app.root_path = "/media"
    try:
        page = call("GET", "/media/", headers={"accept": BROWSER}).body.decode()
        links = call("GET", "/media/").json["links"]
    finally:
        app.root_path = root_path

    assert 'href="/media/docs"' in page
    assert "https://api.example.com/media/upload" in page
    assert links["documentation"] == "/media/docs"
