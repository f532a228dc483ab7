"""Who reaches which route of the API that template.yaml describes, closed and open, and from which web pages."""

import re
from typing import Any

import pytest

from api.main import app
from tests.support.template import Template, existing_services, new_network
from tests.unit.test_principals import unguarded

#: Routes beside those of the code: preflight requests of browsers have no credentials.
PREFLIGHT = "OPTIONS /{proxy+}"

#: What is public only as long as the documentation is.
DOCUMENTATION = {"GET /docs", "GET /docs-assets/{proxy+}", "GET /openapi.json"}


def routes(template: Template) -> dict[str, dict[str, Any]]:
    """The properties of every route, by its key."""
    found = template.of_type("AWS::ApiGatewayV2::Route").values()
    keys = {spec["RouteKey"]: spec for spec in found}
    assert len(keys) == len(found), "two resources have the same route"
    return keys


def without_authorizer(template: Template) -> set[str]:
    return {key for key, spec in routes(template).items() if spec["AuthorizationType"] == "NONE"}


def public_in_the_code() -> set[str]:
    """The routes that need no scope, as keys of API Gateway. HEAD is not one of them there."""
    return {key.replace("{path}", "{proxy+}") for key in unguarded(app) if not key.startswith("HEAD ")}


@pytest.mark.parametrize("template", [new_network(), existing_services()])
def test_closed_api_asks_the_authorizer_about_every_route_that_is_not_public_in_the_code(template: Template) -> None:
    guarded = {key: spec for key, spec in routes(template).items() if spec["AuthorizationType"] != "NONE"}

    assert without_authorizer(template) == public_in_the_code()
    assert guarded.keys() == {"$default"}
    assert guarded["$default"]["AuthorizationType"] == "CUSTOM"
    assert guarded["$default"]["AuthorizerId"] == "<HttpApiAuthorizer>"


def test_api_is_closed_unless_a_parameter_opens_it() -> None:
    closed, opened = new_network(), Template(Access="open")
    told = {
        template.functions["ApiFunction"]["Environment"]["Variables"]["DARKROOM_ACCESS"]
        for template in (closed, Template(Access="closed"))
    }

    assert told == {"closed"}
    assert opened.functions["ApiFunction"]["Environment"]["Variables"]["DARKROOM_ACCESS"] == "open"
    assert routes(opened)["$default"] | {"Target": ""} == {
        "ApiId": "<HttpApi>",
        "RouteKey": "$default",
        "AuthorizationType": "NONE",
        "Target": "",
    }


def test_documentation_needs_credentials_if_it_is_not_public() -> None:
    private = Template(PublicDocs="false")

    assert without_authorizer(new_network()) - without_authorizer(private) == DOCUMENTATION
    assert without_authorizer(private) == {"GET /", "GET /health"}


def test_preflight_requests_need_no_credentials_if_pages_of_other_sites_may_use_the_api() -> None:
    assert PREFLIGHT not in routes(new_network())
    assert without_authorizer(Template(AllowedOrigins="*")) == public_in_the_code() | {PREFLIGHT}


def test_every_route_leads_to_the_api() -> None:
    for key, spec in routes(Template(AllowedOrigins="*")).items():
        assert spec["Target"] == "integrations/<HttpApiIntegration>", key


def test_authorizer_is_asked_as_its_function_expects_and_revocation_takes_less_than_a_minute() -> None:
    authorizer = new_network().resources["HttpApiAuthorizer"]["Properties"]

    assert authorizer["AuthorizerUri"].endswith(":lambda:path/2015-03-31/functions/<AuthorizeFunction.Arn>/invocations")
    assert (authorizer["AuthorizerType"], authorizer["AuthorizerPayloadFormatVersion"]) == ("REQUEST", "2.0")
    assert authorizer["EnableSimpleResponses"] is True
    # Without the header API Gateway itself responds with 401. Its value is the key of the cached answers.
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert 0 < authorizer["AuthorizerResultTtlInSeconds"] < 60


def test_only_the_authorizer_of_the_api_may_invoke_authorize() -> None:
    (permission,) = [
        spec
        for spec in new_network().of_type("AWS::Lambda::Permission").values()
        if spec["FunctionName"] == "<AuthorizeFunction>"
    ]

    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["SourceArn"].endswith(":<HttpApi>/authorizers/<HttpApiAuthorizer>")


def test_authorize_reaches_the_issuer_of_tokens_and_knows_neither_the_broker_nor_the_cache() -> None:
    function = new_network().complete_function("AuthorizeFunction")
    known = {"BUCKET", "KEY_ENVIRONMENT", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_TENANT_CLAIM", "JWT_DEFAULT_SCOPES"}

    assert "VpcConfig" not in function
    assert {name for name in function["Environment"]["Variables"] if name.startswith("DARKROOM_")} == {
        f"DARKROOM_{name}" for name in known
    }
    assert function["Timeout"] < 10  # API Gateway waits for 10 s


def test_scopes_of_tokens_are_passed_on_as_the_function_reads_them() -> None:
    variables = Template(JwtDefaultScopes="read,write").functions["AuthorizeFunction"]["Environment"]["Variables"]

    assert variables["DARKROOM_JWT_DEFAULT_SCOPES"] == "read write"


def test_output_warns_of_an_open_api_only() -> None:
    assert "Warning" not in new_network().outputs
    assert "The API is open." in Template(Access="open").outputs["Warning"]


def test_pages_of_no_other_site_may_use_the_service_unless_their_origins_are_listed() -> None:
    closed, listed = new_network(), Template(AllowedOrigins="https://a.example,https://b.example:8443")
    api, bucket = (listed.resources[name]["Properties"]["CorsConfiguration"] for name in ("HttpApi", "MediaBucket"))

    assert api["AllowOrigins"] == bucket["CorsRules"][0]["AllowedOrigins"]
    assert api["AllowOrigins"] == ["https://a.example", "https://b.example:8443"]
    for name in ("HttpApi", "MediaBucket"):
        assert "CorsConfiguration" not in closed.resources[name]["Properties"]


@pytest.mark.parametrize(
    ("origins", "accepted"),
    [
        ("", True),
        ("*", True),
        ("https://a.example", True),
        ("https://a.example,http://localhost:3000", True),
        ("https://a.example/", False),
        ("https://a.example, https://b.example", False),
        ("https://a.example,*", False),
        ("https://*.example", False),
        ("a.example", False),
    ],
)
def test_list_of_origins_is_accepted_only_with_whole_origins(origins: str, accepted: bool) -> None:
    pattern = new_network().raw["Parameters"]["AllowedOrigins"]["AllowedPattern"]

    assert (re.fullmatch(pattern, origins) is not None) is accepted


def test_browsers_may_send_every_header_and_method_that_the_api_accepts() -> None:
    allowed = Template(AllowedOrigins="*").resources["HttpApi"]["Properties"]["CorsConfiguration"]
    routes = [operation for path in app.openapi()["paths"].values() for operation in path.items()]
    parameters = [parameter for _, route in routes for parameter in route.get("parameters", [])]
    headers = {parameter["name"].lower() for parameter in parameters if parameter["in"] == "header"}

    assert headers
    assert set(allowed["AllowHeaders"]) == headers | {"authorization", "content-type"}
    assert set(allowed["AllowMethods"]) == {method.upper() for method, _ in routes}
