"""The deployed template as a change set with the parameters of AWS, on the emulator.

The emulator applies the language extensions and SAM, evaluates parameters, conditions and rules, and refuses types of
resources that it does not know. It has no Amazon MQ, so a new network is planned with placeholders for such types. It
does not look at properties: tests/unit/test_schemas.py does.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from localstack.settings import load
from tests.rehearsal.deployments import COMPLETE, NEW_NETWORK, VARIANTS, transformed
from tests.support.template import EXISTING, EXISTING_IN_NETWORK, Template

#: The stack that is planned and never created.
NAME = "planned"

#: Seconds until a change set must be complete.
TIMEOUT_S = 60

#: Asks for a change set, with a template and parameters.
Create = Callable[[str, dict[str, str]], None]

#: Plans a deployment of a template with parameters. Returns the types of its resources, by logical ID.
Plan = Callable[[str, dict[str, str]], dict[str, str]]


@pytest.fixture(scope="module")
def cloudformation() -> Any:
    return client("cloudformation")


def client(service: str) -> Any:
    return botocore.session.get_session().create_client(service)  # the environment names the emulator


@pytest.fixture(scope="module")
def create(cloudformation: Any) -> Create:
    """Sends a template through S3, because a request has room for 51,200 bytes of one."""
    bucket = load().artifact_bucket

    def create(template: str, parameters: dict[str, str]) -> None:
        client("s3").put_object(Bucket=bucket, Key=NAME, Body=template.encode())
        cloudformation.create_change_set(
            StackName=NAME,
            ChangeSetName=NAME,
            ChangeSetType="CREATE",
            TemplateURL=f"{load().endpoint_url}/{bucket}/{NAME}",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )

    return create


@pytest.fixture(scope="module")
def packaged(cloudformation: Any) -> str:
    """The template as `sam deploy` has sent it."""
    return str(cloudformation.get_template(StackName=load().stack, TemplateStage="Original")["TemplateBody"])


@pytest.fixture
def plan(cloudformation: Any, create: Create) -> Iterator[Plan]:
    """Raises botocore's ClientError when the emulator refuses the template or the parameters."""

    def plan(template: str, parameters: dict[str, str]) -> dict[str, str]:
        create(template, parameters)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            found = cloudformation.describe_change_set(StackName=NAME, ChangeSetName=NAME)
            if not found["Status"].endswith(("PENDING", "IN_PROGRESS")):
                break
            assert time.monotonic() < deadline, found["Status"]
            time.sleep(0.1)
        assert (found["Status"], found["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE"), found
        changes = [change["ResourceChange"] for change in found["Changes"]]
        assert {change["Action"] for change in changes} == {"Add"}
        return {change["LogicalResourceId"]: change["ResourceType"] for change in changes}

    yield plan
    cloudformation.delete_stack(StackName=NAME)


@pytest.fixture(scope="module")
def unknown(create: Create, packaged: str) -> set[str]:
    """The types of a new network that the emulator does not know, by its own message."""
    with pytest.raises(ClientError, match="Unrecognized resource types") as error:
        create(packaged, {})
    return set(re.findall(r"AWS::\w+::\w+", str(error.value)))


@pytest.fixture(scope="module")
def known(packaged: str, unknown: set[str]) -> str:
    """The template with custom resources in place of the types that the emulator does not know."""
    for kind in unknown:
        packaged = packaged.replace(f"Type: {kind}\n", f"Type: Custom::{kind.replace('::', '')}\n")
    return packaged


def expected(variant: str) -> dict[str, str]:
    """What the variant creates: the types of its resources by logical ID, without the hashes of SAM's layers."""
    return without_hashes({name: resource["Type"] for name, resource in transformed()[variant]["Resources"].items()})


def without_hashes(resources: dict[str, str]) -> dict[str, str]:
    return {
        re.sub(r"[0-9a-f]{10}$", "", name) if kind == "AWS::Lambda::LayerVersion" else name: kind
        for name, kind in resources.items()
    }


def conditional() -> set[str]:
    """The resources that only some ways to deploy create. The emulator lists them whether they are created or not."""
    return {name for name, resource in Template().raw["Resources"].items() if "Condition" in resource}


@pytest.mark.parametrize("variant", [name for name, parameters in VARIANTS.items() if "BrokerUrl" in parameters])
def test_deployment_on_existing_services_can_be_planned(variant: str, packaged: str, plan: Plan) -> None:
    planned = without_hashes(plan(packaged, dict(VARIANTS[variant])))
    own = expected(variant)

    assert planned.items() >= own.items()
    assert planned.keys() - own.keys() <= conditional()


@pytest.mark.parametrize("variant", [NEW_NETWORK, COMPLETE])
def test_new_network_can_be_planned_but_for_types_that_the_emulator_does_not_know(
    variant: str, known: str, unknown: set[str], plan: Plan
) -> None:
    kinds = expected(variant)
    concerned = {name for name, kind in kinds.items() if kind in unknown}
    planned = without_hashes(plan(known, dict(VARIANTS[variant])))

    assert "AWS::AmazonMQ::Broker" in unknown
    assert concerned <= conditional(), "the local stack creates a type that the emulator does not know"
    assert planned.keys() >= kinds.keys()
    assert {name for name in kinds if planned[name] != kinds[name]} == concerned


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "broker without its ARN": (EXISTING | {"BrokerArn": ""}, "BrokerUrl needs BrokerArn"),
    "broker without its secret": (EXISTING | {"BrokerSecretArn": ""}, "BrokerUrl needs BrokerSecretArn"),
    "broker without a cache": (EXISTING | {"CacheUrl": ""}, "BrokerUrl needs CacheUrl"),
    "cache without a broker": ({"CacheUrl": EXISTING["CacheUrl"]}, "CacheUrl needs BrokerUrl"),
    "subnets without security groups": (
        EXISTING_IN_NETWORK | {"SecurityGroupIds": ""},
        "SubnetIds needs SecurityGroupIds",
    ),
    "subnets without a broker": (
        {name: EXISTING_IN_NETWORK[name] for name in ("SubnetIds", "SecurityGroupIds")},
        "SubnetIds needs BrokerUrl",
    ),
    "address with credentials": (EXISTING | {"BrokerUrl": "amqps://user:secret@b-1.example:5671"}, "BrokerUrl"),
    "value that is not allowed": (EXISTING | {"LogLevel": "LOUD"}, "LogLevel"),
    "one zone alone": (EXISTING | {"AvailabilityZoneA": "us-east-1a"}, "AvailabilityZoneA needs AvailabilityZoneB"),
    "number below its minimum": (EXISTING | {"MaxWaiting": "0"}, "MaxWaiting"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_parameters_that_do_not_fit_are_refused_before_anything_is_created(case: str, known: str, plan: Plan) -> None:
    parameters, named = REFUSED[case]

    with pytest.raises(ClientError, match=named):
        plan(known, parameters)
