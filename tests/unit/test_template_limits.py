"""The limits, logs, network and guards of template.yaml, which cost money or an outage when they are wrong."""

import re
from collections.abc import Callable

import pytest

from localstack.settings import ACCOUNT
from tests.support.template import EXISTING, Template, existing_services, new_network
from tools import capacity

VARIANTS = {"with a new network": new_network, "on existing services": existing_services}


@pytest.fixture(params=VARIANTS)
def template(request: pytest.FixtureRequest) -> Template:
    return VARIANTS[request.param]()


def test_requests_of_the_api_are_limited(template: Template) -> None:
    settings = Template(ApiRateLimit="7", ApiBurstLimit="9").resources["HttpApiStage"]["Properties"]

    assert settings["DefaultRouteSettings"] == {"ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "9"}
    default = template.resources["HttpApiStage"]["Properties"]["DefaultRouteSettings"]
    assert 0 < default["ThrottlingRateLimit"] <= default["ThrottlingBurstLimit"] <= 100


def test_default_limits_of_runs_are_those_for_a_new_account() -> None:
    parameters = new_network().raw["Parameters"]
    default = capacity.InFlight(*(int(parameters[name]["Default"]) for name in ("ImageInFlight", "VideoInFlight")))

    assert default == capacity.largest(capacity.NEW_ACCOUNT)


@pytest.mark.parametrize("function", ["Api", "Ingest", "Settle"])
def test_environments_are_reserved_only_on_request(function: str) -> None:
    reserving = Template(**{f"{function}Concurrency": "20"}).functions[f"{function}Function"]

    assert reserving["ReservedConcurrentExecutions"] == "20"
    assert not [name for name, spec in new_network().functions.items() if "ReservedConcurrentExecutions" in spec]


@pytest.mark.parametrize("runtime", ["python3.11", "python3.10"])
def test_runtimes_on_amazon_linux_2_are_refused(runtime: str) -> None:
    allowed = new_network().raw["Parameters"]["RuntimeVersion"]["AllowedValues"]

    assert "python3.13" in allowed
    assert runtime not in allowed


def test_s3_endpoint_allows_responses_only_to_the_bucket_of_cloudformation_in_the_region() -> None:
    ours, responses = new_network().resources["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"]

    assert responses["Action"] == "s3:PutObject"
    # AWS names the region without hyphens there.
    assert responses["Resource"] == "arn:aws:s3:::cloudformation-custom-resource-response-eucentral1/*"
    assert not [resource for resource in ours["Resource"] if "cloudformation" in resource]


def test_network_resolves_only_names_of_aws() -> None:
    resources = new_network().resources
    domains = {
        f"<{name}>": spec["Properties"]["Domains"]
        for name, spec in resources.items()
        if spec["Type"] == "AWS::Route53Resolver::FirewallDomainList"
    }
    rules = sorted(resources["DnsRules"]["Properties"]["FirewallRules"], key=lambda rule: rule["Priority"])

    assert [(rule["Action"], domains[rule["FirewallDomainListId"]]) for rule in rules] == [
        ("ALLOW", ["*.amazonaws.com", "*.on.aws"]),
        ("BLOCK", ["*"]),
    ]
    assert resources["DnsRulesOfVpc"]["Properties"]["VpcId"] == "<Vpc>"


@pytest.mark.parametrize("make", [new_network, existing_services])
def test_bucket_refuses_connections_without_tls_except_in_the_emulator(make: Callable[[], Template]) -> None:
    policy = make().resources["MediaBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (refusal,) = policy

    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "s3:*")
    assert refusal["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"},
        "StringNotEquals": {"aws:ResourceAccount": ACCOUNT},
    }


