"""template.yaml as data, with its functions resolved as CloudFormation resolves them for given parameters.

What is only known after a deployment reads `<Resource>` or `<Resource.Attribute>`, and the first item of an attribute
that is a list `<Resource.Attribute.0>`.
"""

import re
from collections import ChainMap
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from localstack.aws.cloudformation import Resolver

PATH = Path(__file__).parents[2] / "template.yaml"

PSEUDO_PARAMETERS = {
    "AWS::StackName": "darkroom",
    "AWS::AccountId": "123456789012",
    "AWS::Region": "eu-central-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
EXISTING = {
    "BrokerUrl": "amqps://broker.example:5671/%2F",
    "BrokerArn": "arn:aws:mq:eu-central-1:123456789012:broker:theirs:b-1",
    "BrokerSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-abc",
    "CacheUrl": "rediss://cache.example:6379/0",
    "CacheSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cache-abc",
}
#: The same broker and cache, for functions in a private network.
EXISTING_IN_NETWORK = EXISTING | {"SubnetIds": "subnet-0123abcd,subnet-4567abcd", "SecurityGroupIds": "sg-0123abcd"}

#: Attributes whose value is a list.
LIST_ATTRIBUTES = frozenset({"AmqpEndpoints"})

_PLACEHOLDER = re.compile(r"<(\w+)(?:\.([A-Za-z.]+))?(?:\.(\d+))?>")


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as its long ones."""


def _intrinsic(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return {name: text.split(".", 1) if suffix == "GetAtt" else text}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _intrinsic)


@lru_cache(maxsize=1)
def read() -> dict[str, Any]:
    """Returns template.yaml as it is written, loops included."""
    return dict(yaml.load(PATH.read_text(), Loader))  # noqa: S506 - a SafeLoader


class Template(Resolver):
    """The template for one set of parameters. Raises LookupError where it refers to what does not exist then."""

    def __init__(self, pseudo_parameters: Mapping[str, str] = PSEUDO_PARAMETERS, /, **parameters: str) -> None:
        assert parameters.keys() <= read()["Parameters"].keys(), "an unknown parameter"
        super().__init__(read(), parameters, pseudo_parameters)

    def reference(self, resource: str) -> str:
        """Returns a placeholder for the ID that a deployment gives to a resource."""
        return f"<{resource}>"

    def attribute(self, resource: str, name: str) -> Any:
        """Returns a placeholder for an attribute that a deployment gives to a resource."""
        return [f"<{resource}.{name}.0>"] if name in LIST_ATTRIBUTES else f"<{resource}.{name}>"

    @cached_property
    def function_defaults(self) -> dict[str, Any]:
        """The properties that all functions share."""
        return dict(self.value(self.raw["Globals"]["Function"]))

    def complete_function(self, name: str) -> dict[str, Any]:
        """The properties of a function with those that all share, except for what it ignores of them."""
        ignored = self.resources[name].get("IgnoreGlobals", [])
        shared = {key: value for key, value in self.function_defaults.items() if key not in ignored}
        own = self.functions[name]
        environments = [spec["Environment"]["Variables"] for spec in (shared, own) if "Environment" in spec]
        return {**shared, **own, "Environment": {"Variables": dict(ChainMap(*reversed(environments)))}}

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of every resource of one type, by logical ID."""
        return {name: resource["Properties"] for name, resource in self.resources.items() if resource["Type"] == kind}

    @property
    def functions(self) -> dict[str, Any]:
        """The properties of every function, by logical ID."""
        return self.of_type("AWS::Serverless::Function")


def with_references(node: Any) -> Any:
    """A resolved part of the template with its placeholders as the functions of CloudFormation that they stand for."""
    if isinstance(node, list):
        return [with_references(entry) for entry in node]
    if isinstance(node, dict):
        return {name: with_references(value) for name, value in node.items()}
    if not isinstance(node, str) or not _PLACEHOLDER.search(node):
        return node
    if match := _PLACEHOLDER.fullmatch(node):
        return _reference(match)
    parts: list[Any] = []
    start = 0
    for match in _PLACEHOLDER.finditer(node):
        parts += [node[start : match.start()], _reference(match)]
        start = match.end()
    return {"Fn::Join": ["", [part for part in [*parts, node[start:]] if part]]}


def _reference(match: re.Match[str]) -> dict[str, Any]:
    resource, attribute, index = match.groups()
    if attribute is None:
        return {"Ref": resource}
    value = {"Fn::GetAtt": [resource, attribute]}
    return value if index is None else {"Fn::Select": [int(index), value]}


def deployable(template: Template) -> dict[str, Any]:
    """The SAM template that is left of template.yaml when everything but references to resources is resolved."""
    resources = {
        name: {key: value for key, value in resource.items() if key != "Condition"}
        for name, resource in template.resources.items()
    }
    for resource in resources.values():
        if "IgnoreGlobals" in resource:  # SAM refuses the name of a property that is left out
            resource["IgnoreGlobals"] = [
                name for name in resource["IgnoreGlobals"] if name in template.function_defaults
            ]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Globals": {"Function": with_references(template.function_defaults)},
        "Resources": with_references(resources),
        "Outputs": {name: {"Value": with_references(value)} for name, value in template.outputs.items()},
    }


def new_network() -> Template:
    """The template as it is deployed with a network, broker and cache of its own."""
    return Template()


def existing_services() -> Template:
    """The template as it is deployed onto an existing broker and cache that need no network."""
    return Template(**EXISTING)


def existing_network() -> Template:
    """The template as it is deployed onto an existing broker and cache in a private network."""
    return Template(**EXISTING_IN_NETWORK)
