"""Who may use the deployed API: strangers, those with a key, and everybody when it is open.

The other tests use a key. Opening the API here, on the same stack, costs seconds; a second stack would cost a minute.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import botocore.session
import httpx
import pytest

from localstack import keys
from localstack.settings import load
from tests.e2e.conftest import MEDIA, Service

PUBLIC = ["/", "/health", "/docs", "/docs-assets/swagger-ui.css", "/openapi.json"]


@pytest.fixture
def closed(service: Service) -> Service:
    if not service.key:
        pytest.skip("the stack is open")
    return service


class Gateway:
    """Changes the API of the stack where it is deployed."""

    def __init__(self) -> None:
        session = botocore.session.get_session()  # the environment names the emulator
        self._function = f"{load().stack}-api"
        self._functions = session.create_client("lambda")
        self._routes = session.create_client("apigatewayv2")
        with closing(session.create_client("cloudformation")) as cloudformation:
            found = cloudformation.describe_stack_resource(StackName=load().stack, LogicalResourceId="HttpApi")
        self._api = found["StackResourceDetail"]["PhysicalResourceId"]

    def close(self) -> None:
        self._functions.close()
        self._routes.close()

    def ask_authorizer(self, *, whether: bool) -> None:
        """Whether every request that is not public needs credentials before it reaches the function."""
        (route,) = [
            route for route in self._routes.get_routes(ApiId=self._api)["Items"] if route["RouteKey"] == "$default"
        ]
        kind = "CUSTOM" if whether else "NONE"
        self._routes.update_route(ApiId=self._api, RouteId=route["RouteId"], AuthorizationType=kind)

    def set_access(self, access: str) -> None:
        """What the function is told about access."""
        found: dict[str, Any] = self._functions.get_function_configuration(FunctionName=self._function)
        variables = found["Environment"]["Variables"] | {"DARKROOM_ACCESS": access}
        self._functions.update_function_configuration(FunctionName=self._function, Environment={"Variables": variables})


@pytest.fixture
def without_authorizer(closed: Service) -> Iterator[Gateway]:
    with closing(Gateway()) as gateway:
        gateway.ask_authorizer(whether=False)
        yield gateway
        gateway.ask_authorizer(whether=True)


@pytest.fixture
def opened(without_authorizer: Gateway) -> Iterator[None]:
    without_authorizer.set_access("open")
    yield
    without_authorizer.set_access("closed")


def get(service: Service, path: str, *headers: tuple[str, str]) -> httpx.Response:
    """A request without the key of the tests."""
    return httpx.get(f"{service.url}{path}", headers=list(headers), timeout=40)


@pytest.mark.parametrize("path", PUBLIC)
def test_public_path_needs_no_credentials(service: Service, path: str) -> None:
    assert get(service, path).status_code == 200


@pytest.mark.parametrize("path", ["/operations", "/jobs", "/health/parts", "//jobs", "/docs-assets", "/nowhere"])
def test_stranger_gets_no_further_than_the_gateway(closed: Service, path: str) -> None:
    answer = get(closed, path)

    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize("path", ["/docs-assets/..%2fjobs", "/docs-assets/%2e%2e/jobs", "/docs-assets/jobs"])
def test_path_that_only_begins_like_a_public_one_leads_nowhere(closed: Service, path: str) -> None:
    with httpx.Client() as client:
        answer = client.send(httpx.Request("GET", httpx.URL(closed.url, raw_path=path.encode())))

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_invalid_credentials_are_refused_with_a_problem_document(closed: Service) -> None:
    answer = get(closed, "/jobs", ("authorization", f"{keys.headers(closed.key)['Authorization']}x"))

    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_invalid")
    assert answer.headers["content-type"] == "application/problem+json"


def test_two_headers_with_credentials_are_refused_although_both_are_valid(closed: Service) -> None:
    header = ("authorization", f"Bearer {closed.key}")

    answer = get(closed, "/jobs", header, header)

    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_invalid")


def test_key_may_do_what_its_scopes_say(closed: Service) -> None:
    headers = keys.headers(keys.create(load(), "reader", scopes=["read"]))

    with httpx.Client(base_url=closed.url, headers=headers, timeout=40) as reader:
        accepted = reader.get("/operations")
        refused = reader.post("/uploads", json={"name": "a.jpg", "media_type": "image/jpeg"})

    assert accepted.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


def test_revoked_key_is_refused(closed: Service) -> None:
    key = keys.create(load(), "revoked")
    keys.revoke(load(), key)

    answer = get(closed, "/jobs", ("authorization", f"Bearer {key}"))

    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_revoked")


def test_function_refuses_what_the_authorizer_has_not_seen(closed: Service, without_authorizer: Gateway) -> None:
    answer = get(closed, "/jobs", ("authorization", f"Bearer {closed.key}"))

    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_missing")


@pytest.mark.usefixtures("opened")
def test_everybody_may_use_an_open_api(closed: Service) -> None:
    stranger = Service(closed.url, "")
    file_id = stranger.file((MEDIA / "rocket.jpg").read_bytes(), "rocket.jpg", "image/jpeg")

    job = stranger.run(file_id, "thumbnail", {"width": 40, "height": 40})

    assert stranger.result(job)
    stranger.http.close()
    assert job["job_id"] in {entry["job_id"] for entry in closed.http.get("/jobs").json()["jobs"]}


def test_browser_learns_without_credentials_that_pages_of_other_sites_may_send_them(service: Service) -> None:
    answer = httpx.options(
        f"{service.url}/jobs",
        headers={
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        },
    )

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"authorization", "content-type"} <= set(answer.headers["access-control-allow-headers"].split(","))
