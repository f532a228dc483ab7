"""What the deployed stack shows of itself."""


def test_health_names_every_part(service):
    answer = service.http.get("/health")

    assert answer.status_code == 200
    assert {"cache", "broker", "storage"} <= set(answer.json()["parts"])


def test_the_documentation_works_without_the_internet(service):
    page = service.http.get("/docs")

    assert page.status_code == 200
    assert "cdn" not in page.text
    assert service.http.get("/openapi.json").json()["paths"]["/jobs"]["post"]


def test_the_catalogue_describes_all_seven_operations(service):
    catalogue = service.http.get("/operations").json()["operations"]

    assert len(catalogue) == 7
    assert all(entry["params"]["properties"] or entry["name"] == "video_metadata" for entry in catalogue)
