"""template.yaml as data, with its references worked out as CloudFormation would for given parameters.

What cannot be known before a deployment stands as `<Resource>` or `<Resource.Attribute>`.
"""

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parents[1] / "template.yaml"

PSEUDO = {
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
NO_VALUE = object()


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
def _read() -> dict[str, Any]:
    return dict(yaml.load(PATH.read_text(), Loader))  # noqa: S506 - a SafeLoader


class Template:
    """The template for one set of parameters. Raises LookupError where it refers to what does not exist then."""

    def __init__(self, **parameters: str) -> None:
        self.raw = _read()
        defaults = {name: spec.get("Default") for name, spec in self.raw["Parameters"].items()}
        assert parameters.keys() <= defaults.keys(), "an unknown parameter"
        self.parameters = defaults | parameters

    @cached_property
    def resources(self) -> dict[str, Any]:
        """Every resource that is created, worked out."""
        return {name: self.value(spec) for name, spec in self.raw["Resources"].items() if self.exists(name)}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return {name: self.value(spec["Value"]) for name, spec in self.raw["Outputs"].items()}

    @cached_property
    def function_defaults(self) -> dict[str, Any]:
        return dict(self.value(self.raw["Globals"]["Function"]))

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of every resource of one type, by logical id."""
        return {name: spec["Properties"] for name, spec in self.resources.items() if spec["Type"] == kind}

    @property
    def functions(self) -> dict[str, Any]:
        """Every function's properties, by logical id."""
        return self.of_type("AWS::Serverless::Function")

    def exists(self, resource: str) -> bool:
        """Whether a resource's condition holds."""
        condition = self.raw["Resources"][resource].get("Condition")
        return condition is None or self.holds(condition)

    def holds(self, condition: str) -> bool:
        return bool(self.value(self.raw["Conditions"][condition]))

    def value(self, node: Any) -> Any:
        """A value with everything that it refers to put in its place."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            name, argument = next(iter(node.items()))
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        worked_out = {name: self.value(value) for name, value in node.items()}
        return {name: value for name, value in worked_out.items() if value is not NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        if name == "Fn::If":
            condition, then, otherwise = argument
            return self.value(then if self.holds(condition) else otherwise)
        if name == "Fn::Sub":
            return self._sub(argument)
        argument = self.value(argument) if name != "Ref" else argument
        match name:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                self._must_exist(argument[0])
                return f"<{'.'.join(argument)}>"
            case "Fn::FindInMap":
                first, top, second = argument
                return self.raw["Mappings"][first][str(top)][second]
            case "Fn::Equals":
                return str(argument[0]) == str(argument[1])
            case "Fn::Not":
                return not argument[0]
            case "Fn::Or":
                return any(argument)
            case "Fn::Join":
                return argument[0].join(argument[1])
            case "Fn::Select":
                return argument[1][int(argument[0])]
            case "Fn::Split":
                return argument[1].split(argument[0])
            case "Fn::GetAZs":
                return [f"{PSEUDO['AWS::Region']}{letter}" for letter in "abc"]
        raise LookupError(f"{name} is not known here")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        self._must_exist(name)
        return f"<{name}>"

    def _sub(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument

        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            if name in own:
                return str(self.value(own[name]))
            return str(self._call("Fn::GetAtt", name.split(".", 1)) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", replacement, text)

    def _must_exist(self, resource: str) -> None:
        if resource not in self.raw["Resources"]:
            raise LookupError(f"there is no resource {resource}")
        if not self.exists(resource):
            raise LookupError(f"{resource} is not created under these parameters, and yet referred to")


def new_network() -> Template:
    """The template as it is deployed with a network, broker and cache of its own."""
    return Template()


def existing_services() -> Template:
    """The template as it is deployed onto an existing broker and cache that need no network."""
    return Template(**EXISTING)
