"""Resolving a template: what CloudFormation does, and an error for everything else."""

from typing import Any

import pytest

from localstack.aws.cloudformation import Resolver, expand_loops

TEMPLATE: dict[str, Any] = {
    "Parameters": {"Size": {"Default": 3}, "Required": {}},
    "Conditions": {"Small": {"Fn::Equals": [{"Ref": "Size"}, "3"]}, "Large": {"Fn::Not": [{"Condition": "Small"}]}},
    "Mappings": {"Zones": {"a": {"Name": "first"}, "3": {"Name": "third"}}},
    "Resources": {
        "Queue": {"Type": "Q", "Properties": {"Name": {"Fn::Sub": "${AWS::StackName}-q"}}},
        "Absent": {"Type": "Q", "Condition": "Large"},
    },
}


class Placeholders(Resolver):
    def reference(self, resource: str) -> str:
        return f"<{resource}>"

    def attribute(self, resource: str, name: str) -> str:
        return f"<{resource}.{name}>"


def resolve(node: Any) -> Any:
    return Placeholders(TEMPLATE, {}, {"AWS::StackName": "s", "AWS::Region": "r"}).value(node)


def loop(fragment: dict[str, Any], items: Any) -> dict[str, Any]:
    return {"Resources": {"Fn::ForEach::Loop": ["Item", items, fragment]}}


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"Ref": "Size"}, 3),
        ({"Ref": "Queue"}, "<Queue>"),
        ({"Ref": {"Fn::Join": ["", ["Qu", "eue"]]}}, "<Queue>"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "<Queue.Arn>"),
        ({"Fn::GetAtt": "Queue.Endpoint.Port"}, "<Queue.Endpoint.Port>"),
        ({"Fn::GetAtt": [{"Fn::Sub": "Queue"}, "Arn"]}, "<Queue.Arn>"),
        ({"Fn::Sub": "${Queue} ${Queue.Arn} ${Size} ${!Size}"}, "<Queue> <Queue.Arn> 3 ${Size}"),
        ({"Fn::Sub": ["${Own} ${Size}", {"Own": {"Ref": "Queue"}}]}, "<Queue> 3"),
        ({"Fn::FindInMap": ["Zones", "a", "Name"]}, "first"),
        ({"Fn::FindInMap": ["Zones", {"Ref": "Size"}, "Name"]}, "third"),
        ({"Fn::FindInMap": ["Zones", "a", "Port", {"DefaultValue": {"Ref": "Size"}}]}, 3),
        ({"Fn::If": ["Small", "yes", {"Ref": "Nothing"}]}, "yes"),
        ({"Fn::And": [{"Condition": "Small"}, {"Condition": "Large"}]}, False),
        ({"Fn::Or": [{"Condition": "Small"}, {"Condition": "Large"}]}, True),
        ({"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::GetAZs": ""}, ["ra", "rb", "rc"]),
        ([1, {"Ref": "AWS::NoValue"}, {"a": {"Ref": "AWS::NoValue"}, "b": 2}], [1, {"b": 2}]),
        (
            {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ),
    ],
)
def test_function_is_resolved_as_cloudformation_does(node: Any, value: Any) -> None:
    assert resolve(node) == value


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"Fn::Base64": "text"}, "Fn::Base64"),
        ({"Fn::Transform": {}, "Name": "n"}, "Fn::Transform"),
        ({"Ref": "Nothing"}, "Nothing"),
        ({"Ref": "Required"}, "Required"),
        ({"Ref": "AWS::AccountId"}, "AWS::AccountId"),
        ({"Ref": "Absent"}, "not created"),
        ({"Fn::GetAtt": ["Absent", "Arn"]}, "not created"),
        ({"Fn::Sub": "${Nothing.Arn}"}, "Nothing"),
        ({"Fn::If": ["Unknown", 1, 2]}, "condition Unknown"),
        ({"Fn::FindInMap": ["Unknown", "a", "Name"]}, "mapping Unknown"),
        ({"Fn::FindInMap": ["Zones", "b", "Name"]}, "row b"),
        ({"Fn::FindInMap": ["Zones", "a", "Port"]}, "column Port"),
    ],
)
def test_what_cannot_be_resolved_is_an_error(node: Any, message: str) -> None:
    with pytest.raises(LookupError, match=message):
        resolve(node)


def test_references_are_errors_where_nothing_defines_their_values() -> None:
    resolver = Resolver(TEMPLATE, {}, {})

    for node in ({"Ref": "Queue"}, {"Fn::GetAtt": ["Queue", "Arn"]}):
        with pytest.raises(LookupError, match="Queue"):
            resolver.value(node)


def test_parameters_override_their_defaults() -> None:
    template = Placeholders(TEMPLATE, {"Size": "4"}, {"AWS::StackName": "s"})

    assert not template.holds("Small")
    assert template.resources == {
        "Queue": {"Type": "Q", "Properties": {"Name": "s-q"}},
        "Absent": {"Type": "Q", "Condition": "Large"},
    }


def test_loop_puts_its_item_into_keys_references_and_substitutions_only() -> None:
    fragment = {
        "${Item}Queue": {
            "Ref": {"Ref": "Item"},
            "Sub": {"Fn::Sub": ["${Item}-${Own}", {"Own": {"Ref": "Item"}}]},
            "Arn": {"Fn::GetAtt": [{"Fn::Sub": "${Item}Role"}, "Arn"]},
            "Text": "${Item}",
        }
    }

    resources = expand_loops(loop(fragment, ["A", "B"]))["Resources"]

    assert list(resources) == ["AQueue", "BQueue"]
    assert resources["BQueue"] == {
        "Ref": "B",
        "Sub": {"Fn::Sub": ["B-${Own}", {"Own": "B"}]},
        "Arn": {"Fn::GetAtt": [{"Fn::Sub": ["BRole"]}, "Arn"]},
        "Text": "${Item}",
    }


@pytest.mark.parametrize(
    "template",
    [
        loop({"${Item}": {}}, {"Ref": "Items"}),
        loop({"Fn::ForEach::Inner": ["Part", ["x"], {"${Item}${Part}": {}}]}, ["A"]),
        loop({"Constant": {}}, ["A", "B"]),
    ],
    ids=["a collection that is a function", "a loop in a loop", "the same key for every item"],
)
def test_loop_that_is_not_understood_is_an_error(template: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        expand_loops(template)
