"""Reads the event source mappings of a deployed stack.

What an emulator lists of a mapping lacks its queue and its account, so these come from the template that was deployed,
with references and conditions resolved as CloudFormation resolves them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

_TYPE = "AWS::Lambda::EventSourceMapping"

#: Records and seconds when a template says nothing. Half a second can only be had by saying nothing.
_DEFAULT_BATCH_SIZE = 100
_DEFAULT_WINDOW_S = 0.5


@dataclass(frozen=True)
class DeployedMapping:
    """One mapping: messages of `queue` go to `function_arn`, up to `batch_size` at a time, after at most `window_s`."""

    uuid: str
    source_arn: str
    function_arn: str
    queue: str
    virtual_host: str
    secret_arn: str
    batch_size: int
    window_s: float


class UnsupportedMappingError(Exception):
    """A mapping asks for something that only AWS does."""


def read(stack: str, cloudformation: Any, functions: Any) -> list[DeployedMapping] | None:
    """The stack's enabled mappings on RabbitMQ, or None while the stack is not completely deployed."""
    description = _describe(stack, cloudformation)
    if description is None or not description["StackStatus"].endswith("_COMPLETE"):
        return None
    template = _template(cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"])
    physical = _physical_ids(stack, cloudformation)
    scope = _Scope(template, _parameters(description), physical, stack)
    listed = {row["UUID"]: row for row in _listed(functions)}
    mappings = []
    for name, resource in template["Resources"].items():
        row = listed.get(physical.get(name, ""))
        if resource["Type"] == _TYPE and row is not None:
            properties = scope.resolve(resource.get("Properties", {}))
            if properties.get("Queues") and properties.get("Enabled", True) not in (False, "false"):
                mappings.append(_mapping(row, properties))
    return mappings


def version(stack: str, cloudformation: Any) -> str:
    """Changes with every deployment of the stack; empty while there is none."""
    description = _describe(stack, cloudformation)
    if description is None:
        return ""
    return f"{description['StackId']} {description['StackStatus']} {description.get('LastUpdatedTime', '')}"


def physical_id(stack: str, cloudformation: Any, logical_id: str) -> str | None:
    """What a resource of the stack is called, or None when it is not there."""
    try:
        detail = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=logical_id)
    except ClientError:
        return None
    return str(detail["StackResourceDetail"]["PhysicalResourceId"])


def _mapping(row: Mapping[str, Any], properties: Mapping[str, Any]) -> DeployedMapping:
    queues = properties["Queues"]
    if properties.get("FilterCriteria"):
        raise UnsupportedMappingError(f"the mapping on {queues} has filters, which are not emulated")
    access = {entry["Type"]: entry["URI"] for entry in properties.get("SourceAccessConfigurations", [])}
    return DeployedMapping(
        uuid=row["UUID"],
        source_arn=row["EventSourceArn"],
        function_arn=row["FunctionArn"],
        queue=queues[0],
        virtual_host=access.get("VIRTUAL_HOST", "/"),
        secret_arn=access["BASIC_AUTH"],
        batch_size=int(properties.get("BatchSize", _DEFAULT_BATCH_SIZE)),
        window_s=float(properties.get("MaximumBatchingWindowInSeconds", _DEFAULT_WINDOW_S)),
    )


def _describe(stack: str, cloudformation: Any) -> dict[str, Any] | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError:
        return None
    return dict(stacks[0]) if stacks else None


def _template(body: Any) -> dict[str, Any]:
    return dict(json.loads(body)) if isinstance(body, str) else dict(body)


def _parameters(description: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["ParameterKey"]: entry["ParameterValue"] for entry in description.get("Parameters", [])}


def _physical_ids(stack: str, cloudformation: Any) -> dict[str, str]:
    rows: list[dict[str, Any]] = []
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        rows += page["StackResourceSummaries"]
    return {row["LogicalResourceId"]: row.get("PhysicalResourceId", "") for row in rows}


def _listed(functions: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for page in functions.get_paginator("list_event_source_mappings").paginate():
        rows += page["EventSourceMappings"]
    return rows


class _Scope:
    """Resolves the functions of CloudFormation that a mapping's properties may use."""

    def __init__(
        self, template: Mapping[str, Any], parameters: Mapping[str, Any], physical: Mapping[str, str], stack: str
    ) -> None:
        defaults = {name: spec.get("Default", "") for name, spec in template.get("Parameters", {}).items()}
        self._values = {**physical, **defaults, **parameters, "AWS::StackName": stack}
        self._conditions = template.get("Conditions", {})
        self._mappings = template.get("Mappings", {})

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            apply = getattr(self, "_" + name.removeprefix("Fn::").lower(), None)
            if apply and (name.startswith("Fn::") or name in ("Ref", "Condition")):
                return apply(argument)
        return {name: self.resolve(item) for name, item in value.items()}

    def _ref(self, name: str) -> Any:
        return self._values.get(name, "")

    def _sub(self, argument: Any) -> str:
        text, extra = (argument, {}) if isinstance(argument, str) else argument
        values = {**self._values, **self.resolve(extra)}
        filled = re.sub(r"\$\{([^!}][^}]*)\}", lambda match: str(values.get(match[1], match[0])), text)
        return filled.replace("${!", "${")

    def _join(self, argument: Any) -> str:
        separator, parts = self.resolve(argument)
        return str(separator).join(map(str, parts))

    def _findinmap(self, argument: Any) -> Any:
        name, first, second = self.resolve(argument)
        return self._mappings[name][first][second]

    def _if(self, argument: Any) -> Any:
        condition, yes, no = argument
        return self.resolve(yes if self._condition(condition) else no)

    def _condition(self, name: str) -> bool:
        return bool(self.resolve(self._conditions[name]))

    def _equals(self, argument: Any) -> bool:
        left, right = self.resolve(argument)
        return bool(left == right)

    def _not(self, argument: Any) -> bool:
        return not self.resolve(argument)[0]

    def _and(self, argument: Any) -> bool:
        return all(self.resolve(argument))

    def _or(self, argument: Any) -> bool:
        return any(self.resolve(argument))
