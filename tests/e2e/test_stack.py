"""Health, documentation, catalog of operations and root page of the deployed service."""

import httpx

from darkroom.contracts.operations import Operation
from tests.e2e.conftest import Service


def test_health_check_names_every_part(service: Service) -> None:
    answer = service.http.get("/health")

    assert answer.status_code == 200
    assert {"cache", "broker", "storage"} <= set(answer.json()["parts"])


def test_documentation_loads_nothing_from_the_internet(service: Service) -> None:
    page = service.http.get("/docs")

    assert page.status_code == 200
    assert "cdn" not in page.text
    assert service.http.get("/openapi.json").json()["paths"]["/jobs"]["post"]


def test_catalog_describes_every_operation(service: Service) -> None:
    catalog = service.http.get("/operations").json()["operations"]

    assert [entry["name"] for entry in catalog] == list(Operation)
    assert all(entry["params"]["properties"] or entry["name"] == "video_metadata" for entry in catalog)


def test_root_is_a_page_for_browsers_with_commands_that_name_this_address(service: Service) -> None:
    page = httpx.get(f"{service.url}/", headers={"accept": "text/html"})
    index = httpx.get(f"{service.url}/").json()

    assert page.headers["content-type"].startswith("text/html")
    assert f"curl -F file=@photo.jpg {service.url}/upload" in page.text
    assert httpx.get(service.url + index["links"]["operations"]).status_code == 200
