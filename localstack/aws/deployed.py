"""Reads the event source mappings of a deployed stack.

The emulator lists a mapping without its queue and its broker account. Both are read from the deployed template.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from localstack.aws.cloudformation import Resolver

_TYPE = "AWS::Lambda::EventSourceMapping"

#: The properties of a mapping that are read from the template; the emulator lists the others.
_PROPERTIES = (
    "Queues",
    "Enabled",
    "FilterCriteria",
    "SourceAccessConfigurations",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
)

#: Lambda's defaults. The property takes whole seconds, so a window of half a second is possible only as the default.
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
    """A mapping uses a feature that is not emulated."""


def read(stack: str, cloudformation: Any, functions: Any) -> list[DeployedMapping] | None:
    """Returns the stack's enabled mappings on RabbitMQ, or None while the stack is not completely deployed."""
    description = _describe(stack, cloudformation)
    if description is None or not description["StackStatus"].endswith("_COMPLETE"):
        return None
    body = _body(cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"])
    physical_ids = _physical_ids(stack, cloudformation)
    template = _DeployedTemplate(body, _parameters(description), stack, physical_ids)
    listed = {row["UUID"]: row for row in _listed(functions)}
    mappings = []
    for name, resource in template.raw["Resources"].items():
        row = listed.get(physical_ids.get(name, ""))
        if resource["Type"] == _TYPE and row is not None:
            properties = template.mapping_properties(name)
            if properties.get("Queues") and properties.get("Enabled", True) not in (False, "false"):
                mappings.append(_mapping(row, properties))
    return mappings


def version(stack: str, cloudformation: Any) -> str:
    """Returns a text that changes with every deployment of the stack; an empty one while there is no stack."""
    description = _describe(stack, cloudformation)
    if description is None:
        return ""
    return f"{description['StackId']} {description['StackStatus']} {description.get('LastUpdatedTime', '')}"


def physical_id(stack: str, cloudformation: Any, logical_id: str) -> str | None:
    """Returns the physical ID of a resource, or None when the stack does not have the resource."""
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


def _body(body: Any) -> dict[str, Any]:
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


class _DeployedTemplate(Resolver):
    """The template of a deployed stack, in which a Ref to a resource yields its physical ID."""

    def __init__(
        self, template: Mapping[str, Any], parameters: Mapping[str, Any], stack: str, physical_ids: Mapping[str, str]
    ) -> None:
        super().__init__(template, parameters, {"AWS::StackName": stack})
        self._physical_ids = physical_ids

    def reference(self, resource: str) -> str:
        """Returns the physical ID of a resource."""
        if not self._physical_ids.get(resource):
            raise LookupError(f"{resource} has no physical ID")
        return self._physical_ids[resource]

    def mapping_properties(self, mapping: str) -> dict[str, Any]:
        """Returns the resolved `_PROPERTIES` of a mapping. Raises UnsupportedMappingError where that is impossible."""
        given = self.raw["Resources"][mapping]["Properties"]
        try:
            return dict(self.value({name: given[name] for name in _PROPERTIES if name in given}))
        except LookupError as error:
            raise UnsupportedMappingError(f"the properties of {mapping} cannot be resolved: {error}") from error
