"""Reading the mappings of a deployed stack, with the answers that the emulator gives."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localstack.aws import deployed
from localstack.aws.deployed import DeployedMapping, UnsupportedMappingError

ARN = "arn:aws:mq:us-east-1:000000000000:broker:darkroom:b-1"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:darkroom-dispatch"


class Pages:
    def __init__(self, key: str, *pages: list[dict]) -> None:
        self._answers = [{key: page} for page in pages]

    def paginate(self, **_: object) -> list[dict]:
        return self._answers


class Stack:
    """What CloudFormation and Lambda say about one stack."""

    def __init__(self, resources: dict, conditions: dict | None = None, status: str = "CREATE_COMPLETE") -> None:
        self.status = status
        self.parameters = {"BrokerUrl": "amqp://x", "BrokerSecretArn": "arn:secret"}
        self.template: Any = {
            "Parameters": {"BrokerUrl": {"Default": ""}, "Host": {"Default": "/"}},
            "Conditions": conditions or {},
            "Mappings": {"Batch": {"Small": {"Size": 3}}},
            "Resources": resources,
        }

    def describe_stacks(self, StackName: str) -> dict:  # noqa: N803 - as botocore has it
        if not self.status:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        rows = [{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()]
        return {"Stacks": [{"StackId": StackName, "StackStatus": self.status, "Parameters": rows}]}

    def get_template(self, **_: object) -> dict:
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


def mapping(**properties: Any) -> dict:
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


def test_mapping_is_read_with_batch_window_queue_and_account():
    found = only(Stack({"ResizeMapping": mapping(BatchSize=10, MaximumBatchingWindowInSeconds=0)}))

    assert found == DeployedMapping("id-ResizeMapping", ARN, FUNCTION, "darkroom.resize", "/", "arn:secret", 10, 0)


def test_left_out_batch_and_window_are_those_of_aws():
    found = only(Stack({"M": mapping()}))

    assert (found.batch_size, found.window_s) == (100, 0.5)


@pytest.mark.parametrize("status", ["", "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"])
def test_nothing_is_known_while_the_stack_is_not_completely_deployed(status):
    assert read(Stack({"M": mapping()}, status=status)) is None


def test_disabled_mapping_and_mapping_on_another_source_are_left_out():
    stack = Stack({"Off": mapping(Enabled=False), "Sqs": mapping(Queues=None), "On": mapping()})

    assert [found.uuid for found in read(stack) or []] == ["id-On"]


def test_mapping_of_another_stack_is_left_out():
    stack = Stack({"Bucket": {"Type": "AWS::S3::Bucket"}})

    assert read(stack) == []


def test_mapping_with_filters_is_refused():
    with pytest.raises(UnsupportedMappingError, match="filters"):
        read(Stack({"M": mapping(FilterCriteria={"Filters": [{"Pattern": "{}"}]})}))


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
def test_functions_of_cloudformation_are_resolved(expression, value):
    conditions = {
        "Create": {"Fn::Equals": [{"Ref": "BrokerUrl"}, ""]},
        "Existing": {"Fn::And": [{"Fn::Not": [{"Condition": "Create"}]}, {"Fn::Or": [{"Condition": "Create"}, True]}]},
    }

    assert only(Stack({"M": mapping(Queues=[expression])}, conditions)).queue == value


def test_version_changes_with_the_state_of_the_stack():
    stack = Stack({})
    before = deployed.version("darkroom", stack)
    stack.status = "UPDATE_COMPLETE"

    assert before
    assert deployed.version("darkroom", stack) != before
    stack.status = ""
    assert deployed.version("darkroom", stack) == ""


def test_template_may_arrive_as_text():
    class TextStack(Stack):
        def get_template(self, **_: object) -> dict:
            return {"TemplateBody": json.dumps(self.template)}

    assert only(TextStack({"M": mapping()})).queue == "darkroom.resize"