def test_zones_are_the_first_two_of_the_region_or_those_that_are_given() -> None:
    chosen = Template(AvailabilityZoneA="eu-central-1c", AvailabilityZoneB="eu-central-1a")

    assert [zone(new_network(), name) for name in ("SubnetA", "SubnetB")] == ["eu-central-1a", "eu-central-1b"]
    assert [zone(chosen, name) for name in ("SubnetA", "SubnetB")] == ["eu-central-1c", "eu-central-1a"]


def zone(template: Template, subnet: str) -> str:
    return str(template.resources[subnet]["Properties"]["AvailabilityZone"])


def test_broker_writes_logs() -> None:
    assert new_network().resources["Broker"]["Properties"]["Logs"] == {"General": True}


def test_roles_may_send_traces_only_if_tracing_is_active(template: Template) -> None:
    parameters = EXISTING if "Broker" not in template.resources else {}
    traced = Template(**parameters, Tracing="Active")

    for chosen, expected in ((template, False), (traced, True)):
        held = ["<TracingPolicy>" in role["ManagedPolicyArns"] for role in chosen.of_type("AWS::IAM::Role").values()]
        assert set(held) == {expected}
    assert (template.function_defaults["Tracing"], traced.function_defaults["Tracing"]) == ("PassThrough", "Active")


def test_access_log_has_one_json_object_per_request(template: Template) -> None:
    written = template.resources["HttpApiStage"]["Properties"]["AccessLogSettings"]["Format"].strip()

    assert "\n" not in written
    assert {"ip", "method", "path", "status", "latency_ms"} <= set(re.findall(r'"(\w+)":', written))


def test_environment_from_a_mapping_is_text(template: Template) -> None:
    # Lambda's API takes only text. CloudFormation converts a number, but the emulator's functions do not start.
    for name, value in template.raw["Globals"]["Function"]["Environment"]["Variables"].items():
        if isinstance(value, dict) and "Fn::FindInMap" in value:
            assert isinstance(template.function_defaults["Environment"]["Variables"][name], str), name


def test_network_has_no_route_to_the_internet() -> None:
    kinds = {spec["Type"] for spec in new_network().resources.values()}

    assert kinds.isdisjoint({"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"})


def test_network_has_an_endpoint_for_every_service_that_functions_call() -> None:
    endpoints = new_network().of_type("AWS::EC2::VPCEndpoint").values()

    assert {endpoint["ServiceName"].rpartition(".")[2] for endpoint in endpoints} == {
        "s3",
        "secretsmanager",
        "lambda",
        "sts",
    }


def test_generated_passwords_suit_broker_and_cache() -> None:
    for secret in new_network().of_type("AWS::SecretsManager::Secret").values():
        generated = secret["GenerateSecretString"]
        assert generated["ExcludePunctuation"] is True
        assert 16 <= generated["PasswordLength"] <= 128


def test_broker_and_cache_accept_only_tls() -> None:
    resources = new_network().resources
    variables = new_network().function_defaults["Environment"]["Variables"]

    assert resources["Cache"]["Properties"]["TransitEncryptionEnabled"] is True
    assert resources["Broker"]["Properties"]["PubliclyAccessible"] is False
    assert variables["DARKROOM_CACHE_URL"].startswith("rediss://")


def test_passwords_come_from_their_secrets() -> None:
    resources = new_network().resources
    (user,) = resources["Broker"]["Properties"]["Users"]

    assert user["Password"] == "{{resolve:secretsmanager:<BrokerSecret>:SecretString:password}}"
    assert resources["Cache"]["Properties"]["AuthToken"] == (
        "{{resolve:secretsmanager:<CacheSecret>:SecretString:password}}"
    )


def test_only_s3_and_api_gateway_may_invoke_functions_and_only_for_this_stack(template: Template) -> None:
    permissions = template.of_type("AWS::Lambda::Permission").values()

    assert {spec["Principal"] for spec in permissions} == {"s3.amazonaws.com", "apigateway.amazonaws.com"}
    assert all("darkroom" in spec["SourceArn"] or "<HttpApi>" in spec["SourceArn"] for spec in permissions)
