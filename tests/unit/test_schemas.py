"""Every property of every resource against the schemas that AWS publishes, for each way to deploy the template.

The template is resolved for the parameters, and transformed by SAM, before it is checked. The check itself is tested
with planted errors: at every place of the template, or of a kind that a schema knows.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from localstack.errors import StackError
from tests.rehearsal.deployments import COMPLETE, VARIANTS, created, run, transformed
from tests.support.template import PSEUDO_PARAMETERS, Template, deployable, existing_services
from tools.deploy import require_name

Path = tuple[str, ...]
Problem = Mapping[str, Any]

#: Where a schema allows every name and value: environment variables, tags by name, and parameters of custom resources
#: and of the cache's engine. It also allows every name in a Principal and below an operator of a Condition.
FREE = (
    ("*", "Properties", "Environment", "Variables"),
    ("HttpApi", "Properties", "Tags"),
    ("Topology", "Properties"),
    ("CacheParameters", "Properties", "Properties"),
)

#: Errors of each kind: a path, the wrong value, and what the message of the check must contain.
PLANTED: dict[str, tuple[Path, Any, str]] = {
    "enum of a string": (("Broker", "Properties", "DeploymentMode"), "SINGLE", "is not one of"),
    "enum of a number": (("ApiLogs", "Properties", "RetentionInDays"), 15, "is not one of"),
    "enum of a nested value": (
        ("MediaBucket", "Properties", "OwnershipControls", "Rules", "0", "ObjectOwnership"),
        "Owner",
        "is not one of",
    ),
    "enum of a list": (("ApiFunction", "Properties", "Architectures", "0"), "x86", "is not one of"),
    "runtime": (("IngestFunction", "Properties", "Runtime"), "python3.99", "is not one of"),
    "type of an access configuration": (
        ("DeadMapping", "Properties", "SourceAccessConfigurations", "0", "Type"),
        "PASSWORD",
        "is not one of",
    ),
    "too long": (("SettleFunction", "Properties", "FunctionName"), "x" * 65, "does not match"),
    "too long ID": (
        ("MediaBucket", "Properties", "LifecycleConfiguration", "Rules", "0", "Id"),
        "x" * 256,
        "longer than",
    ),
    "pattern": (("SweepLogs", "Properties", "LogGroupName"), "/aws/lambda/a b", "does not match"),
    "too large": (("SweepFunctionEventInvokeConfig", "Properties", "MaximumRetryAttempts"), 3, "maximum of"),
    "too small": (("SettleFunction", "Properties", "MemorySize"), 64, "minimum of"),
    "number as text": (("ResizeMapping", "Properties", "BatchSize"), "ten", "is not of type"),
    "list instead of text": (("CacheSubnets", "Properties", "Description"), ["private"], "is not of type"),
    "format": (("Vpc", "Properties", "CidrBlock"), "10.0.0.0/33", "is not a 'ipv4-network'"),
    "instance type": (("Broker", "Properties", "HostInstanceType"), "mq.t9.micro", "is not one of"),
    "action that does not exist": (
        ("OperationPolicy", "Properties", "PolicyDocument", "Statement", "0", "Action"),
        "s3:GetObjects",
        "is not one of",
    ),
    "effect": (("OperationPolicy", "Properties", "PolicyDocument", "Statement", "1", "Effect"), "Grant", "not one of"),
}


def nodes(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every part of a resource below its properties, and its path."""
    if is_free(path):
        return
    yield path, node
    if isinstance(node, dict) and not is_function(node):
        for name, value in node.items():
            yield from nodes(value, (*path, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from nodes(value, (*path, str(index)))


def is_free(path: Path) -> bool:
    return any(
        len(path) >= len(free) and all(part in ("*", own) for part, own in zip(free, path[: len(free)], strict=True))
        for free in FREE
    )


def is_function(node: Any) -> bool:
    return isinstance(node, dict) and len(node) == 1 and next(iter(node)).startswith(("Fn::", "Ref"))


def every_node(template: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    return [
        found
        for name, resource in template["Resources"].items()
        for found in nodes(resource.get("Properties", {}), (name, "Properties"))
    ]


def at(template: Mapping[str, Any], path: Path) -> Any:
    """The part of a template's resources at a path."""
    node = template["Resources"]
    for part in path:
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def put(template: Mapping[str, Any], path: Path, value: Any) -> None:
    parent = at(template, path[:-1])
    parent[int(path[-1]) if isinstance(parent, list) else path[-1]] = value


def found_at(problems: list[Problem], path: Path) -> list[Problem]:
    """The problems that the check reports at a path or below it."""
    full = ["Resources", *path]
    return [problem for problem in problems if problem["path"][: len(full)] == full]


def longest_name(region: str) -> str:
    """The longest name of a stack with which make deploy starts."""
    name = "a"
    with contextlib.suppress(StackError):
        while True:
            require_name(f"{name}a", region)
            name += "a"
    return name


def test_every_resource_is_valid_for_every_way_to_deploy_and_with_the_longest_name_of_a_stack() -> None:
    region = "eu-west-1"  # one of the shortest, so that the name of the stack may be long
    named = {"AWS::StackName": longest_name(region), "AWS::Region": region}
    template = Template(PSEUDO_PARAMETERS | named, **VARIANTS[COMPLETE])
    long = run("transform", {"with the longest name": deployable(template)})
    problems = run("check", transformed() | long)

    assert len(named["AWS::StackName"]) > 30
    assert problems == {name: [] for name in [*VARIANTS, *long]}


def test_every_condition_holds_in_one_way_to_deploy_and_not_in_another() -> None:
    templates = [Template(**parameters) for parameters in VARIANTS.values()]
    conditions = templates[0].raw["Conditions"]

    assert conditions
    assert {name: {template.holds(name) for template in templates} for name in conditions} == {
        name: {True, False} for name in conditions
    }


@dataclass(frozen=True)
class Planted:
    """A template with errors of one kind, and where they are."""

    template: Mapping[str, Any]
    paths: Sequence[Path]


def with_unknown_properties() -> Planted:
    template = created()
    paths = [
        path
        for path, node in every_node(template)
        if isinstance(node, dict) and not is_function(node) and path[-1] != "Principal" and path[-2] != "Condition"
    ]
    for path in paths:
        at(template, path)["Misspelled"] = "x"
    return Planted(template, paths)


def with_wrong_types() -> Planted:
    template = created()
    paths = [
        path for path, node in every_node(template) if isinstance(node, str | int | bool) and "Principal" not in path
    ]
    for path in paths:
        put(template, path, {"Planted": {"a": 1}})
    return Planted(template, paths)


def without_required_properties() -> Planted:
    template = created()
    kinds = {name: resource["Type"] for name, resource in template["Resources"].items()}
    required = run("required", {kind: kind for kind in kinds.values() if kind.startswith("AWS::")})
    paths = [(name, "Properties", wanted) for name, kind in kinds.items() for wanted in required.get(kind, [])]
    for path in paths:
        del at(template, path[:-1])[path[-1]]
    return Planted(template, paths)


def with_errors_of_each_kind() -> Planted:
    template = created()
    for path, value, _ in PLANTED.values():
        put(template, path, value)
    return Planted(template, [path for path, _, _ in PLANTED.values()])


KINDS = (with_unknown_properties, with_wrong_types, without_required_properties, with_errors_of_each_kind)


@lru_cache(maxsize=1)
def found_in_planted() -> dict[str, tuple[Planted, list[Problem]]]:
    """The errors of each kind, and what the check reports about them; one process checks all."""
    planted = {kind.__name__: kind() for kind in KINDS}
    problems = run("check", {name: entry.template for name, entry in planted.items()})
    return {name: (entry, problems[name]) for name, entry in planted.items()}


def test_unknown_property_is_found_wherever_one_could_be() -> None:
    planted, problems = found_in_planted()[with_unknown_properties.__name__]

    assert len(planted.paths) > 200
    assert [path for path in planted.paths if not found_at(problems, path)] == []


def test_wrong_type_is_found_wherever_a_value_is() -> None:
    planted, problems = found_in_planted()[with_wrong_types.__name__]

    assert len(planted.paths) > 400
    assert [path for path in planted.paths if not found_at(problems, path)] == []


def test_missing_property_is_found_in_every_resource_that_requires_one() -> None:
    planted, problems = found_in_planted()[without_required_properties.__name__]

    assert len(planted.paths) > 80
    for name, _, wanted in planted.paths:
        messages = [problem["message"] for problem in found_at(problems, (name,))]
        assert any(f"'{wanted}' is a required property" in message for message in messages), (name, wanted)


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_error_is_found(kind: str) -> None:
    path, _, message = PLANTED[kind]
    found = [problem["message"] for problem in found_at(found_in_planted()[with_errors_of_each_kind.__name__][1], path)]

    assert any(message in text for text in found), found


def test_unknown_property_of_a_function_is_found_before_sam_can_drop_it() -> None:
    template = deployable(existing_services())
    template["Resources"]["ApiFunction"]["Properties"]["MemorySizes"] = 512

    with pytest.raises(ValueError, match="MemorySizes"):
        run("transform", {"planted": template})
