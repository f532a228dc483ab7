"""The order in which CloudFormation creates resources, and deletes them, for each way to deploy the template."""

from collections.abc import Callable, Mapping
from graphlib import CycleError
from typing import Any

import pytest

from tests.rehearsal.creation_order import before, dependencies, order
from tests.rehearsal.deployments import COMPLETE, VARIANTS, transformed
from tests.rehearsal.policies import listed


@pytest.fixture(params=VARIANTS)
def template(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    return dict(transformed()[request.param])


def of_type(template: Mapping[str, Any], *kinds: str) -> dict[str, Any]:
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] in kinds}


def endpoints(template: Mapping[str, Any]) -> dict[str, str]:
    """The logical ID of the endpoint of each service."""
    return {
        resource["Properties"]["ServiceName"].rpartition(".")[2]: name
        for name, resource in of_type(template, "AWS::EC2::VPCEndpoint").items()
    }


def services_of(template: Mapping[str, Any], role: str) -> set[str]:
    """The services that the statements of a role allow to call."""
    return {
        action.partition(":")[0]
        for policy in template["Resources"][role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in listed(statement["Action"])
    }


def test_no_resource_waits_for_itself(template: Mapping[str, Any]) -> None:
    assert set(order(dependencies(template))) == template["Resources"].keys()


def test_queues_are_declared_before_a_mapping_reads_them(template: Mapping[str, Any]) -> None:
    waits_for = dependencies(template)
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping")

    assert mappings
    for mapping in mappings:
        assert "Topology" in before(waits_for, mapping), mapping


def test_function_that_declares_the_queues_can_run_before_it_is_called(template: Mapping[str, Any]) -> None:
    earlier = before(dependencies(template), "Topology")
    reached = endpoints(template)
    called = (services_of(template, "TopologyRole") | {"s3"}) & reached.keys()  # it responds to CloudFormation by S3

    assert {"TopologyFunction", "TopologyRole", "TopologyLogs"} <= earlier
    assert of_type(template, "AWS::AmazonMQ::Broker", "AWS::EC2::SubnetRouteTableAssociation").keys() <= earlier
    assert {reached[service] for service in called} <= earlier


def test_mapping_finds_its_way_to_the_broker_and_to_its_function(template: Mapping[str, Any]) -> None:
    """It reports a problem and waits, if it is created before the endpoints that Lambda requires for it."""
    waits_for = dependencies(template)
    reached = endpoints(template)
    needed = {reached[service] for service in ("lambda", "sts", "secretsmanager") if reached}
    needed |= of_type(template, "AWS::EC2::SecurityGroupIngress").keys()

    for mapping in of_type(template, "AWS::Lambda::EventSourceMapping"):
        assert needed <= before(waits_for, mapping), mapping


def test_function_is_created_after_its_log_group_and_deleted_before_it(template: Mapping[str, Any]) -> None:
    """Otherwise a late line of the function would create the group again, without an end of retention."""
    waits_for = dependencies(template)
    groups = {
        resource["Properties"]["LogGroupName"]: name
        for name, resource in of_type(template, "AWS::Logs::LogGroup").items()
    }
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        group = groups[f"/aws/lambda/{function['Properties']['FunctionName']}"]
        assert group in before(waits_for, name), name


def test_bucket_is_created_after_s3_may_invoke_ingest(template: Mapping[str, Any]) -> None:
    earlier = before(dependencies(template), "MediaBucket")
    permitted = {
        name
        for name, permission in of_type(template, "AWS::Lambda::Permission").items()
        if permission["Properties"]["Principal"] == "s3.amazonaws.com"
    }

    assert permitted
    assert permitted <= earlier


def test_everything_in_the_network_is_deleted_before_the_network() -> None:
    template = transformed()[COMPLETE]
    waits_for = dependencies(template)
    inside = of_type(template, "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint")
    users = of_type(template, "AWS::Lambda::Function", "AWS::AmazonMQ::Broker", "AWS::ElastiCache::ReplicationGroup")

    assert len(users) > 10
    assert {name for name in [*inside, *users] if "Vpc" not in before(waits_for, name)} == {"AuthorizeFunction"}


def small(**resources: Any) -> dict[str, Any]:
    return {"Resources": {name: {"Type": "T", **resource} for name, resource in resources.items()}}


REFERENCES: dict[str, Callable[[str], dict[str, Any]]] = {
    "Ref": lambda other: {"Properties": {"A": [{"Ref": other}]}},
    "GetAtt": lambda other: {"Properties": {"A": {"Fn::GetAtt": [other, "Arn"]}}},
    "GetAtt as text": lambda other: {"Properties": {"A": {"Fn::GetAtt": f"{other}.Arn"}}},
    "Sub": lambda other: {"Properties": {"A": {"Fn::Sub": f"x-${{{other}.Arn}}-y"}}},
    "Sub with variables": lambda other: {"Properties": {"A": {"Fn::Sub": ["${B}", {"B": {"Ref": other}}]}}},
    "Join": lambda other: {"Properties": {"A": {"Fn::Join": ["", ["x", {"Ref": other}]]}}},
    "DependsOn": lambda other: {"DependsOn": other},
    "DependsOn of several": lambda other: {"DependsOn": [other]},
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_cycle_is_found_through_every_kind_of_reference(kind: str) -> None:
    reference = REFERENCES[kind]
    chain = dependencies(small(First=reference("Second"), Second=reference("Third"), Third={}))
    cycle = dependencies(small(First=reference("Second"), Second=reference("First")))

    assert order(chain) == ["Third", "Second", "First"]
    assert before(chain, "First") == {"Second", "Third"}
    with pytest.raises(CycleError):
        order(cycle)
