import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from pydantic import BaseModel, TypeAdapter

from api import examples, link_models, response_models
from api.main import app, handler
from api.problems import Problem
from api.request_models import JobRequest, UploadRequest
from api.routers.health import Health
from darkroom.contracts.operations import Operation
from tests.support.gateway import call, context, event

pytestmark = pytest.mark.usefixtures("open_access")

#: Models of what clients send, which may leave fields out.
REQUESTS = (UploadRequest, link_models.UploadLinkRequest)

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(call("GET", "/openapi.json").json)


def routes(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert method in METHODS
            yield f"{method.upper()} {path}", route


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_documented_route_exists(document: dict[str, Any]) -> None:
    assert {name for name, _ in routes(document)} == {
        "POST /upload",
        "POST /uploads",
        "GET /files/{file_id}",
        "POST /jobs",
        "GET /jobs",
        "GET /jobs/{job_id}",
        "DELETE /jobs/{job_id}",
        "GET /jobs/{job_id}/download",
        "POST /jobs/{job_id}/retry",
        "GET /operations",
        "GET /usage",
        "POST /upload-links",
        "GET /upload-links",
        "GET /upload-links/{link_id}",
        "DELETE /upload-links/{link_id}",
        "POST /tenants",
        "GET /tenants",
        "GET /tenants/{tenant}",
        "DELETE /tenants/{tenant}",
        "GET /tenants/{tenant}/usage",
        "PUT /tenants/{tenant}/quotas",
        "POST /tenants/{tenant}/suspend",
        "POST /tenants/{tenant}/resume",
        "POST /tenants/{tenant}/keys",
        "GET /tenants/{tenant}/keys",
        "GET /tenants/{tenant}/keys/{key_id}",
        "PATCH /tenants/{tenant}/keys/{key_id}",
        "DELETE /tenants/{tenant}/keys/{key_id}",
        "POST /tenants/{tenant}/keys/{key_id}/rotate",
        "GET /health",
        "GET /health/parts",
    }


def test_every_route_is_described(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    ids = [route["operationId"] for _, route in routes(document)]

    for name, route in routes(document):
        assert route["summary"], name
        assert len(route["description"]) > 20, name
        assert set(route["tags"]) <= tags, name
        for parameter in route.get("parameters", []):
            assert parameter["description"], (name, parameter["name"])
    assert len(ids) == len(set(ids))


def test_every_success_has_a_described_model_and_an_example(document: dict[str, Any]) -> None:
    for name, route in routes(document):
        answers = [answer for status, answer in route["responses"].items() if status.startswith("2")]
        assert answers or "307" in route["responses"], name
        for answer in answers:
            content = answer["content"]["application/json"]
            model = resolve(document, content["schema"]["$ref"])
            assert answer["description"] != "Successful Response", name
            assert model["description"], name
            assert "examples" in model or name == "GET /operations", name


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (response_models.FileDetails, examples.FILE),
        (response_models.UploadDetails, examples.UPLOAD),
        (response_models.JobSummary, examples.SUMMARY),
        (response_models.JobDetails, examples.JOB),
        (response_models.JobDetails, examples.QUEUED_JOB),
        (response_models.JobPage, examples.JOB_PAGE),
        (link_models.UploadLinkSummary, examples.UPLOAD_LINK_SUMMARY),
        (link_models.UploadLinkDetails, examples.UPLOAD_LINK),
        (link_models.IssuedUploadLink, examples.ISSUED_UPLOAD_LINK),
        (link_models.UploadLinkPage, examples.UPLOAD_LINK_PAGE),
        (Health, examples.HEALTH),
        (UploadRequest, examples.UPLOAD_REQUEST),
        (link_models.UploadLinkRequest, examples.UPLOAD_LINK_REQUEST),
    ],
)
def test_example_is_a_valid_and_complete_response(model: type[BaseModel], example: dict[str, Any]) -> None:
    given = model.model_validate_json(json.dumps(example)).model_dump(mode="json", exclude_unset=True)

    assert given == example
    assert model in REQUESTS or set(example) == set(model.model_fields)


def test_every_error_is_a_problem_document_with_an_example(document: dict[str, Any]) -> None:
    for name, route in routes(document):
        for status, answer in route["responses"].items():
            if int(status) < 400 or (name, status) == ("GET /health", "503"):
                continue
            own = {"application/json"} if (name, status) == ("GET /health/parts", "503") else set()
            assert set(answer["content"]) == {"application/problem+json"} | own, (name, status)
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in content["examples"].items():
                problem = Problem.model_validate(example["value"])
                assert (problem.code, problem.status) == (code, int(status)), name


