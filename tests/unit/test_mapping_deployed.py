"""Reading the event source mappings of a deployed stack, from answers like the emulator's."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localstack.aws import deployed
from localstack.aws.deployed import DeployedMapping, UnsupportedMappingError

ARN = "arn:aws:mq:us-east-1:000000000000:broker:darkroom:b-1"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:darkroom-dispatch"

Json = dict[str, Any]


class Pages:
    def __init__(self, key: str, *pages: list[Json]) -> None:
        self._answers = [{key: page} for page in pages]

    def paginate(self, **_: object) -> list[Json]:
        return self._answers


class Stack:
    """The answers of CloudFormation and Lambda about one stack."""

    def __init__(self, resources: Json, conditions: Json | None = None, status: str = "CREATE_COMPLETE") -> None:
        self.status = status
        self.parameters = {"BrokerUrl": "amqp://x", "BrokerSecretArn": "arn:secret"}
        self.template: Json = {
            "Parameters": {"BrokerUrl": {"Default": ""}, "Host": {"Default": "/"}},
            "Conditions": conditions or {},
            "Mappings": {"Batch": {"Small": {"Size": 3}}},
            "Resources": resources,
        }

    def describe_stacks(self, StackName: str) -> Json:  # noqa: N803 - as botocore has it
        if not self.status:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        rows = [{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()]
        return {"Stacks": [{"StackId": StackName, "StackStatus": self.status, "Parameters": rows}]}

    def get_template(self, **_: object) -> Json:
        return {"TemplateBody": self.template}

    def get_paginator(self, name: str) -> Pages:
        if name == "list_stack_resources":
            rows = [{"LogicalResourceId": key, "PhysicalResourceId": f"id-{key}"} for key in self.template["Resources"]]
            return Pages("StackResourceSummaries", rows[:1], rows[1:])
        rows = [{"UUID": f"id-{key}", "EventSourceArn": ARN, "FunctionArn": FUNCTION} for key in self._mappings()]
        foreign = {"UUID": "foreign", "EventSourceArn": ARN, "FunctionArn": FUNCTION}
        return Pages("EventSourceMappings", [foreign], rows)

    def _mappings(self) -> list[str]:
        resources = self.template["Resources"]
        return [key for key, value in resources.items() if value["Type"] == "AWS::Lambda::EventSourceMapping"]


def mapping(**properties: Any) -> Json:
    access = [{"Type": "BASIC_AUTH", "URI": {"Ref": "BrokerSecretArn"}}, {"Type": "VIRTUAL_HOST", "URI": "/"}]
    return {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"Queues": ["darkroom.resize"], "SourceAccessConfigurations": access, **properties},
    }


def read(stack: Stack) -> list[DeployedMapping] | None:
    return deployed.read("darkroom", stack, stack)


def only(stack: Stack) -> DeployedMapping:
    (found,) = read(stack) or []
    return found


def test_mapping_is_read_with_its_batch_window_queue_and_account() -> None:
    found = only(Stack({"ResizeMapping": mapping(BatchSize=10, MaximumBatchingWindowInSeconds=0)}))

    assert found == DeployedMapping("id-ResizeMapping", ARN, FUNCTION, "darkroom.resize", "/", "arn:secret", 10, 0)


def test_batch_and_window_default_to_those_of_aws() -> None:
    found = only(Stack({"M": mapping()}))

    assert (found.batch_size, found.window_s) == (100, 0.5)


@pytest.mark.parametrize("status", ["", "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"])
def test_nothing_is_known_while_the_stack_is_not_completely_deployed(status: str) -> None:
    assert read(Stack({"M": mapping()}, status=status)) is None


def test_disabled_mappings_and_mappings_on_other_sources_are_left_out() -> None:
    stack = Stack({"Off": mapping(Enabled=False), "Sqs": mapping(Queues=None), "On": mapping()})

    assert [found.uuid for found in read(stack) or []] == ["id-On"]


def test_mapping_of_another_stack_is_left_out() -> None:
    stack = Stack({"Bucket": {"Type": "AWS::S3::Bucket"}})

    assert read(stack) == []


def test_mapping_with_filters_is_refused() -> None:
    with pytest.raises(UnsupportedMappingError, match="filters"):
        read(Stack({"M": mapping(FilterCriteria={"Filters": [{"Pattern": "{}"}]})}))


@pytest.mark.parametrize(
    "unknown", [{"Ref": "Nothing"}, {"Fn::GetAtt": ["M", "Arn"]}, {"Fn::ImportValue": "queue"}, {"Ref": "AWS::Region"}]
)
def test_mapping_with_a_property_that_cannot_be_resolved_is_refused(unknown: Json) -> None:
    with pytest.raises(UnsupportedMappingError, match="M cannot be resolved"):
        read(Stack({"M": mapping(Queues=[unknown])}))


def test_properties_that_the_emulator_lists_are_not_resolved() -> None:
    stack = Stack({"M": mapping(EventSourceArn={"Fn::GetAtt": ["Broker", "Arn"]})})

    assert only(stack).source_arn == ARN


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Fn::Sub": "${AWS::StackName}.resize"}, "darkroom.resize"),
        ({"Fn::Sub": ["${Name}.${!x}", {"Name": {"Ref": "BrokerUrl"}}]}, "amqp://x.${x}"),
        ({"Fn::Join": [".", ["darkroom", {"Ref": "BrokerSecretArn"}]]}, "darkroom.arn:secret"),
        ({"Fn::If": ["Create", "made", "given"]}, "given"),
        ({"Fn::If": ["Existing", "given", "made"]}, "given"),
        ({"Fn::FindInMap": ["Batch", "Small", "Size"]}, 3),
        ({"Ref": "M"}, "id-M"),
    ],
)
def test_functions_of_cloudformation_are_resolved(expression: Json, value: object) -> None:
    conditions = {
        "Create": {"Fn::Equals": [{"Ref": "BrokerUrl"}, ""]},
        "Existing": {"Fn::And": [{"Fn::Not": [{"Condition": "Create"}]}, {"Fn::Or": [{"Condition": "Create"}, True]}]},
    }

    assert only(Stack({"M": mapping(Queues=[expression])}, conditions)).queue == value


def test_version_changes_with_the_state_of_the_stack() -> None:
    stack = Stack({})
    before = deployed.version("darkroom", stack)
    stack.status = "UPDATE_COMPLETE"

    assert before
    assert deployed.version("darkroom", stack) != before
    stack.status = ""
    assert deployed.version("darkroom", stack) == ""


def test_template_can_be_text() -> None:
    class TextStack(Stack):
        def get_template(self, **_: object) -> Json:
            return {"TemplateBody": json.dumps(self.template)}

    assert only(TextStack({"M": mapping()})).queue == "darkroom.resize"