def test_every_schema_and_each_of_its_fields_is_described(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["title"][0].isupper(), name
        assert len(schema["description"]) > 10, name
        for field, property_ in schema.get("properties", {}).items():
            assert property_.get("description"), (name, field)


def test_no_two_schemas_have_the_same_title(document: dict[str, Any]) -> None:
    titles = [schema["title"] for schema in document["components"]["schemas"].values()]

    assert sorted(titles) == sorted(set(titles))


@pytest.mark.parametrize("operation", Operation)
def test_default_of_every_parameter_is_in_its_schema_or_its_description(operation: Operation) -> None:
    schema = operation.params.model_json_schema()

    for name, parameter in schema["properties"].items():
        if parameter.get("default") is None and name not in ("text", "image_file_id"):  # one of the two is required
            assert "Default: " in parameter["description"] or "(default)" in parameter["description"], name


def test_every_reference_has_a_target(document: dict[str, Any]) -> None:
    found = set(references(document))

    assert "#/components/schemas/FieldProblem" in found
    for reference in found:
        assert resolve(document, reference)


@pytest.mark.parametrize("operation", Operation)
def test_every_operation_has_a_request_model_with_all_its_limits(
    document: dict[str, Any], operation: Operation
) -> None:
    body = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    request = resolve(document, resolve(document, body["schema"]["$ref"])["discriminator"]["mapping"][operation])
    params = resolve(document, request["properties"]["params"]["$ref"])
    contract = operation.params.model_json_schema(ref_template="#/components/schemas/{model}")

    assert request["properties"]["operation"]["const"] == operation
    assert params["properties"] == contract["properties"]
    assert params["additionalProperties"] is False
    assert all("description" in schema for schema in params["properties"].values())


@pytest.mark.parametrize("operation", Operation)
def test_every_operation_can_be_attached_to_an_upload(document: dict[str, Any], operation: Operation) -> None:
    jobs = document["components"]["schemas"]["UploadRequest"]["properties"]["jobs"]
    job = resolve(document, resolve(document, jobs["items"]["$ref"])["discriminator"]["mapping"][operation])

    assert set(job["properties"]) == {"operation", "params", "priority"}


@pytest.mark.parametrize("operation", Operation)
def test_example_of_every_operation_is_accepted(document: dict[str, Any], operation: Operation) -> None:
    examples = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    accepted: Any = TypeAdapter(JobRequest).validate_json(json.dumps(examples[operation]["value"]))

    assert accepted.operation == operation


def test_catalog_describes_every_operation() -> None:
    catalog = call("GET", "/operations").json["operations"]

    assert [entry["name"] for entry in catalog] == list(Operation)
    for entry in catalog:
        operation = Operation(entry["name"])
        model = operation.params
        assert entry["params"] == model.model_json_schema()
        assert set(entry["accepts"]) == operation.accepts
        assert entry["summary"] == operation.summary
        assert [model.model_validate(example) for example in entry["examples"]]


def test_documentation_loads_nothing_from_another_host() -> None:
    page = call("GET", "/docs")
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", page.body.decode())

    assert page.headers["content-type"].startswith("text/html")
    assert b"://" not in page.body
    assert len(links) == 3
    for link in links:
        assert call("GET", urljoin("/docs", link)).status == 200, link
    assert b'url: "openapi.json"' in page.body


def test_documentation_works_under_a_path_prefix() -> None:
    scope_root = app.root_path
    app.root_path = "/media"
    try:
        page = call("GET", "/media/docs").body.decode()
        links = [urljoin("/media/docs", link) for link in re.findall(r"""(?:src|href)=["']([^"']+)""", page)]
        statuses = {call("GET", link).status for link in links}
        servers = call("GET", "/media/openapi.json").json["servers"]
    finally:
        app.root_path = scope_root

    assert "/media/docs-assets/swagger-ui-bundle.js" in links
    assert statuses == {200}
    assert servers == [{"url": "/media"}]


@pytest.mark.parametrize("path", ["/docs", "/docs-assets/swagger-ui.css", "/docs-assets/swagger-ui-bundle.js"])
def test_text_is_sent_as_text(path: str) -> None:
    assert handler(event("GET", path), context())["isBase64Encoded"] is False


def test_images_are_sent_as_base64() -> None:
    answer = handler(event("GET", "/docs-assets/favicon.png"), context())

    assert answer["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"]).startswith(b"\x89PNG")


def test_every_route_declares_its_scope_or_that_it_is_public(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "API key or JWT")

    for name, route in routes(document):
        if name == "GET /health":
            assert route["security"] == []
            assert not {"401", "403"} & route["responses"].keys()
            continue
        scopes = [scope for entry in route["security"] for scope in entry["bearer"]]
        assert len(scopes) == len(route["security"]), f"{name}: one of the scopes is enough"
        assert f"Needs the scope {' or '.join(f'`{scope}`' for scope in scopes)}." in route["description"], name
        assert {"401", "403", "429"} <= route["responses"].keys(), name
